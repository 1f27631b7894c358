package quarantine

import (
	"context"
	"encoding/json"
	"fmt"
	"path/filepath"
	"slices"
	"time"

	"mainstay/controller/member"
	"mainstay/controller/platform"
	"mainstay/controller/postgres"
	"mainstay/controller/wire"
	"mainstay/health"
)

// countBound bounds how long a rebuild counts the data that it sets aside; the data is kept whole in any case.
const countBound = 5 * time.Minute

// Repair is a repair of one member that discards its stopped data, or part of it.
type Repair struct {
	Member      string
	Goal        platform.Goal
	Incarnation string      // of the data that it discards
	Seen        member.Seen // the stopped data, as last observed
	// Doubted tells whether the data has failed to start or to replay. It is asked when the data has been counted, and touches only memory.
	Doubted func() bool
}

// piece starts the record of the data that the repair discards.
func (r Repair) piece(how string) wire.Piece {
	p := wire.Piece{Cluster: r.Goal.Cluster, Member: r.Member, When: time.Now().UTC().Format(time.RFC3339), How: how, Was: "standby",
		Epoch: r.Goal.Epoch, Incarnation: r.Incarnation, Successor: r.Goal.Incarnation, SystemID: r.Seen.SystemID, Timeline: r.Seen.Timeline}
	if r.Seen.AsPrimary {
		p.Was = "primary"
	}
	return p
}

// KeepWAL counts the WAL that only this member has, and copies it into the quarantine before a rewind discards it (S9). It returns nil
// if there is none. BeyondRewind tells whether an error leaves only a rebuild.
func (h *Host) KeepWAL(ctx context.Context, pg *postgres.Server, r Repair) (*health.Discard, error) {
	p, seen := r.piece(wire.Rewound), r.Seen
	line, fork, err := fork(ctx, pg, seen.Timeline, r.Goal)
	if err != nil {
		return nil, err
	}
	if fork.Timeline != seen.Timeline {
		return nil, &notCountableError{fmt.Sprintf("timeline %d left the primary's history earlier, at %s of timeline %d (its ancestry: %v)",
			seen.Timeline, fork.End, fork.Timeline, line)}
	}
	q := h.of(r.Member)
	if seen.End > fork.End { // otherwise each attempt would read WAL again that cannot fit
		p.Size = int64(seen.End - fork.End)
	}
	if err := h.room(ctx, q, p); err != nil {
		return nil, err
	}
	found, err := pg.CountWAL(ctx, fork.Timeline, fork.End)
	if err != nil || found.Bytes == 0 {
		return nil, err
	}
	p.From, p.To, p.Bytes, p.Transactions, p.Size = found.From, found.To, found.Bytes, found.Transactions, found.Size
	kept, err := q.name(&p, q.dir+string(filepath.Separator))
	if err != nil || kept {
		return discardOf(p), err
	}
	if err := h.room(ctx, q, p); err != nil {
		return nil, err
	}
	record, err := json.MarshalIndent(p, "", "  ")
	if err != nil {
		return nil, err
	}
	return discardOf(p), pg.KeepWAL(ctx, p.Place, found, record)
}

// RoomFor is called before anything changes the data; its error says why the data would not fit into the quarantine.
func (h *Host) RoomFor(ctx context.Context, pg *postgres.Server, r Repair) error {
	p := r.piece(wire.Rebuilt)
	data, err := filepath.EvalSymlinks(pg.Data)
	if err != nil {
		return err
	}
	parts, err := pg.Outlying(asideSuffix + p.Successor)
	if err != nil {
		return err
	}
	if p.Size, err = wholeSize(ctx, pg, data, parts); err != nil {
		return err
	}
	return h.room(ctx, h.of(r.Member), p)
}

// wholeSize is the size of the data with its parts outside the data directory.
func wholeSize(ctx context.Context, pg *postgres.Server, data string, parts []postgres.Part) (int64, error) {
	paths := []string{data}
	for _, p := range parts {
		more, err := pg.Contents(p)
		if err != nil {
			return 0, err
		}
		paths = append(paths, more...)
	}
	var sum int64
	for _, path := range paths {
		size, err := sizeOf(ctx, path)
		if err != nil {
			return 0, err
		}
		sum += size
	}
	return sum, nil
}

