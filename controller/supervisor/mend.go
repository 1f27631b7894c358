package supervisor

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"go.uber.org/zap"

	"mainstay/controller/platform"
	"mainstay/controller/postgres"
	"mainstay/controller/quarantine"
	"mainstay/controller/statefile"
	"mainstay/controller/wire"
	"mainstay/health"
	"mainstay/health/integrity"
	"mainstay/health/integrity/compare"
	"mainstay/health/integrity/page"
)

const (
	// mendBound bounds the work on a stopped replica's page.
	mendBound = time.Minute
	// mostOfFork is how many bytes of a fork that is made anew are kept in the quarantine.
	mostOfFork = 64 << 20
)

// NotMendedError is returned where a page is not mended, with the reason and what helps.
type NotMendedError struct{ Text string }

func (e *NotMendedError) Error() string { return e.Text }

func notMended(format string, args ...any) error {
	return &NotMendedError{fmt.Sprintf(format, args...)}
}

// fits says why a donor's page cannot take the place of a target's; nil if it can. A server that starts replays from its control file's
// redo position, so a page is right if it has all changes up to there, and none behind: the donor has written out its pages up to its own
// redo position, and its page was not changed after the target's. The page that is replaced tells nothing: its LSN may be as wrong as the
// rest.
func fits(from, to string, a compare.PageAnswer, c postgres.Control, l page.Layout, block uint32) error {
	switch {
	case a.SystemID != c.SystemID || a.PageSize != l.Size || a.Checksums != l.Checksums:
		return notMended("the data of %s and %s is not alike: system identifier %s and %s, pages of %d and %d bytes, checksums %v and %v",
			from, to, a.SystemID, c.SystemID, a.PageSize, l.Size, a.Checksums, l.Checksums)
	case a.Timeline != c.Timeline:
		return notMended("the last checkpoints of %s and %s are of timelines %d and %d: run CHECKPOINT on the primary, then on %s, and try "+
			"again", from, to, a.Timeline, c.Timeline, to)
	}
	is := l.Check(a.Page, block)
	switch {
	case is.State == page.Bad:
		return notMended("the page of %s is damaged itself: %s; name another member with --from", from, is.Detail)
	case is.State != page.Used:
		return notMended("the page of %s is %s: it has no content that could take a page's place", from, is.State)
	case is.Header.LSN > c.Redo:
		return notMended("the page of %s has LSN %s, and %s would replay from %s on: the page has changed since. Run CHECKPOINT on the primary, "+
			"then on %s, and try again", from, is.Header.LSN, to, c.Redo, to)
	case a.Redo < c.Redo:
		return notMended("%s has written out its pages up to %s, and %s would replay from %s on: run CHECKPOINT on %[1]s, and try again (if its "+
			"replay is paused, name another member with --from)", from, a.Redo, to, c.Redo)
	}
	return nil
}

// mender replaces pages of a stopped replica, as an act.
type mender struct{ *actor }

// mending is what is on the agent's disk while a page is replaced: with it a page that only a part was written of can be told.
type mending struct {
	Page string `json:"page"`
	Old  []byte `json:"old"`
	New  []byte `json:"new"`
}

func (m mender) mendingPath() string {
	return filepath.Join(m.o.Config.MemberDir(m.o.Name), "mending.json")
}

