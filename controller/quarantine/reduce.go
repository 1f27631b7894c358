package quarantine

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

// Data that a rebuild has set aside is kept whole while there is room: its pages may be the last good copy if those of the primary turn
// out to be damaged. If a later repair lacks the room, the data is reduced to its WAL, its control file and small files, provided that
// it holds no transaction that its successor lacks. That needs four facts together: the data last belonged to a standby, so it wrote
// nothing of its own; it was not rebuilt because of its content; its control file and its WAL are sound and give the end of the WAL;
// and the member that replaced it has answered, with a history that contains that end.

// provenEnd is the end of the WAL in a stopped standby's data; nil if anything about it is in doubt.
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

// contains tells whether a server at a position of a timeline, with that history, has all WAL up to an end: it passed through the same
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

// prove records which pieces hold nothing that a member's data lacks, once that member has answered.
func (h *Host) prove(ctx context.Context, member string) {
	q := h.of(member)
	all, err := q.list()
	all = slices.DeleteFunc(all, func(p wire.Piece) bool { return !provable(p) })
	pg := h.o.Server(member)
	if err != nil || len(all) == 0 || pg == nil {
		return // removeDropped logs that the quarantine cannot be read
	}
	asked, cancel := context.WithTimeout(ctx, reduceBound)
	defer cancel()
	s, err := pg.Status(asked)
	if err != nil || !s.InRecovery {
		return // they are checked again after its next start
	}
	history, err := pg.ReadHistory(asked, s.Timeline)
	if err != nil {
		h.o.Log.Warn("data that was set aside is kept whole", zap.String("member", member), zap.Error(err))
		return
	}
	for _, p := range all {
		if s.SystemID != p.SystemID || !contains(history, s.Timeline, s.Replay, *p.End) {
			continue
		}
		why := fmt.Sprintf(
			"it belonged to a standby whose WAL ended at %s of timeline %d, and its replacement has replayed up to %s of timeline %d: "+
				"it held no transaction that the replacement lacks", p.End.LSN, p.End.Timeline, s.Replay, s.Timeline)
		err := h.amend(q, p.ID, func(p *wire.Piece) bool {
			p.Needless = why
			return true
		})
		if err != nil {
			h.o.Log.Error("data that was set aside is kept whole", zap.String("id", p.ID), zap.Error(err))
		}
	}
}

// provable tells whether the piece may hold no transaction of its own, without a proof so far.
func provable(p wire.Piece) bool {
	nothing := p.Uncounted == "" && p.Bytes == 0 && p.Transactions == 0
	return p.How == wire.Rebuilt && p.End != nil && nothing && p.Needless == "" && p.Reduced == nil && p.Dropped == nil && p.Problem == ""
}

// room refuses a piece that would exceed the limit even if all eligible earlier pieces were reduced. It reduces the oldest first, and
// no more than needed.
func (h *Host) room(ctx context.Context, q store, p wire.Piece) error {
	err := q.room(p)
	var full *fullError
	if !errors.As(err, &full) {
		return err
	}
	kept, _ := q.list() // q.room has read it without an error
	for _, k := range kept {
		if k.Successor == p.Successor || k.Needless == "" || k.Reduced != nil || k.Dropped != nil {
			continue
		}
		mark := func(p *wire.Piece) bool {
			p.Reduced = &wire.Reduced{When: time.Now().UTC().Format(time.RFC3339), Why: k.Needless}
			return true
		}
		if err := h.amend(q, k.ID, mark); err != nil {
			return err
		}
		h.finishReduced(ctx, q, k)
		if err = q.room(p); !errors.As(err, &full) {
			return err
		}
	}
	return err
}

// finishReduced removes the files that a reduction discards, including those that an interrupted run of the agent left (S7).
func (h *Host) finishReduced(ctx context.Context, q store, p wire.Piece) {
	size, err := q.trim(ctx, p)
	if err == nil {
		err = h.amend(q, p.ID, func(p *wire.Piece) bool {
			p.Parts = slices.DeleteFunc(p.Parts, spaceOf)
			p.Reduced.Done, p.Size = true, size
			return true
		})
	}
	if err != nil {
		h.o.Log.Error("data that was set aside could not be reduced; the agent retries",
			zap.String("id", p.ID), zap.String("member", p.Member), zap.Error(err))
		return
	}
	h.o.Log.Info("data that was set aside is reduced to its WAL", zap.String("id", p.ID), zap.String("member", p.Member),
		zap.String("why", p.Needless), zap.Int64("freed", p.Size-size))
}

// spaceOf tells whether a part is a tablespace, not the WAL folder.
func spaceOf(part wire.Part) bool { return part.Link != "pg_wal" }

// trim removes the databases and tablespaces of data that was set aside, and returns the remaining size.
func (q store) trim(ctx context.Context, p wire.Piece) (int64, error) {
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