// SetAside keeps the data that a rebuild replaces: whole, under another name, with its record on disk first (S9).
func (h *Host) SetAside(ctx context.Context, pg *postgres.Server, r Repair) (*health.Discard, error) {
	p := r.piece(wire.Rebuilt)
	q := h.of(r.Member)
	data, err := filepath.EvalSymlinks(pg.Data)
	if err != nil {
		return nil, err
	}
	parts, err := pg.Outlying(asideSuffix + p.Successor)
	if err != nil {
		return nil, err
	}
	if p.Size, err = wholeSize(ctx, pg, data, parts); err != nil {
		return nil, err
	}
	if err := h.room(ctx, q, p); err != nil {
		return nil, err
	}
	if err := count(ctx, pg, r.Goal, r.Seen, &p); err != nil {
		p.Uncounted = err.Error()
	}
	doubted := r.Doubted() || r.Seen.Corrupt != "" || r.Goal.Damaged != "" && r.Goal.Damaged == r.Incarnation
	if p.Uncounted == "" && p.Bytes == 0 && !doubted {
		p.End = provenEnd(ctx, pg, r.Goal.SystemID)
	}
	if _, err := q.name(&p, data+"."+asideSuffix); err != nil {
		return nil, err
	}
	if parts, err = pg.Outlying(asideSuffix + p.ID); err != nil {
		return nil, err
	}
	p.Parts = nil
	for _, part := range parts {
		p.Parts = append(p.Parts, wire.Part(part))
	}
	if err := q.record(p); err != nil {
		return nil, err
	}
	_, err = pg.SetAside(ctx, asideSuffix+p.ID, parts...)
	return discardOf(p), err
}

// SetAsideBefore is the piece that an earlier attempt of this repair has set aside; nil for none. It first completes unfinished
// attempts.
func (h *Host) SetAsideBefore(ctx context.Context, pg *postgres.Server, r Repair) (*health.Discard, error) {
	all, err := h.of(r.Member).list()
	if err != nil {
		return nil, err
	}
	for _, p := range all {
		if p.How != wire.Rebuilt || p.Problem != "" || p.Dropped != nil {
			continue
		}
		var parts []postgres.Part
		for _, part := range p.Parts {
			parts = append(parts, postgres.Part(part))
		}
		if err := pg.FinishAside(ctx, p.Place, parts); err != nil {
			return nil, err
		}
	}
	for _, p := range slices.Backward(all) {
		if p.Successor == r.Goal.Incarnation && p.How == wire.Rebuilt && p.Problem == "" {
			return discardOf(p), nil
		}
	}
	return nil, nil
}

func discardOf(p wire.Piece) *health.Discard {
	return &health.Discard{From: p.From, To: p.To, Timeline: p.Timeline, Bytes: p.Bytes, Transactions: p.Transactions, Kept: p.Place}
}

// count counts the transactions that a rebuild discards, from where the data left the primary's history, over all its timelines.
func count(ctx context.Context, pg *postgres.Server, goal platform.Goal, seen member.Seen, p *wire.Piece) error {
	ctx, cancel := context.WithTimeout(ctx, countBound)
	defer cancel()
	if !seen.AsPrimary && seen.Timeline == goal.Timeline {
		p.From, p.To = seen.End, seen.End // all of its WAL came from this primary
		return nil
	}
	line, fork, err := fork(ctx, pg, seen.Timeline, goal)
	if err != nil {
		return err
	}
	p.Timeline, p.From, p.To = fork.Timeline, fork.End, fork.End
	past := false
	for _, f := range line {
		if past = past || f.Timeline == fork.Timeline; !past {
			continue
		}
		found, err := pg.CountWAL(ctx, f.Timeline, p.To)
		if err != nil {
			return err
		}
		p.Bytes, p.Transactions, p.To = p.Bytes+found.Bytes, p.Transactions+found.Transactions, max(p.To, found.To)
	}
	return nil
}
