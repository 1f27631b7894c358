package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"runtime"
	"slices"
	"strings"
	"time"

	"mainstay/controller/state"
	"mainstay/controller/wire"
)

// lookEvery is how often a calm platform is looked at: a change that is undone sooner may go unseen, but for those of which
// the history or Raft's term keeps count.
const lookEvery = time.Second

// quiet counts the events of a platform to which nothing was done.
type quiet struct {
	LastedMS int64              `json:"lastedMS"`
	Loops    loops              `json:"loops"` // that kept the machine busy
	Costs    map[string]float64 `json:"costsMS"`

	Failovers      []string `json:"failovers"` // automatic ones: id and reason; one is a failure
	Abandoned      []string `json:"abandoned"` // begun, and given up because the primary turned out well
	PrimaryChanges int      `json:"primaryChanges"`
	LeaderChanges  int      `json:"leaderChanges"`
	Elections      int      `json:"elections"` // by which Raft's term rose
	GuardKills     int      `json:"guardKills"`
	Epochs         int      `json:"epochs"` // how many were begun
	Looks          int      `json:"looks"`
	Unanswered     int      `json:"unanswered"` // looks to which no leader answered in time

	LongestOutageMS int64 `json:"longestOutageMS"`
	Acknowledged    int   `json:"acknowledged"`
	Missing         int   `json:"missing"` // or unknown
}

// calm watches a healthy platform under the ordinary load on a busy machine, and prints what happened, also when it is
// ended early. It is an error if a failover happened, or if an acknowledged post is missing.
func calm(ctx context.Context, dir string, o options) (err error) {
	b, err := open(ctx, dir, loopback)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.close()) }()
	costs, err := b.costs(ctx)
	if err != nil {
		return err
	}
	end, err := b.client(ctx, "calm", false)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, end()) }()
	if err := b.acknowledged(ctx); err != nil {
		return err
	}
	q, err := b.busy(ctx, o.calm, o.burn)
	if v, verr := b.verify(ctx); verr != nil {
		err = errors.Join(err, verr)
	} else {
		q.Acknowledged, q.Missing = v.Checked, len(v.Missing)
	}
	if q.Costs = costs.JSON(); o.json {
		err = errors.Join(err, encode(os.Stdout, q))
	} else {
		fmt.Println(costs)
		q.print(os.Stdout)
	}
	return errors.Join(err, q.verdict())
}

// busy keeps the machine busy for so long, and watches.
func (b *bench) busy(ctx context.Context, length time.Duration, l loops) (q quiet, err error) {
	q = quiet{Missing: unknown, Loops: l, Failovers: []string{}, Abandoned: []string{}}
	first, err := b.Cluster(ctx)
	if err != nil {
		return q, err
	}
	w := &watch{b: b, primary: first.Primary, kills: map[string]bool{}, terms: b.term(ctx)}
	burning, err := burn(b.Dir, l)
	if err != nil {
		return q, err
	}
	mark, begun := b.load.Mark(), time.Now()
	err = errors.Join(w.until(ctx, begun.Add(length), &q), burning.stop())
	q.LastedMS = time.Since(begun).Milliseconds()
	r, rerr := b.load.Report(mark)
	q.LongestOutageMS = r.Longest.Milliseconds()
	return q, errors.Join(err, rerr, b.count(context.WithoutCancel(ctx), first, w, &q))
}

// count adds what the platform itself keeps count of.
func (b *bench) count(ctx context.Context, first wire.ClusterState, w *watch, q *quiet) error {
	ctx, cancel := context.WithTimeout(ctx, 15*time.Second)
	defer cancel()
	last, err := b.asked(ctx)
	if err != nil {
		return err
	}
	q.Epochs = int(last.Epoch.Number) - int(first.Epoch.Number)
	q.Elections = int(b.term(ctx)) - int(w.terms)
	q.GuardKills = len(w.kills)
	c := b.Client()
	defer c.Close()
	var h wire.HistoryAnswer
	if err := c.Do(ctx, http.MethodGet, "/v1/clusters/feed/history?limit=1000", nil, &h); err != nil {
		return err
	}
	for _, op := range h.Operations {
		if op.Kind != state.Failover || !first.Epoch.Less(op.Epoch) {
			continue
		}
		line := fmt.Sprintf("%s (%s): %s", op.ID, op.Result, op.Reason)
		if op.Result == state.Abandoned {
			q.Abandoned = append(q.Abandoned, line)
		} else {
			q.Failovers = append(q.Failovers, line)
		}
	}
	return nil
}

// verdict is an error if something happened that must not.
func (q quiet) verdict() error {
	var errs []error
	if n := len(q.Failovers); n > 0 {
		errs = append(errs, fmt.Errorf("%d automatic failovers of a healthy platform: %s", n, strings.Join(q.Failovers, "; ")))
	}
	if q.GuardKills > 0 {
		errs = append(errs, fmt.Errorf("the guards killed %d times", q.GuardKills))
	}
	// One change of leader in half an hour is allowed, and in any shorter time.
	if most := max(1, int(q.LastedMS/(30*time.Minute).Milliseconds())); q.LeaderChanges > most {
		errs = append(errs, fmt.Errorf("%d changes of leader, at most %d are allowed", q.LeaderChanges, most))
	}
	if q.Missing > 0 {
		errs = append(errs, fmt.Errorf("%d acknowledged posts are missing", q.Missing))
	}
	return errors.Join(errs...)
}

func (q quiet) print(out io.Writer) {
	missing := result{acknowledged: q.Acknowledged, missing: q.Missing}.posts()
	lasted := (time.Duration(q.LastedMS) * time.Millisecond).Round(time.Second)
	fmt.Fprintf(out, "\ncalm for %s: a healthy platform under its load, beside loops (%s) on %d CPUs\n", lasted, q.Loops, runtime.NumCPU())
	for _, line := range []struct {
		what  string
		value any
	}{
		{"automatic failovers", len(q.Failovers)}, {"failovers begun and abandoned", len(q.Abandoned)},
		{"changes of primary", q.PrimaryChanges}, {"epochs begun", q.Epochs}, {"guards' kills", q.GuardKills},
		{"changes of leader", fmt.Sprintf("%d (Raft's term rose by %d)", q.LeaderChanges, q.Elections)},
		{"looks that no leader answered", fmt.Sprintf("%d of %d", q.Unanswered, q.Looks)},
		{"longest write outage", time.Duration(q.LongestOutageMS) * time.Millisecond},
		{"acknowledged posts missing", missing},
	} {
		fmt.Fprintf(out, "  %-32s %v\n", line.what, line.value)
	}
	for _, line := range slices.Concat(q.Failovers, q.Abandoned) {
		fmt.Fprintln(out, "  "+line)
	}
}