// settleMending completes a mending that was interrupted: afterwards the page is the old or the new one, and the log says which.
func (m mender) settleMending(pg *postgres.Server) error {
	var j mending
	if err := statefile.Read(m.mendingPath(), &j); err != nil { // it was written as a whole, so that the page was not begun without it
		m.log.Warn("it is not known whether a mending was interrupted", zap.Error(err))
		return nil
	}
	if j.Page == "" {
		return nil
	}
	b, err := compare.BlockOf(j.Page)
	if err != nil {
		return err
	}
	s, err := integrity.OpenStopped(pg.Data)
	if errors.Is(err, fs.ErrNotExist) { // other data will take its place
		return os.Remove(m.mendingPath())
	}
	if err != nil {
		return err
	}
	defer s.Close()
	now, err := s.Page(b)
	which := "the old page"
	switch {
	case errors.Is(err, integrity.ErrNoPage) || len(j.New) != s.Layout().Size: // the data was replaced
		which = "neither page: the data is another one"
	case err != nil:
		return err
	case bytes.Equal(now, j.New):
		which = "the new page"
	case !bytes.Equal(now, j.Old) && torn(now, j.Old, j.New):
		if err := s.Replace(b, j.New); err != nil {
			return fmt.Errorf("complete the mending of %s, which was interrupted: %w", j.Page, err)
		}
		which = "the new page, of which a part had been written"
	case !bytes.Equal(now, j.Old):
		which = "neither page: the data is another one"
	}
	m.log.Warn("a mending was interrupted", zap.String("page", j.Page), zap.String("in place is", which))
	return errors.Join(os.Remove(m.mendingPath()), statefile.SyncDir(filepath.Dir(m.mendingPath())))
}

// torn tells whether each sector of a page is that of one of two pages.
func torn(now, old, new []byte) bool {
	const sector = 512
	for at := 0; at < len(now); at += sector {
		end := min(at+sector, len(now))
		if end > len(old) || !bytes.Equal(now[at:end], old[at:end]) && !bytes.Equal(now[at:end], new[at:end]) {
			return false
		}
	}
	return true
}

// mend replaces a page of a stopped replica, or says why not. Either is a result: the replica is started again in any case.
func (m mender) mend(ctx context.Context, pg *postgres.Server, goal platform.Goal) error {
	if err := m.settleMending(pg); err != nil {
		return err
	}
	result := health.Mended{Number: goal.Mend.Number, Page: goal.Mend.Page}
	if err := m.replacePage(ctx, pg, goal, &result); err != nil {
		result.Detail = "nothing was changed: " + err.Error()
		if again := m.settleMending(pg); again != nil {
			return again
		}
	} else {
		result.Done = true
	}
	m.log.Info("the mending of a page has ended", zap.String("page", result.Page), zap.Bool("done", result.Done),
		zap.String("result", result.Detail), zap.String("kept", result.Kept))
	m.mu.Lock()
	d := m.durable
	m.mu.Unlock()
	d.Mended = &result
	if err := m.keepDurable(d); err != nil {
		return err
	}
	err := os.Remove(m.mendingPath())
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	return err
}

func (m mender) replacePage(ctx context.Context, pg *postgres.Server, goal platform.Goal, result *health.Mended) error {
	b, err := compare.BlockOf(goal.Mend.Page)
	if err != nil {
		return err
	}
	s, err := integrity.OpenStopped(pg.Data)
	if err != nil {
		return err
	}
	defer s.Close()
	if b.Fork != page.Main {
		return m.removeFork(s, b, goal, result)
	}
	c, err := pg.ControlData(ctx)
	if err != nil {
		return err
	}
	old, err := s.Page(b)
	if err != nil {
		return err
	}
	a, err := m.donorsPage(ctx, goal.Mend.From, b)
	if err != nil {
		return err
	}
	if err := fits(goal.Mend.From, m.o.Name, a, c, s.Layout(), b.Number); err != nil {
		return err
	}
	lsn := page.HeaderOf(a.Page).LSN
	if bytes.Equal(old, a.Page) {
		result.Detail = fmt.Sprintf("%s has the page of %s already (LSN %s)", result.Page, goal.Mend.From, lsn)
		return nil
	}
	if result.Kept, err = m.o.Quarantine.KeepPages(m.repairsNow(goal), *result, map[string][]byte{result.Page: old}); err != nil {
		return err
	}
	if err := statefile.Write(m.mendingPath(), mending{Page: result.Page, Old: old, New: a.Page}); err != nil {
		return err
	}
	if err := s.Replace(b, a.Page); err != nil {
		now, lost := s.Page(b)
		switch {
		case lost == nil && bytes.Equal(now, old):
			return fmt.Errorf("the old page is in place: %w", err)
		case lost != nil || !bytes.Equal(now, a.Page):
			if back := s.Replace(b, old); back != nil {
				return fmt.Errorf("the page could not be written, nor the old one put back (it is kept as %s): %w", result.Kept,
					errors.Join(err, back))
			}
			return fmt.Errorf("the old page was put back: %w", err)
		}
	}
	result.Detail = fmt.Sprintf("%s is the page of %s now, with LSN %s; the old one is in the quarantine as %s", result.Page, goal.Mend.From,
		lsn, result.Kept)
	return nil
}

