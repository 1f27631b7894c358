package controller

import (
	"context"
	"errors"
	"net/url"
	"slices"
	"sync"
	"time"

	"go.uber.org/zap"

	"mainstay/controller/consensus"
	"mainstay/controller/wire"
)

const (
	// logsKnown bounds the number of logs remembered: a controller that joins again brings a new log.
	logsKnown = 256
	// formerKnown bounds the number of ended processes remembered of a log: their last observations may still arrive.
	formerKnown = 8
)

// confirmed remembers the highest entries of other controllers' logs, which they send with their observations: a controller that starts
// without such an entry was restored to an older state (S3). It implements api.Confirmed.
type confirmed struct {
	mu   sync.Mutex
	logs map[string]logKnown
}

// logKnown is the knowledge of one log: its latest process, the highest entry of that, and the highest entry of earlier processes.
type logKnown struct {
	process       string
	entry, before uint64
	former        []string // the processes before it
}

// Note records that process has had all entries up to entry in the log with that id.
func (c *confirmed) Note(id, process string, entry uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	k, known := c.logs[id]
	if !known && len(c.logs) >= logsKnown {
		return
	}
	if c.logs == nil {
		c.logs = map[string]logKnown{}
	}
	switch {
	case slices.Contains(k.former, process): // a late message from a process that has ended
		k.before = max(k.before, entry)
	case k.process != process:
		former := append(slices.Clone(k.former), k.process)
		k = logKnown{process: process, entry: entry, before: max(k.before, k.entry), former: former[max(0, len(former)-formerKnown):]}
	default:
		k.entry = max(k.entry, entry)
	}
	c.logs[id] = k
}

// Before is the highest entry that earlier processes have had in the log with that id, 0 if none is known.
func (c *confirmed) Before(id, process string) uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	k := c.logs[id]
	if k.process == process {
		return k.before
	}
	return max(k.before, k.entry)
}

// recollection asks the other controllers for the highest entry that this controller's log had before this process began.
type recollection struct {
	client  *wire.Client
	process string
}

// ask returns the highest entry that any of them knows of, and the controllers that answered. It waits for the slowest, or until ctx
// ends.
func (r recollection) ask(ctx context.Context, id string, others []consensus.Server) (entry uint64, answered []string) {
	path := "/v1/confirmed?" + url.Values{"log": {id}, "process": {r.process}}.Encode()
	var asked sync.WaitGroup
	var mu sync.Mutex
	for _, s := range others {
		asked.Go(func() {
			var a wire.Confirmed
			err := r.client.DoAt(ctx, s.Address, "GET", path, nil, &a)
			mu.Lock()
			defer mu.Unlock()
			if r := (*wire.RefusalError)(nil); err == nil || errors.As(err, &r) && r.Status < 500 { // an older build cannot answer, now or later
				entry, answered = max(entry, a.Entry), append(answered, s.ID)
			}
		})
	}
	asked.Wait()
	return entry, answered
}

// recollectEvery is how often controllers that have not answered are asked again.
const recollectEvery = 5 * time.Second

// recollect asks each of the others once which entry this controller's log had before: a controller that could not answer at the start may
// know of an entry because of which this one should not have started.
func (r *running) recollect(ctx context.Context) error {
	var done []string
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-timer.C:
		}
		timer.Reset(recollectEvery)
		servers, err := r.log.Servers(ctx) // does not wait
		if err != nil {
			continue
		}
		others := slices.DeleteFunc(servers, func(s consensus.Server) bool { return s.ID == r.log.ID() || slices.Contains(done, s.ID) })
		if len(others) == 0 && len(servers) > 0 {
			return nil
		}
		limit, cancel := context.WithTimeout(ctx, recollectEvery)
		entry, answered := recollection{r.client, r.loop.Process()}.ask(limit, r.log.ID(), others)
		cancel()
		if err := r.log.Confirmed(entry); err != nil {
			return err
		}
		done = append(done, answered...)
		if len(answered) > 0 {
			r.logger.Debug("asked which entry this controller's log had before", zap.Strings("answered", answered), zap.Uint64("entry", entry))
		}
	}
}
