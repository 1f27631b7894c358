package backups

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"go.uber.org/zap"

	"mainstay/controller/platform"
	"mainstay/controller/wakeup"
	"mainstay/health"
	"mainstay/health/backup/archive"
)

const (
	// archiveEvery is how often a member's WAL is checked for more, partialEvery how often its last segment is archived before it is
	// complete: what the loss of a whole cluster loses at most, beside what a target takes to store it.
	archiveEvery = 2 * time.Second
	partialEvery = 10 * time.Second
	// relistEvery is how long what a target was found to hold counts: a segment that was lost there is stored again while a member has it.
	relistEvery = time.Hour
	// archiveBound is how long one step may take. A target has patience of its own.
	archiveBound = 10 * time.Minute
)

// archiving is one cluster's archive. Its goroutine alone uses what is above mu; mu guards the rest.
type archiving struct {
	member, cluster string
	cancel          context.CancelFunc
	archiver        *archive.Archiver
	listed          time.Time // when it was made
	partialAt       time.Time
	targets         []string

	mu    sync.Mutex
	said  health.Archiving
	whole time.Time // when the targets held all that the member had, by the monotonic clock
}

// report is what a report says of it.
func (a *archiving) report() *health.Archiving {
	a.mu.Lock()
	defer a.mu.Unlock()
	said := a.said
	said.BehindMS = time.Since(a.whole).Milliseconds()
	return &said
}

// archiveAll archives the WAL of the clusters whose leader asks this agent to.
func (h *Host) archiveAll(ctx context.Context) error {
	var all sync.WaitGroup
	defer all.Wait()
	for {
		for member, o := range h.wanted() {
			h.mu.Lock()
			a := h.archive[member]
			h.mu.Unlock()
			switch {
			case o.Archive && a == nil:
				a = &archiving{member: member, cluster: o.cluster, targets: o.Plan.Targets, whole: time.Now()}
				one, cancel := context.WithCancel(ctx)
				a.cancel = cancel
				h.mu.Lock()
				h.archive[member] = a
				h.mu.Unlock()
				all.Go(func() { h.archiveOne(one, a, o) })
			case a != nil && (!o.Archive || !slices.Equal(o.Plan.Targets, a.targets)): // with other targets it begins anew
				a.cancel()
				h.mu.Lock()
				delete(h.archive, member)
				h.mu.Unlock()
			}
		}
		if wakeup.Pause(ctx, archiveEvery) != nil {
			return nil
		}
	}
}

// wanted are the present orders.
func (h *Host) wanted() map[string]order {
	h.mu.Lock()
	defer h.mu.Unlock()
	all := map[string]order{}
	for member, o := range h.orders {
		all[member] = o
	}
	return all
}

// archiveOne archives until ctx ends.
func (h *Host) archiveOne(ctx context.Context, a *archiving, o order) {
	h.o.Log.Info("this agent archives the cluster's WAL", zap.String("cluster", a.cluster), zap.String("member", a.member))
	for {
		trouble := ""
		if err := h.step(ctx, a, o); err != nil && ctx.Err() == nil {
			trouble = err.Error()
		}
		a.mu.Lock()
		if trouble != "" && trouble != a.said.Trouble {
			h.o.Log.Warn("WAL waits for the archive", zap.String("cluster", a.cluster), zap.String("why", trouble))
		}
		a.said.Trouble = trouble
		a.mu.Unlock()
		if wakeup.Pause(ctx, archiveEvery) != nil {
			return
		}
	}
}

// step archives what the member has flushed.
func (h *Host) step(ctx context.Context, a *archiving, o order) error {
	seen := h.o.Seen(a.member)
	if !seen.PositionKnown || seen.Process != health.ProcessRunning || seen.Timeline == 0 {
		return fmt.Errorf("the end of the WAL of %s is not known", a.member)
	}
	ctx, cancel := context.WithTimeout(ctx, archiveBound)
	defer cancel()
	if err := errors.Join(h.recogniseAll(ctx, o.Plan.Targets), h.prepare(ctx, a, o)); err != nil {
		return err
	}
	read := time.Now()
	for {
		p, err := a.archiver.Step(ctx, seen.Position, seen.Timeline)
		a.learn(p, seen.Timeline)
		if err != nil {
			return err
		}
		if failed := failures(p); failed != "" {
			return fmt.Errorf("%s", failed)
		}
		if !p.More {
			break
		}
	}
	if a.partial() >= seen.Position {
		a.caughtUp(read, seen.Position)
		return nil
	}
	if time.Since(a.partialAt) < partialEvery {
		return nil
	}
	a.partialAt = time.Now()
	for name, err := range a.archiver.Partial(ctx, seen.Position) {
		return fmt.Errorf("target %s: %w", name, err)
	}
	a.caughtUp(read, seen.Position)
	return nil
}

// prepare makes the archiver anew where there is none, or an old one: what a target holds is then listed.
func (h *Host) prepare(ctx context.Context, a *archiving, o order) error {
	if a.archiver != nil && time.Since(a.listed) < relistEvery {
		return nil
	}
	server := h.o.Server(a.member)
	if server == nil {
		return fmt.Errorf("the agent does not manage %s", a.member)
	}
	targets, missing := h.of(o.Plan.Targets)
	if missing != "" {
		return fmt.Errorf("this agent's file does not define target %s (backup.targets), or it cannot be opened", missing)
	}
	format, err := formatOf(ctx, server)
	if err != nil {
		return err
	}
	anew, err := archive.New(a.cluster, archive.Source{Data: server.Data, Format: format}, targets)
	if err == nil {
		a.archiver, a.listed = anew, time.Now()
	}
	return err
}

func (a *archiving) learn(p archive.Progress, t platform.Timeline) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.said.Timeline != t { // what was archived behind the fork is not of this timeline
		a.said.Partial = 0
	}
	if p.Held != 0 {
		a.said.Timeline, a.said.Until = t, p.Held
	}
	a.said.Gaps = nil
	for _, g := range p.Gaps {
		a.said.Gaps = append(a.said.Gaps, g.String())
	}
}

func (a *archiving) partial() platform.LSN {
	a.mu.Lock()
	defer a.mu.Unlock()
	return max(a.said.Partial, a.said.Until)
}

func (a *archiving) caughtUp(at time.Time, position platform.LSN) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.whole, a.said.Partial = at, position
}

// failures says what a step could not do; "" for nothing.
func failures(p archive.Progress) string {
	var all []string
	for _, name := range sortedKeys(p.Failed) {
		all = append(all, p.Failed[name].Error())
	}
	for _, u := range p.Unreadable {
		all = append(all, u.Err.Error())
	}
	return strings.Join(all, "; ")
}
