package supervisor

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"go.uber.org/zap"

	"mainstay/controller/boottime"
	"mainstay/controller/platform"
	"mainstay/controller/postgres"
	"mainstay/controller/statefile"
	"mainstay/health/integrity/compare"
)

const (
	// walSilence is how long one read of WAL may last.
	walSilence = 30 * time.Second
	// followEvery is the pause between two looks for new WAL: a server keeps some 100 MB of it for longer.
	followEvery = 2 * time.Second
	// followKeep is how often what was found is written down while WAL is followed; a run of the agent that is killed finds that.
	followKeep = 10 * time.Minute
	// followFor is how long WAL is followed after the last full comparison.
	followFor = 60 * 24 * time.Hour
	// endsWithin bounds how long the last writing waits for another use.
	endsWithin = 5 * time.Second
)

// keptBase is the file that has what the next comparison may rest on.
type keptBase struct {
	compare.Base
	// Follow: an incremental comparison was asked for, so WAL is read before the server removes it. Read is how far, Changes what was found.
	Follow  bool             `json:"follow,omitempty"`
	Read    platform.LSN     `json:"read,omitempty"`
	Changes *compare.Changes `json:"changes,omitempty"`
}

// sinceLast is what the next comparison may rest on, and what WAL has changed since. Who has filled turn uses what follows; nothing that
// a lease needs does.
type sinceLast struct {
	turn  chan struct{} // capacity 1
	read  bool          // the file
	known keptBase
	kept  time.Duration // when it was written
}

func (m *comparer) basePath() string {
	return filepath.Join(m.o.Config.MemberDir(m.o.Name), "compared.json")
}

// sinceTurn waits for its turn, and has the file read.
func (m *comparer) sinceTurn(ctx context.Context) (s *sinceLast, leave func(), err error) {
	s = &m.lastCompared
	select {
	case s.turn <- struct{}{}:
	case <-ctx.Done():
		return nil, nil, ctx.Err()
	}
	if !s.read {
		s.read, s.kept = true, boottime.Now()
		if err := statefile.Read(m.basePath(), &s.known); err != nil {
			m.log.Warn("a comparison cannot be incremental", zap.Error(errors.Unwrap(err)))
			s.known = keptBase{}
		}
	}
	return s, func() { <-s.turn }, nil
}

// keepSince writes what is known. Called in its turn.
func (m *comparer) keepSince(s *sinceLast) {
	s.kept = boottime.Now()
	if err := statefile.Write(m.basePath(), s.known); err != nil {
		m.log.Warn("after a restart of the agent, the next comparison may not be incremental", zap.Error(err))
	}
}

// newBase keeps what the next comparison by this agent may rest on; nil: nothing. follow: an incremental one is expected.
func (m *comparer) newBase(ctx context.Context, b *compare.Base, follow bool) {
	s, leave, err := m.sinceTurn(ctx)
	if err != nil {
		return
	}
	defer leave()
	follow = follow || s.known.Follow
	if s.known = (keptBase{}); b != nil {
		s.known = keptBase{Base: *b, Follow: follow, Read: b.From, Changes: compare.NewChanges()}
	}
	m.keepSince(s)
}

// base is what a comparison may rest on: its zero value where there is nothing, and nil where that is older than it may be (0: any age).
func (m *comparer) base(ctx context.Context, oldest time.Duration) *compare.Base {
	s, leave, err := m.sinceTurn(ctx)
	if err != nil {
		return nil
	}
	defer leave()
	b := s.known.Base
	if oldest > 0 && b.From > 0 && time.Since(b.Full) >= oldest {
		return nil
	}
	return &b
}

// changes finds what WAL has changed since what the comparison rests on, which base has returned. It reads the member's own WAL, as far as
// that was not done yet, at a rate of MB a second as CompareRead does.
func (m *comparer) changes(rate int) func(context.Context, platform.Timeline, platform.LSN, platform.LSN, int64) (
	*compare.Changes, int64, error) {
	return func(ctx context.Context, _ platform.Timeline, from, until platform.LSN, most int64) (*compare.Changes, int64, error) {
		m.mu.Lock()
		end := m.view.seen.Position
		m.mu.Unlock()
		if end < until {
			var err error
			if end, err = m.endOfWAL(ctx, boottime.Now()); err != nil {
				return nil, 0, err
			}
		}
		s, leave, err := m.sinceTurn(ctx)
		if err != nil {
			return nil, 0, err
		}
		defer leave()
		if end > s.known.Read && int64(end-s.known.Read) > most {
			return nil, 0, fmt.Errorf("the WAL to read, %d MB, is more than the data", int64(end-s.known.Read)>>20)
		}
		f, err := m.follow(ctx, s, end, m.rate(rate))
		if err == nil {
			err = f.Reaches(until)
		}
		if err != nil {
			return nil, 0, err
		}
		found := compare.NewChanges()
		found.Merge(s.known.Changes)
		return found, int64(s.known.Read - from), nil
	}
}

