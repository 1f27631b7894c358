package supervisor

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"go.uber.org/zap"

	"mainstay/controller/platform"
	"mainstay/controller/postgres"
	"mainstay/controller/statefile"
	"mainstay/health/integrity/compare"
)

// walSilence is how long one read of WAL may last.
const walSilence = 30 * time.Second

// basePath is the file that has what the next comparison may rest on.
func (m *comparer) basePath() string {
	return filepath.Join(m.o.Config.MemberDir(m.o.Name), "compared.json")
}

// keepBase keeps what the next comparison by this agent may rest on; nil: nothing.
func (m *comparer) keepBase(b *compare.Base) {
	path := m.basePath()
	err := os.Remove(path)
	if errors.Is(err, os.ErrNotExist) {
		err = nil
	}
	if b != nil {
		err = statefile.Write(path, b)
	}
	if err != nil {
		m.log.Warn("the next comparison cannot be incremental", zap.Error(err))
	}
}

// base is what a comparison may rest on: its zero value where there is nothing, and nil where that is older than it may be (0: any age).
func (m *comparer) base(oldest time.Duration) *compare.Base {
	b := &compare.Base{}
	if err := statefile.Read(m.basePath(), b); err != nil {
		m.log.Warn("a comparison cannot be incremental", zap.Error(errors.Unwrap(err)))
		return &compare.Base{}
	}
	if oldest > 0 && b.From > 0 && time.Since(b.Full) >= oldest {
		return nil
	}
	return b
}

// changes reads the member's own WAL, at a rate of MB a second as CompareRead does. A read that hangs is left to its goroutine.
func (m *comparer) changes(rate int) func(context.Context, platform.Timeline, platform.LSN, platform.LSN) (*compare.Changes, int64, error) {
	return func(ctx context.Context, t platform.Timeline, from, until platform.LSN) (*compare.Changes, int64, error) {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		m.mu.Lock()
		pg := m.pg
		m.mu.Unlock()
		type followed struct {
			postgres.Followed
			found *compare.Changes
			err   error
		}
		done, reads := make(chan followed, 1), make(chan struct{})
		pace := walPace{rate: m.rate(rate), reads: reads}
		m.o.Group.Go(func() error {
			f := followed{found: compare.NewChanges()}
			f.Followed, f.err = pg.Changes(ctx, t, from, pace.wait, f.found.Add)
			done <- f
			return nil
		})
		silence := time.NewTimer(walSilence)
		defer silence.Stop()
		for {
			select {
			case f := <-done:
				return f.found, f.Bytes, errors.Join(f.err, f.Reaches(until))
			case <-reads:
				silence.Reset(walSilence)
			case <-silence.C:
				return nil, 0, fmt.Errorf("its WAL was not read: the disk has not answered for %s", walSilence)
			case <-ctx.Done():
				return nil, 0, ctx.Err()
			}
		}
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