// removeFork removes a map that PostgreSQL makes anew: its pages are hints that no copy improves.
func (m mender) removeFork(s *integrity.Stopped, b integrity.Block, goal platform.Goal, result *health.Mended) error {
	names, content, err := s.Fork(b, mostOfFork)
	if err != nil {
		return err
	}
	files := map[string][]byte{}
	for n, name := range names {
		files[name] = content[n]
	}
	if len(files) > 0 {
		if result.Kept, err = m.o.Quarantine.KeepPages(m.repairsNow(goal), *result, files); err != nil {
			return err
		}
	}
	if err := s.RemoveFork(b, len(names)); err != nil {
		return err
	}
	file, _, _ := strings.Cut(result.Page, " block ")
	result.Detail = "the whole map " + file + " was removed, and PostgreSQL makes it anew"
	if result.Kept != "" {
		result.Detail += "; it is in the quarantine as " + result.Kept
	}
	result.Compared = &health.FrozenPage{Page: result.Page} // what is made anew is not compared
	return nil
}

func (m mender) repairsNow(goal platform.Goal) quarantine.Repair {
	m.mu.Lock()
	d := m.durable
	m.mu.Unlock()
	return m.repairs(goal, d)
}

// donorsPage asks the agent of another member.
func (m *shared) donorsPage(ctx context.Context, from string, b integrity.Block) (a compare.PageAnswer, err error) {
	m.mu.Lock()
	peer, known := m.told.others.Peers[from]
	m.mu.Unlock()
	if !known {
		return a, notMended("no other member %s of the cluster is known to the agent of %s", from, m.o.Name)
	}
	others, done := m.o.Host.Others(m.o.Name, map[string]platform.Peer{from: peer}, nil, 0)
	defer done()
	if len(others) != 1 {
		return a, notMended("the agent of %s has no known address", from)
	}
	d, ok := others[0].(Donor)
	if !ok {
		return a, notMended("the agent of %s gives no pages", from)
	}
	a, err = d.Page(ctx, b)
	if no := (*wire.RefusalError)(nil); errors.As(err, &no) {
		return a, notMended("the agent of %s gives no page: %s", from, no.Err.Message)
	}
	if err != nil {
		err = fmt.Errorf("the page of %s: %w", from, err)
	}
	return a, err
}

var filePath = regexp.MustCompile(`^(global|base/\d+|pg_tblspc/\d+/[^/]+/\d+)/\d+$`)

