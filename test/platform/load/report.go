package load

import (
	"context"
	"fmt"
	"strconv"
	"time"
)

// mark is a moment from which a report counts.
type mark struct {
	at    time.Time
	tally Tally
}

// Report summarises the run since a mark. It lists all outages that ended after it, including the open one.
type Report struct {
	Since    time.Time       `json:"since"`
	Until    time.Time       `json:"until"`
	Tally    Tally           `json:"tally"`
	Longest  time.Duration   `json:"longest"` // longest time without an acknowledgement to any writer, an outage or not; ns
	Total    time.Duration   `json:"total"`   // of the outages
	Outages  []Outage        `json:"outages"` // of all writers together, longer than the threshold
	Writers  []WriterOutages `json:"writers"`
	Recorded int             `json:"recorded"` // all posts of the ledger, those of earlier runs included
}

// WriterOutages are those of one writer alone.
type WriterOutages struct {
	Longest time.Duration `json:"longest"`
	Outages []Outage      `json:"outages"`
}

// String is one line for scripts and people. outage_ms is Longest, in milliseconds with three decimals, also when that is
// no more than the usual pause between two writes.
func (r Report) String() string {
	open := ""
	if n := len(r.Outages); n > 0 && r.Outages[n-1].Open {
		open = " open=true"
	}
	return fmt.Sprintf("outage_ms=%s total_ms=%s outages=%d acked=%d unknown=%d%s",
		ms(r.Longest), ms(r.Total), len(r.Outages), r.Tally.Acked, r.Tally.Unknown, open)
}

func ms(d time.Duration) string {
	return strconv.FormatFloat(float64(d.Microseconds())/1000, 'f', 3, 64)
}

// ErrNoMark is returned for a token that Mark did not give.
type ErrNoMark struct{ Token string }

func (e *ErrNoMark) Error() string {
	return fmt.Sprintf("there is no mark %q in this run: take one with mark first", e.Token)
}

// Mark remembers this moment and returns its token, for Report and AwaitOutage.
func (c *Client) Mark() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.marks = append(c.marks, mark{time.Now(), c.tally})
	return "m" + strconv.Itoa(len(c.marks))
}

// markOf finds a mark; the empty token is the start of the run. c.mu is held.
func (c *Client) markOf(token string) (mark, error) {
	if token == "" {
		return mark{at: c.start}, nil
	}
	for i, m := range c.marks {
		if token == "m"+strconv.Itoa(i+1) {
			return m, nil
		}
	}
	return mark{}, &ErrNoMark{token}
}

// Report tells what happened since a mark, or since the start ("").
func (c *Client) Report(token string) (Report, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	m, err := c.markOf(token)
	if err != nil {
		return Report{}, err
	}
	r := Report{Since: m.at, Until: c.now(), Recorded: len(c.o.Ledger.IDs())}
	all := c.gaps(m.at)
	r.Longest, r.Outages = longest(all), over(all, c.o.Threshold)
	r.Total = total(r.Outages)
	r.Tally = Tally{c.tally.Attempts - m.tally.Attempts, c.tally.Acked - m.tally.Acked, c.tally.Unknown - m.tally.Unknown, ""}
	if r.Tally.Unknown > 0 {
		r.Tally.LastError = c.tally.LastError
	}
	for _, acks := range c.acked {
		own := gaps(tail(acks, m.at), c.start, m.at, r.Until)
		r.Writers = append(r.Writers, WriterOutages{longest(own), over(own, c.o.Threshold)})
	}
	return r, nil
}

// Outages returns the times without an acknowledgement to any writer that ended after since, the open one included.
func (c *Client) Outages(since time.Time) []Outage {
	c.mu.Lock()
	defer c.mu.Unlock()
	return over(c.gaps(since), c.o.Threshold)
}

// gaps are those of all writers together. c.mu is held.
func (c *Client) gaps(since time.Time) []Outage {
	var acks []time.Time
	for _, own := range c.acked {
		acks = append(acks, tail(own, since)...)
	}
	return gaps(acks, c.start, since, c.now())
}

// now is the time up to which the run is judged. c.mu is held.
func (c *Client) now() time.Time {
	if !c.end.IsZero() {
		return c.end
	}
	return time.Now()
}

// AwaitWrite waits for an acknowledgement after an attempt that failed, both after the mark, and returns the outage that it
// ended. Where a server hangs for a moment, no attempt may fail, and where one fails for another reason, it was no fault: ask
// which server is primary. Errors: *ErrNoMark, or ctx's.
func (c *Client) AwaitWrite(ctx context.Context, token string) (Outage, error) {
	return c.await(ctx, token, "write after a failed one", func(m mark) (Outage, bool) {
		if c.fault.After(m.at) {
			for _, o := range c.gaps(c.fault) {
				if !o.Open {
					return o, true
				}
			}
		}
		return Outage{}, false
	})
}

// AwaitOutage waits until an outage that ended after the mark is over, and returns it; the longest, if there are several.
// The threshold decides what is one: a failover may well take less than 100 ms. Errors: *ErrNoMark, or ctx's when there was none in time.
func (c *Client) AwaitOutage(ctx context.Context, token string) (Outage, error) {
	return c.await(ctx, token, "finished outage", func(m mark) (longest Outage, ok bool) {
		for _, o := range over(c.gaps(m.at), c.o.Threshold) {
			if !o.Open && o.Length > longest.Length {
				longest = o
			}
		}
		return longest, longest.Length > 0
	})
}

// await looks for what there may be since a mark, at each acknowledgement. find is called with c.mu held.
func (c *Client) await(ctx context.Context, token, what string, find func(mark) (Outage, bool)) (o Outage, err error) {
	for {
		c.mu.Lock()
		m, err := c.markOf(token)
		moved, found := c.moved, false
		if err == nil {
			o, found = find(m)
		}
		last := c.tally.LastError
		c.mu.Unlock()
		if err != nil || found {
			return o, err
		}
		select {
		case <-moved:
		case <-c.done:
			return Outage{}, fmt.Errorf("the load stopped before there was a %s since %s", what, token)
		case <-ctx.Done():
			return Outage{}, fmt.Errorf("there was no %s since %s in time (last error of a writer: %s): %w", what, token, last, ctx.Err())
		}
	}
}
