package agent

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
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

// notCountableError is returned when the WAL that a rewind would discard is unknown, or is not on one timeline: then a rebuild keeps
// the data whole instead.
type notCountableError struct{ why string }

func (e *notCountableError) Error() string { return e.why }

// keepWAL counts the WAL that only this member has, and copies it into the quarantine before a rewind discards it (S9).
func (m *supervisor) keepWAL(ctx context.Context, pg *postgres.Server, goal platform.Goal, d member.Durable) (*health.Discard, error) {
	p, seen := m.piece(goal, d, wire.Rewound)
	line, fork, err := m.fork(ctx, pg, seen.Timeline, goal)
	if err != nil {
		return nil, err
	}
	if fork.Timeline != seen.Timeline {
		return nil, &notCountableError{fmt.Sprintf("timeline %d left the primary's history earlier, at %s of timeline %d (its ancestry: %v)",
			seen.Timeline, fork.End, fork.Timeline, line)}
	}
	q := m.agent.quarantineOf(m.name)
	if seen.End > fork.End { // without this check, WAL that cannot fit would be read again at each attempt
		p.Size = int64(seen.End - fork.End)
	}
	if err := m.room(ctx, q, p); err != nil {
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
	if err := m.room(ctx, q, p); err != nil {
		return nil, err
	}
	record, err := json.MarshalIndent(p, "", "  ")
	if err != nil {
		return nil, err
	}
	return discardOf(p), pg.KeepWAL(ctx, p.Place, found, record)
}

// roomFor returns why the present data would not fit into the quarantine, before anything changes it.
func (m *supervisor) roomFor(ctx context.Context, pg *postgres.Server, goal platform.Goal, d member.Durable) error {
	p, _ := m.piece(goal, d, wire.Rebuilt)
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
	return m.room(ctx, m.agent.quarantineOf(m.name), p)
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

// setAside keeps the data that a rebuild replaces: whole, under another name, with its record on disk first (S9).
func (m *supervisor) setAside(ctx context.Context, pg *postgres.Server, goal platform.Goal, d member.Durable) (*health.Discard, error) {
	p, seen := m.piece(goal, d, wire.Rebuilt)
	q := m.agent.quarantineOf(m.name)
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
	if err := m.room(ctx, q, p); err != nil {
		return nil, err
	}
	if err := m.count(ctx, pg, goal, seen, &p); err != nil {
		p.Uncounted = err.Error()
	}
	m.mu.Lock()
	doubted := m.memory.Doubted() || seen.Corrupt != ""
	m.mu.Unlock()
	if p.Uncounted == "" && p.Bytes == 0 && !doubted {
		p.End = provenEnd(ctx, pg, goal.SystemID)
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

// setAsideBefore is the piece that an earlier attempt of this repair has set aside; nil for none. It first completes unfinished
// attempts.
func (m *supervisor) setAsideBefore(ctx context.Context, pg *postgres.Server, goal platform.Goal) (*health.Discard, error) {
	all, err := m.agent.quarantineOf(m.name).list()
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
		if p.Successor == goal.Incarnation && p.How == wire.Rebuilt && p.Problem == "" {
			return discardOf(p), nil
		}
	}
	return nil, nil
}

// piece starts the record of the data that a repair discards.
func (m *supervisor) piece(goal platform.Goal, d member.Durable, how string) (wire.Piece, member.Seen) {
	m.mu.Lock()
	seen := m.seen
	m.mu.Unlock()
	p := wire.Piece{Cluster: goal.Cluster, Member: m.name, When: time.Now().UTC().Format(time.RFC3339), How: how, Was: "standby",
		Epoch:       goal.Epoch,
		Incarnation: d.Incarnation, Successor: goal.Incarnation, SystemID: seen.SystemID, Timeline: seen.Timeline}
	if seen.AsPrimary {
		p.Was = "primary"
	}
	return p, seen
}

func discardOf(p wire.Piece) *health.Discard {
	return &health.Discard{From: p.From, To: p.To, Timeline: p.Timeline, Bytes: p.Bytes, Transactions: p.Transactions, Kept: p.Place}
}

// count counts the transactions that a rebuild discards, from where the data left the primary's history, over all its timelines.
func (m *supervisor) count(ctx context.Context, pg *postgres.Server, goal platform.Goal, seen member.Seen, p *wire.Piece) error {
	ctx, cancel := context.WithTimeout(ctx, countBound)
	defer cancel()
	if !seen.AsPrimary && seen.Timeline == goal.Timeline {
		p.From, p.To = seen.End, seen.End // all of its WAL came from this primary
		return nil
	}
	line, fork, err := m.fork(ctx, pg, seen.Timeline, goal)
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

// fork reads the ancestry of the data's timeline, and finds where it left the goal's history.
func (m *supervisor) fork(ctx context.Context, pg *postgres.Server, timeline platform.Timeline,
	goal platform.Goal) (platform.History, platform.Fork, error) {
	own, err := pg.ReadHistory(ctx, timeline)
	if err != nil {
		return nil, platform.Fork{}, err
	}
	line := append(slices.Clone(own), platform.Fork{Timeline: timeline, End: endless})
	at, err := divergence(line, goal)
	return line, at, err
}

const endless = platform.LSN(math.MaxUint64)

// divergence is the first timeline of an ancestry, and the position on it, that is not part of the goal's history. An ancestry ends
// with the present timeline, which has no end.
func divergence(line platform.History, goal platform.Goal) (platform.Fork, error) {
	for n, f := range line {
		end, common := goal.History.ForkOf(f.Timeline)
		if f.Timeline == goal.Timeline {
			end, common = endless, true
		}
		switch {
		case !common && n == 0:
			return platform.Fork{}, &notCountableError{fmt.Sprintf("timeline %d and timeline %d have no common history", f.Timeline, goal.Timeline)}
		case !common:
			return platform.Fork{Timeline: f.Timeline, End: line[n-1].End}, nil
		case end < f.End:
			return platform.Fork{Timeline: f.Timeline, End: end}, nil
		case end > f.End:
			return platform.Fork{Timeline: line[n+1].Timeline, End: f.End}, nil
		}
	}
	return platform.Fork{},
		&notCountableError{fmt.Sprintf("the data is on timeline %d, like the primary, so where it left the primary's history is unknown",
			goal.Timeline)}
}

// beyondRewind tells whether a rewind could not keep the WAL that it would discard, so that only a rebuild, which keeps everything, is
// left.
func beyondRewind(err error) bool {
	var none *postgres.NoWALError
	var many *notCountableError
	return errors.As(err, &none) || errors.As(err, &many)
}