// PlanMend says how a page would be mended. It changes nothing, and tries all that can be tried while the replica runs. The errors are
// *NotMendedError, and those of the disk and the server.
func PlanMend(ctx context.Context, m *Supervisor, req wire.MendRequest) (plan wire.MendPlan, err error) {
	m.mu.Lock()
	pg, role, calm, g := m.pg, m.view.seen.Role, m.calm(), m.told.goal
	m.mu.Unlock()
	fork, known := page.ForkOf(strings.TrimPrefix(req.Fork, page.Main.String()))
	switch {
	case role == health.RolePrimary:
		return plan, notMended("%s is the primary, and a page is mended on a replica: run `mainstay switchover %s` first", m.o.Name, g.Cluster)
	case !calm:
		return plan, notMended("no page of %s is mended now, since %s: see `mainstay status`", m.o.Name, waitsForMember)
	case req.From == m.o.Name:
		return plan, notMended("a page of %s is not mended from %[1]s itself: name another member with --from, or none", m.o.Name)
	case !known || fork == page.Init:
		return plan, notMended("%q is not a fork that can be mended: want main, fsm or vm", req.Fork)
	}
	b, err := relationOf(ctx, pg, req.Relation, &plan)
	if err != nil {
		return plan, err
	}
	b.Fork, b.Number = fork, req.Block
	plan.Page = compare.PageName(b)
	stop := "stop PostgreSQL on " + m.o.Name
	if fork != page.Main {
		plan.Steps = []string{stop, fmt.Sprintf("keep the whole %s fork of %s in the quarantine, and remove it: PostgreSQL makes it anew", fork,
			plan.Relation), "start it again"}
		return plan, nil
	}
	if plan.From = req.From; plan.From == "" && g.Upstream != nil {
		plan.From = g.Upstream.Member
	}
	a, err := m.donorsPage(ctx, plan.From, b)
	if err != nil {
		return plan, err
	}
	own, err := m.ComparePage(ctx, b)
	if errors.Is(err, integrity.ErrNoPage) {
		return plan, notMended("%s: %v; a page that is missing is not made: rebuild the member", m.o.Name, err)
	}
	if err != nil {
		return plan, err
	}
	c := postgres.Control{SystemID: own.SystemID, Timeline: own.Timeline, Redo: own.Redo}
	if err := fits(plan.From, m.o.Name, a, c, page.Layout{Size: own.PageSize, Checksums: own.Checksums}, b.Number); err != nil {
		return plan, err
	}
	now := "the same"
	if !bytes.Equal(own.Page, a.Page) {
		now = "another one"
	}
	plan.Steps = []string{stop, fmt.Sprintf("ask the agent of %s for %s again (LSN %s now; %s has %s), and check it", plan.From, plan.Page,
		page.HeaderOf(a.Page).LSN, m.o.Name, now), "keep the old page in the quarantine, write the new one and read it back",
		"start PostgreSQL again, and compare the page with the primary's"}
	return plan, nil
}

// relationOf finds what an operator names: by database, schema and name, or by its path.
func relationOf(ctx context.Context, pg *postgres.Server, named string, plan *wire.MendPlan) (b integrity.Block, err error) {
	all, err := pg.Relations(ctx)
	if err != nil && len(all) == 0 {
		return b, err
	}
	r, err := chosen(all, named)
	if err != nil {
		return b, err
	}
	b.Relation = placeOf(r)
	plan.Relation = r.Name
	return b, nil
}

// chosen is the only relation of that name or path. One that all databases share is listed for each of them.
func chosen(all []postgres.CatalogRelation, named string) (found postgres.CatalogRelation, err error) {
	var path integrity.Block
	if filePath.MatchString(named) {
		if path, err = compare.BlockOf(named + " block 0"); err != nil {
			return found, notMended("%v", err)
		}
	}
	for _, r := range all {
		switch at := placeOf(r); {
		case at != path.Relation && (path.Node != 0 || r.Name != named && !strings.HasSuffix(r.Name, "."+named)):
		case found.Node != 0 && at != placeOf(found):
			return found, notMended("%s is ambiguous (%s, %s): name it with database, schema and name", named, found.Name, r.Name)
		default:
			found = r
		}
	}
	switch {
	case found.Node == 0:
		return found, notMended("no relation %s is known: name it with database, schema and name, or by its path, as `mainstay "+
			"integrity show` does", named)
	case found.Kind == "i":
		return found, notMended("%s is an index: run REINDEX INDEX on the primary, which makes it anew on all members", found.Name)
	}
	return found, nil
}

func placeOf(r postgres.CatalogRelation) integrity.Relation {
	return integrity.Relation{Space: r.Space, Database: r.Database, Node: r.Node}
}
