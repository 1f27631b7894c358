// Package poolwatch asks each app server of a pool all the time, on its own host, whether it serves, and proves it when the
// pools of two sites served at once.
//
// It must never accuse without proof: a stint lasts while one connection is answered, so it is of one process, and it counts
// from the end of the first answer to the beginning of the last question that was answered.
//
// Flow enters by Start, each instance's goroutine records its stints, and it leaves by Stints, Serving and Overlaps.
package poolwatch

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"sync"
	"time"
)

const (
	every = 40 * time.Millisecond  // from one question to the next
	limit = 500 * time.Millisecond // for an answer
)

// Instance is one app server.
type Instance struct {
	Name, Site string
	Address    string               // host:port
	On         func(f func()) error // runs f on the instance's host; nil for here
}

// Stint is a time for which one process served without a break.
type Stint struct {
	Instance, Site string
	From, To       time.Duration // since the start of the watch; To < From where it was answered only once
}

// Overlap is proof that two sites served at once.
type Overlap struct{ A, B Stint }

func (o Overlap) String() string {
	return fmt.Sprintf("%s of site %s served [%v, %v], %s of site %s [%v, %v]", o.A.Instance, o.A.Site, o.A.From, o.A.To, o.B.Instance,
		o.B.Site, o.B.From, o.B.To)
}

// Watch is a run. Its methods may be called from many goroutines, also after Stop.
type Watch struct {
	cancel context.CancelFunc
	all    sync.WaitGroup
	start  time.Time

	mu      sync.Mutex
	stints  []Stint
	serving map[string]bool // at the last look
	looks   map[string]int
	failed  error // a host could not be entered
}

// Start begins to watch. The caller stops it; the end of ctx does too.
func Start(ctx context.Context, instances []Instance) *Watch {
	ctx, cancel := context.WithCancel(ctx)
	w := &Watch{cancel: cancel, start: time.Now(), serving: map[string]bool{}, looks: map[string]int{}}
	for _, i := range instances {
		w.all.Go(func() { w.watch(ctx, i) })
	}
	return w
}

// Stop ends the watch, and tells whether every instance could be watched.
func (w *Watch) Stop() error {
	w.cancel()
	w.all.Wait()
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.failed
}

// Serving tells whether an instance served at the last look, and how often it was looked at.
func (w *Watch) Serving(instance string) (serving bool, looks int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.serving[instance], w.looks[instance]
}

// Stints returns what was seen so far, in the order of their beginnings.
func (w *Watch) Stints() []Stint {
	w.mu.Lock()
	defer w.mu.Unlock()
	all := slices.Clone(w.stints)
	slices.SortFunc(all, func(a, b Stint) int { return int(a.From - b.From) })
	return all
}

// Overlaps returns the proofs that pools of two sites served at once.
func (w *Watch) Overlaps() (found []Overlap) {
	all := w.Stints()
	for i, a := range all {
		for _, b := range all[i+1:] {
			if a.Site != b.Site && max(a.From, b.From) <= min(a.To, b.To) {
				found = append(found, Overlap{a, b})
			}
		}
	}
	return found
}

func (w *Watch) watch(ctx context.Context, i Instance) {
	look := func() {
		tick := time.NewTicker(every)
		defer tick.Stop()
		for ctx.Err() == nil {
			w.stint(ctx, i, tick)
			select {
			case <-ctx.Done():
			case <-tick.C:
			}
		}
	}
	if i.On == nil {
		look()
		return
	}
	if err := i.On(look); err != nil {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.failed = fmt.Errorf("watch %s: %w", i.Name, err)
	}
}

// stint asks on one connection for as long as it is answered.
func (w *Watch) stint(ctx context.Context, i Instance, tick *time.Ticker) {
	defer w.look(i, false)
	conn, err := (&net.Dialer{Timeout: limit}).Dial("tcp", i.Address)
	if err != nil {
		return
	}
	defer conn.Close()
	in, at := bufio.NewReader(conn), -1
	for ctx.Err() == nil {
		asked := time.Since(w.start)
		if !ask(conn, in) {
			return
		}
		w.mu.Lock()
		if at < 0 {
			at = len(w.stints)
			w.stints = append(w.stints, Stint{Instance: i.Name, Site: i.Site, From: time.Since(w.start)})
		}
		w.stints[at].To = asked
		w.mu.Unlock()
		w.look(i, true)
		select {
		case <-ctx.Done():
		case <-tick.C:
		}
	}
}

func (w *Watch) look(i Instance, serves bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.serving[i.Name] = serves
	w.looks[i.Name]++
}

// ask wants any answer: the process serves. No database is asked, so none can be the reason for silence.
func ask(conn net.Conn, in *bufio.Reader) bool {
	conn.SetDeadline(time.Now().Add(limit))
	if _, err := io.WriteString(conn, "GET /nothing HTTP/1.1\r\nHost: poolwatch\r\n\r\n"); err != nil {
		return false
	}
	answer, err := http.ReadResponse(in, nil)
	if err != nil {
		return false
	}
	defer answer.Body.Close()
	_, err = io.Copy(io.Discard, answer.Body)
	return err == nil
}
