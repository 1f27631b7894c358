package backup

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"go.uber.org/zap"

	"mainstay/controller/postgres"
	"mainstay/controller/postgres/ondisk"
)

// making is one run of Make.
type making struct {
	*run
	order  Order
	record *Record
	source postgres.Copyable
	tree   tree
	chain  []input // what an incremental builds on, the full one first; empty for a full one
	mani   *manifest
	cloned bool // a pristine copy was kept by cloning
}

func newRecord(e *Engine, o Order) *Record {
	return &Record{ID: o.ID, Cluster: o.Cluster, Kind: o.Kind, Member: e.Server.Member, Version: e.Server.Binaries.Version,
		Superuser: superuser(e.Server), Began: time.Now()}
}

func superuser(s *postgres.Server) string { return s.Local().User }

// unstarted is the record of a run that could not begin.
func unstarted(e *Engine, o Order, err error) *Record {
	r := newRecord(e, o)
	r.Ended, r.Proof.Verdict, r.Proof.Evidence = time.Now(), Unverified, err.Error()
	return r
}

func (m *making) make(ctx context.Context) error {
	err := m.proof.conclude(m.work(ctx))
	if m.proof.Verdict == Good {
		m.release(ctx)
		err = m.keep(ctx)
	}
	m.record.Proof, m.record.Ended = *m.proof, time.Now()
	m.Log.Info("backup", zap.String("cluster", m.order.Cluster), zap.String("backup", m.order.ID),
		zap.String("verdict", string(m.proof.Verdict)), zap.String("evidence", m.proof.Evidence))
	return err
}

// UnverifiedError is returned when a check could not be made, and no other found anything.
type UnverifiedError struct{ Evidence string }

func (e *UnverifiedError) Error() string { return e.Evidence }

// conclude gives the verdict. A finding, or a bad check, is damage, whatever else has failed; any other error leaves the copy unverified,
// and is returned.
func (p *Proof) conclude(err error) error {
	found := (*finding)(nil)
	if errors.As(err, &found) {
		p.Checks = append(p.Checks, Check{Kind: found.kind, Verdict: Bad, Detail: found.text})
	}
	var bad, open, done []string
	for _, c := range p.Checks {
		switch c.Verdict {
		case Bad:
			bad = append(bad, string(c.Kind)+": "+c.Detail)
		case Unverified:
			open = append(open, string(c.Kind)+": "+c.Detail)
		case Good:
			done = append(done, string(c.Kind))
		}
	}
	switch {
	case len(bad) > 0:
		p.Verdict, p.Evidence = Bad, strings.Join(bad, "; ")
		return nil
	case err != nil:
		p.Verdict, p.Evidence = Unverified, err.Error()
		return err
	case len(open) > 0:
		p.Verdict, p.Evidence = Unverified, strings.Join(open, "; ")
		return &UnverifiedError{p.Evidence}
	}
	p.Verdict, p.Evidence = Good, "good: "+strings.Join(slices.Compact(done), ", ")
	return nil
}

// work takes, verifies, packs and checks the copy. Nothing leaves staging.
func (m *making) work(ctx context.Context) error {
	if err := m.step(ctx, StepRoom, m.room); err != nil {
		return err
	}
	if m.order.Kind == Incremental {
		if err := m.base(ctx); err != nil {
			return err
		}
	}
	if err := m.take(ctx); err != nil {
		return err
	}
	if err := m.step(ctx, StepPack, m.pack); err != nil {
		return err
	}
	checked := m.tree
	if m.record.Kind == Incremental {
		var err error
		own := input{id: m.record.ID, tree: m.tree, manifest: m.mani, verified: true}
		if checked, err = m.combined(ctx, append(m.chain, own), m.order.Targets); err != nil {
			return err
		}
	} else if m.order.Keep {
		m.cloned = m.keepClone(ctx)
	}
	p := proving{run: m.run, tree: checked, superuser: m.record.Superuser, from: m.record.Start, wanted: m.record.End,
		checks: m.order.Checks, depth: m.order.Depth}
	return p.prove(ctx)
}

// room asks the server what a copy takes, and refuses one that staging has no room for: it would fill the disk first, and fail then.
func (m *making) room(ctx context.Context, _ *watch) (err error) {
	if m.source, err = m.Server.Copyable(ctx); err != nil {
		return err
	}
	m.record.Standby = m.source.Standby
	has, err := free(m.dir)
	if err != nil {
		return err
	}
	if has < m.source.Bytes {
		return fmt.Errorf("%s has %d MB free, and a copy of the data needs %d MB: give it room, or name another directory as staging",
			m.Staging, has>>20, m.source.Bytes>>20)
	}
	return nil
}

