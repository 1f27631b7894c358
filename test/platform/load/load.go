// Package load writes to the sample platform all the time, remembers every post it was told is stored, and says afterwards
// which of them are gone and for how long nothing could be written. It is the judge of S2 and of every outage measured.
//
// It must never count a post as acknowledged that is not in its ledger file, nor as lost one that was not acknowledged:
// an attempt without an answer is *unknown*, and never looked for. Each attempt has an id of its own, so nothing is
// repeated. Times are of the monotonic clock, taken right before the attempt and right after its answer.
//
// Flow enters by Start; writers send attempts to a Target (Direct to PostgreSQL, or HTTP to app servers) and put each
// answer in the Ledger; it leaves by Report, Outages, AwaitOutage, AwaitWrite and Verify, or by the control socket (ServeControl).
package load

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"sync"
	"time"
)

// Timings of a client.
const (
	DefaultEvery     = 10 * time.Millisecond
	DefaultThreshold = 50 * time.Millisecond
	DefaultRetry     = 5 * time.Millisecond // the resolution of measured outages
)

// Target is where posts are written and read back.
type Target interface {
	// Writer returns a connection for one goroutine, which closes it. It connects only when it writes.
	Writer() Writer
	// Missing returns those of the ids that the present primary does not have.
	Missing(ctx context.Context, ids []string) ([]string, error)
}

// Writer makes one attempt at a time.
type Writer interface {
	// Write stores a post; nil means acknowledged, every error means unknown. It is bounded by deadlines of its own, and
	// is not cancelled by ctx once the request is on its way.
	Write(ctx context.Context, id string) error
	Close()
}

// Options describe one run. Target and Ledger are required; the client does not close the ledger.
type Options struct {
	Target    Target
	Ledger    *Ledger
	Writers   int           // default 1
	Every     time.Duration // from one attempt of a writer to its next; default DefaultEvery
	Threshold time.Duration // a longer time without an acknowledgement is an outage; default DefaultThreshold
	Retry     time.Duration // pause after a failed attempt, for which each replica may have made a session; default DefaultRetry
}

// Client is one run. Its methods may be called from many goroutines, also after Stop.
type Client struct {
	o      Options
	cancel context.CancelFunc
	done   chan struct{} // closed when all writers have returned

	mu    sync.Mutex
	start time.Time
	end   time.Time     // zero while running
	acked [][]time.Time // by writer, in order; nothing from earlier runs
	moved chan struct{} // closed and replaced at each acknowledgement
	fault time.Time     // when the last attempt that failed had its answer; zero: none has
	tally Tally
	marks []mark
	fatal error // the ledger could not be written
}

// Tally counts attempts. Running attempts are Attempts - Acked - Unknown.
type Tally struct {
	Attempts  int    `json:"attempts"`
	Acked     int    `json:"acked"`
	Unknown   int    `json:"unknown"` // failed: may be stored or not
	LastError string `json:"lastError,omitempty"`
}

// Start begins to write. The caller stops it; the end of ctx does too.
func Start(ctx context.Context, o Options) (*Client, error) {
	if o.Target == nil || o.Ledger == nil {
		return nil, errors.New("load: a target and a ledger are required")
	}
	o.Writers = max(o.Writers, 1)
	if o.Every <= 0 {
		o.Every = DefaultEvery
	}
	if o.Threshold <= 0 {
		o.Threshold = DefaultThreshold
	}
	if o.Retry <= 0 {
		o.Retry = DefaultRetry
	}
	ctx, cancel := context.WithCancel(ctx)
	c := &Client{o: o, cancel: cancel, done: make(chan struct{}), start: time.Now(),
		acked: make([][]time.Time, o.Writers), moved: make(chan struct{})}
	var writers sync.WaitGroup
	for n := range o.Writers {
		writers.Go(func() { c.write(ctx, n) })
	}
	go func() {
		writers.Wait()
		c.mu.Lock()
		c.end = time.Now()
		c.mu.Unlock()
		close(c.done)
	}()
	return c, nil
}

// Stop ends the run, waits for the running attempts, and returns what ended it early, if anything did.
func (c *Client) Stop() error {
	c.cancel()
	<-c.done
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.fatal
}

// Done is closed when the run has ended.
func (c *Client) Done() <-chan struct{} { return c.done }

// write is the loop of writer n.
func (c *Client) write(ctx context.Context, n int) {
	w := c.o.Target.Writer()
	defer w.Close()
	next := time.NewTimer(0)
	defer next.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-next.C:
		}
		begun := time.Now()
		if !c.attempt(ctx, w, n, begun) {
			next.Reset(c.o.Retry)
			continue
		}
		next.Reset(c.o.Every - time.Since(begun))
	}
}

// attempt writes one post and tells whether it was acknowledged.
func (c *Client) attempt(ctx context.Context, w Writer, n int, begun time.Time) bool {
	a := Ack{ID: newID(), Writer: n, Started: begun}
	c.mu.Lock()
	c.tally.Attempts++
	c.mu.Unlock()
	err := w.Write(ctx, a.ID)
	a.Acked = time.Now()
	if err != nil {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.tally.Unknown++
		c.tally.LastError = err.Error()
		c.fault = a.Acked
		return false
	}
	err = c.o.Ledger.Add(a)
	c.mu.Lock()
	defer c.mu.Unlock()
	if err != nil { // without a record there is no acknowledgement to judge by: end the run rather than forget
		c.fatal = err
		c.cancel()
		return false
	}
	c.tally.Acked++
	c.acked[n] = append(c.acked[n], a.Acked)
	close(c.moved)
	c.moved = make(chan struct{})
	return true
}

// newID is a random UUID (version 4).
func newID() string {
	var b [16]byte
	rand.Read(b[:])
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}