// follow reads WAL that is new, up to what is flushed, at a rate of bytes a second, 0: as fast as it goes. Called in its turn.
func (m *comparer) follow(ctx context.Context, s *sinceLast, flushed platform.LSN, rate int64) (postgres.Followed, error) {
	if s.known.Changes == nil {
		s.known.Changes, s.known.Read = compare.NewChanges(), s.known.From
	}
	f, found, err := m.readWAL(ctx, s.known.Data.Timeline, s.known.Read, flushed, rate)
	if err != nil {
		return f, err
	}
	s.known.Changes.Merge(found)
	s.known.Read = f.End
	return f, nil
}

// readWAL reads the member's own WAL up to a position. A read that hangs is left to its goroutine.
func (m *comparer) readWAL(ctx context.Context, t platform.Timeline, from, until platform.LSN, rate int64) (
	postgres.Followed, *compare.Changes, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	m.mu.Lock()
	pg, calm := m.pg, m.calm()
	m.mu.Unlock()
	if !calm || until == 0 {
		return postgres.Followed{}, nil, ErrNotCalm
	}
	type followed struct {
		postgres.Followed
		found *compare.Changes
		err   error
	}
	done, reads := make(chan followed, 1), make(chan struct{})
	pace := walPace{rate: rate, reads: reads}
	m.o.Group.Go(func() error {
		f := followed{found: compare.NewChanges()}
		f.Followed, f.err = pg.Changes(ctx, t, from, until, pace.wait, f.found.Add)
		done <- f
		return nil
	})
	silence := time.NewTimer(walSilence)
	defer silence.Stop()
	for {
		select {
		case f := <-done:
			return f.Followed, f.found, f.err
		case <-reads:
			silence.Reset(walSilence)
		case <-silence.C:
			return postgres.Followed{}, nil, fmt.Errorf("its WAL was not read: the disk has not answered for %s", walSilence)
		case <-ctx.Done():
			return postgres.Followed{}, nil, ctx.Err()
		}
	}
}

// followWAL reads the member's WAL soon after it was written, where incremental comparisons are made, until ctx ends: the server removes
// it.
func (m *comparer) followWAL(ctx context.Context) {
	due := time.Duration(0)
	for {
		m.mu.Lock()
		news, calm, position := m.news, m.calm(), m.view.seen.Position
		m.mu.Unlock()
		if now := boottime.Now(); calm && now >= due {
			due = now + followEvery
			m.followOn(ctx, position)
		}
		select {
		case <-ctx.Done():
			ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), endsWithin)
			defer cancel()
			if s, leave, err := m.sinceTurn(ending); err == nil {
				defer leave()
				if s.known.Follow {
					m.keepSince(s)
				}
			}
			return
		case <-news:
		}
	}
}

// followOn reads what is new up to a position.
func (m *comparer) followOn(ctx context.Context, position platform.LSN) {
	s, leave, err := m.sinceTurn(ctx)
	if err != nil {
		return
	}
	defer leave()
	if !s.known.Follow || position <= s.known.Read || time.Since(s.known.Full) > followFor {
		return
	}
	if _, err := m.follow(ctx, s, position, 0); err != nil && ctx.Err() == nil {
		m.log.Debug("WAL is not followed for the next comparison", zap.Error(err))
	}
	if boottime.Now()-s.kept >= followKeep {
		m.keepSince(s)
	}
}

// walPace bounds the rate at which WAL is read.
type walPace struct {
	rate  int64         // bytes a second; 0: no bound
	reads chan struct{} // is told of each read before it is made
	due   time.Time     // when the next read may begin
}

func (p *walPace) wait(ctx context.Context, bytes int) error {
	if now := time.Now(); p.due.Before(now) {
		p.due = now
	}
	t := time.NewTimer(time.Until(p.due))
	defer t.Stop()
	if p.rate > 0 {
		p.due = p.due.Add(time.Duration(float64(bytes) / float64(p.rate) * float64(time.Second)))
	}
	select {
	case <-t.C:
	case <-ctx.Done():
		return ctx.Err()
	}
	select {
	case p.reads <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
