package agent

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"go.uber.org/zap"

	"mainstay/controller/platform"
	"mainstay/controller/postgres"
	"mainstay/controller/wire"
)

// Data that a rebuild has set aside is kept whole for as long as there is room: its pages may be the last sound ones, should those of the
// primary turn out to be damaged. Where a later repair lacks the room, and it is proven that it holds no transaction that its successor
// lacks, it is reduced to its WAL, its control file and small files. Four things prove it together: the data was a standby's last, so that
// it wrote nothing of its own; it was not rebuilt because of what it holds; its control file and its WAL are sound and say where that ends;
// and the member that was made in its place has answered, with a history that contains that position.

// provenEnd is where the WAL of stopped data ends that is a standby's; nil where anything about it is in doubt.
func provenEnd(ctx context.Context, pg *postgres.Server, systemID string) *wire.End {
	data, err := pg.InspectData(ctx)
	c := data.Control
	if err != nil || data.State != postgres.DataPresent || data.Rewinding || !strings.Contains(c.State, "recovery") || c.BackupEndNeeded ||
		systemID == "" || c.SystemID != systemID {
		return nil
	}
	end, err := pg.EndOfWAL(ctx)
	if err != nil || !end.Known {
		return nil
	}
	history, err := pg.ReadHistory(ctx, end.Timeline)
	if err != nil {
		return nil
	}
	return &wire.End{Timeline: end.Timeline, LSN: end.LSN, History: history}
}

// contains tells whether a server that is at a position of a timeline, with that history, has all WAL up to an end: on the same
// timelines, which forked at the same places.
func contains(history platform.History, timeline platform.Timeline, at platform.LSN, end wire.End) bool {
	last := slices.IndexFunc(history, func(f platform.Fork) bool { return f.Timeline == end.Timeline })
	switch {
	case end.LSN > at:
		return false
	case end.Timeline == timeline:
		last = len(history)
	case last < 0 || end.LSN > history[last].End:
		return false
	}
	return slices.Equal(history[:last], end.History)
}

// reduceBound is how long the questions to a successor may take.
const reduceBound = 10 * time.Second

// prove notes which pieces hold nothing that a member's data lacks, once that has answered.
func (a *Agent) prove(ctx context.Context, member string) {
	q := a.quarantineOf(member)
	all, err := q.list()
	all = slices.DeleteFunc(all, func(p wire.Piece) bool { return !provable(p) })
	pg := a.serverOf(member)
	if err != nil || len(all) == 0 || pg == nil {
		return // removeDropped tells of a quarantine that cannot be read
	}
	asked, cancel := context.WithTimeout(ctx, reduceBound)
	defer cancel()
	s, err := pg.Status(asked)
	if err != nil || !s.InRecovery {
		return // they are looked at again after its next start
	}
	history, err := pg.ReadHistory(asked, s.Timeline)
	if err != nil {
		a.log.Warn("data that was set aside is kept whole", zap.String("member", member), zap.Error(err))
		return
	}
	for _, p := range all {
		if s.SystemID != p.SystemID || !contains(history, s.Timeline, s.Replay, *p.End) {
			continue
		}
		why := fmt.Sprintf(
			"it belonged to a standby whose WAL ended at %s of timeline %d, and its replacement has replayed up to %s of timeline %d: "+
				"it held no transaction that the replacement lacks", p.End.LSN, p.End.Timeline, s.Replay, s.Timeline)
		err := a.amend(q, p.ID, func(p *wire.Piece) bool {
			p.Needless = why
			return true
		})
		if err != nil {
			a.log.Error("data that was set aside is kept whole", zap.String("id", p.ID), zap.Error(err))
		}
	}
}

// provable: it may hold nothing of its own, and that is not proven yet.
func provable(p wire.Piece) bool {
	nothing := p.Uncounted == "" && p.Bytes == 0 && p.Transactions == 0
	return p.How == wire.Rebuilt && p.End != nil && nothing && p.Needless == "" && p.Reduced == nil && p.Dropped == nil && p.Problem == ""
}

// room refuses a piece that would pass the limit even with all earlier ones reduced that may be: the oldest goes first, and no more than
// is needed.
func (m *supervisor) room(ctx context.Context, q quarantine, p wire.Piece) error {
	err := q.room(p)
	var full *quarantineFullError
	if !errors.As(err, &full) {
		return err
	}
	kept, _ := q.list() // room has read it
	for _, k := range kept {
		if k.Successor == p.Successor || k.Needless == "" || k.Reduced != nil || k.Dropped != nil {
			continue
		}
		mark := func(p *wire.Piece) bool {
			p.Reduced = &wire.Reduced{When: time.Now().UTC().Format(time.RFC3339), Why: k.Needless}
			return true
		}
		if err := m.agent.amend(q, k.ID, mark); err != nil {
			return err
		}
		m.agent.finishReduced(ctx, q, k)
		if err = q.room(p); !errors.As(err, &full) {
			return err
		}
	}
	return err
}

// amend changes a record that is not dropped: an operator's word, and what else is noted of a piece, come at the same time. change tells
// whether there is anything to keep.
func (a *Agent) amend(q quarantine, id string, change func(*wire.Piece) bool) error {
	a.records.Lock()
	defer a.records.Unlock()
	p, err := q.read(id)
	if err != nil || p.Dropped != nil || !change(&p) {
		return err
	}
	return q.record(p)
}

// finishReduced removes what a piece is reduced by, also where an earlier run of the agent did not come to its end (S7).
func (a *Agent) finishReduced(ctx context.Context, q quarantine, p wire.Piece) {
	size, err := q.trim(ctx, p)
	if err == nil {
		err = a.amend(q, p.ID, func(p *wire.Piece) bool {
			p.Parts = slices.DeleteFunc(p.Parts, spaceOf)
			p.Reduced.Done, p.Size = true, size
			return true
		})
	}
	if err != nil {
		a.log.Error("data that was set aside could not be reduced; the agent retries",
			zap.String("id", p.ID), zap.String("member", p.Member), zap.Error(err))
		return
	}
	a.log.Info("data that was set aside is reduced to its WAL", zap.String("id", p.ID), zap.String("member", p.Member),
		zap.String("why", p.Needless), zap.Int64("freed", p.Size-size))
}

// spaceOf tells whether a part is a tablespace, not the folder of WAL.
func spaceOf(part wire.Part) bool { return part.Link != "pg_wal" }

// trim removes the databases and tablespaces of data that was set aside, and returns the size of what is left.
func (q quarantine) trim(ctx context.Context, p wire.Piece) (int64, error) {
	if !strings.Contains(filepath.Base(p.Place), "."+asideSuffix) {
		return 0, fmt.Errorf("the record of %s names %s, which is not a data directory set aside by a rebuild; correct it", p.ID, p.Place)
	}
	spaces, rest := p, p
	spaces.Parts = slices.DeleteFunc(slices.Clone(p.Parts), func(part wire.Part) bool { return !spaceOf(part) })
	rest.Parts = slices.DeleteFunc(slices.Clone(p.Parts), spaceOf)
	err := removeParts(ctx, spaces)
	if err == nil {
		err = errors.Join(removeTree(ctx, filepath.Join(p.Place, "base"), ""), removeTree(ctx, filepath.Join(p.Place, "global"), "pg_control"))
	}
	if err != nil {
		return 0, err
	}
	size, err := sizeOf(ctx, p.Place)
	for _, part := range rest.Parts {
		more, wrong := sizeOf(ctx, part.Place)
		size, err = size+more, errors.Join(err, wrong)
	}
	return size, err
}