// take copies the server. Where an incremental one is refused, because summaries of the WAL since its base are gone or the base is not of
// this history, a full one is taken. A copy during which a tablespace was created is refused: its replay would take that folder, which is
// the server's, into use.
func (m *making) take(ctx context.Context) error {
	for oid, location := range m.source.Locations {
		m.record.Spaces = append(m.record.Spaces, Space{oid, location})
	}
	slices.SortFunc(m.record.Spaces, func(a, b Space) int { return int(int64(a.OID) - int64(b.OID)) })
	m.tree = treeIn(m.dir, m.record.Spaces)
	err := m.step(ctx, StepTake, m.copy)
	found := (*finding)(nil)
	if m.record.Kind == Incremental && err != nil && !errors.As(err, &found) && !m.hung && ctx.Err() == nil {
		m.fullInstead(fmt.Sprintf("the server refused an incremental one: %v", err))
		err = m.step(ctx, StepTake, func(ctx context.Context, w *watch) error {
			if err := errors.Join(os.RemoveAll(m.tree.data), os.RemoveAll(m.path(spacesFolder))); err != nil {
				return err
			}
			return m.copy(ctx, w)
		})
	}
	if err != nil {
		return err
	}
	now, err := m.Server.Copyable(ctx)
	if err == nil && !maps.Equal(now.Locations, m.source.Locations) {
		err = errors.New("a tablespace was created or dropped while the copy was made: repeat the backup")
	}
	return err
}

func (m *making) fullInstead(why string) {
	m.record.Kind, m.record.Base, m.record.FullFor, m.chain = Full, "", why, nil
	m.Log.Warn("a full backup in the place of an incremental one", zap.String("backup", m.order.ID), zap.String("reason", why))
}

// spreadCheckpoint is how long the server may take before the first byte comes: checkpoint_timeout is an hour at most in use.
const spreadCheckpoint = 2 * time.Hour

// errPages is what pg_basebackup says, in English, when it has met a page with a wrong checksum.
const errPages = "checksum error occurred"

func (m *making) copy(ctx context.Context, w *watch) error {
	spaces := map[string]string{}
	if err := m.ownFolder(m.tree.data); err != nil {
		return err
	}
	if len(m.record.Spaces) > 0 {
		if err := os.Mkdir(m.path(spacesFolder), 0o711); err != nil {
			return err
		}
	}
	for _, s := range m.record.Spaces {
		spaces[s.Location] = m.tree.spaces[s.OID]
		if err := m.ownFolder(m.tree.spaces[s.OID]); err != nil {
			return err
		}
	}
	b := postgres.BaseBackup{To: m.tree.data, Spaces: spaces, Rate: m.order.Rate, Spread: m.order.Rate > 0}
	if m.record.Kind == Incremental {
		b.Since = m.chain[len(m.chain)-1].path(manifestName)
	}
	if b.Spread {
		w.patient(spreadCheckpoint)
	}
	err := m.Server.BaseBackup(ctx, b, func(done, total int64) { // not all of it: the last word is dropped where it comes at once
		w.patient(0)
		w.at(done, total)
	})
	var failed *postgres.CommandError
	if errors.As(err, &failed) && strings.Contains(failed.Tail, errPages) {
		return &finding{CheckSource, fmt.Sprintf("the pages of %s itself: %s", m.record.Member, oneLine(failed.Tail))}
	}
	return err
}

func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }

// pack verifies and packs the copy in one pass.
func (m *making) pack(ctx context.Context, w *watch) (err error) {
	if m.mani, err = readTreeManifest(m.tree.data); err != nil {
		if errors.Is(err, errManifest) {
			err = &finding{CheckManifest, err.Error()}
		}
		return err
	}
	end := m.mani.end()
	r := m.record
	r.Manifest, r.Files, r.Size = m.mani.SHA256, int64(len(m.mani.Files)), m.mani.Bytes
	r.Start, r.End, r.Timeline = m.mani.start(), end.End, end.Timeline
	p, err := pack(ctx, m.tree, m.mani, m.path(objectPack), m.rate, m.limits.Nice, w)
	if err != nil {
		return err
	}
	r.Packed, r.SHA256 = p.size, p.sha
	m.proof.Steps = append(m.proof.Steps, Step{StepManifest, p.verified, m.mani.Bytes})
	m.proof.Checks = append(m.proof.Checks, Check{Kind: CheckManifest, Verdict: Good,
		Detail: fmt.Sprintf("%d files of %d bytes match it", r.Files, r.Size)})
	raw, err := readControl(m.tree.data)
	if err != nil {
		return err
	}
	control, err := ondisk.ParseControl(raw)
	if err != nil {
		return &finding{CheckManifest, fmt.Sprintf("global/pg_control: %v", err)}
	}
	r.SystemID = control.SystemID
	if m.order.Base != nil && m.order.Base.SystemID != r.SystemID && r.Kind == Incremental {
		return fmt.Errorf("the base %s is of another cluster: its system identifier is %s, and this one's %s", r.Base,
			m.order.Base.SystemID, r.SystemID)
	}
	return nil
}

func readControl(data string) ([]byte, error) {
	root, err := os.OpenRoot(data)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	return root.ReadFile("global/pg_control")
}
