package main

import (
	"fmt"
	"io"
	"slices"
	"time"
)

// The systems, as the table's head names them.
const (
	mainstayWaits = "Mainstay, acks 1"
	patroniWaits  = "Patroni, synchronous"
	mainstayAlone = "Mainstay, acks 0"
	patroniAlone  = "Patroni, asynchronous"
)

// pairs are those that are compared with each other: ours first.
var pairs = [][2]string{{mainstayWaits, patroniWaits}, {mainstayAlone, patroniAlone}}

// result is what was measured of one system.
type result struct {
	name    string
	times   map[string][]time.Duration // by row of the table
	checked int                        // acknowledged posts that were read back; 0 if they could not be
	missing int                        // of them
}

func (r *result) add(row string, d time.Duration) { r.times[row] = append(r.times[row], d) }

// table has all results.
type table struct {
	head string // the conditions of the figures; "" before the first system was ready
	all  []*result
}

// of returns the result of a system, which it makes if there is none.
func (t *table) of(name string) *result {
	for _, r := range t.all {
		if r.name == name {
			return r
		}
	}
	r := &result{name: name, times: map[string][]time.Duration{}}
	t.all = append(t.all, r)
	return r
}

// rows of the table, in its order.
func rows() []string {
	return []string{killed, switched, hostCut, killed + afterwards, switched + afterwards, hostCut + afterwards, idleCPU}
}

func (t *table) print(out io.Writer) {
	if t.head == "" {
		return
	}
	fmt.Fprintf(out, "\n%s\nMedians (least to most) in seconds. An outage is the client's time without an acknowledged write; a rejoin ends\n"+
		"when the old primary streams again, and begins with that write, or when the cut is healed.\n\n|", t.head)
	rule := "|---|"
	for _, pair := range pairs {
		fmt.Fprintf(out, " | %s | %s | ratio", pair[0], pair[1])
		rule += "---|---|---|"
	}
	fmt.Fprintln(out, " |\n"+rule)
	for _, row := range rows() {
		fmt.Fprint(out, "| "+row)
		for _, pair := range pairs {
			ours, theirs := t.of(pair[0]).times[row], t.of(pair[1]).times[row]
			fmt.Fprintf(out, " | %s | %s | %s", spread(ours), spread(theirs), ratio(ours, theirs))
		}
		fmt.Fprintln(out, " |")
	}
	fmt.Fprint(out, "| acknowledged posts missing")
	for _, pair := range pairs {
		fmt.Fprintf(out, " | %s | %s | ", t.of(pair[0]).posts(), t.of(pair[1]).posts())
	}
	fmt.Fprintln(out, " |")
}

func (r *result) posts() string {
	if r.checked == 0 {
		return "not known"
	}
	return fmt.Sprintf("%d of %d", r.missing, r.checked)
}

// kept is an error if a post is gone that a system must not lose.
func (r *result) kept() error {
	if r.missing > 0 {
		return fmt.Errorf("acknowledged posts are missing: %s", r.posts())
	}
	return nil
}

// median is the middle one, or the mean of the two in the middle; 0 of none.
func median(all []time.Duration) time.Duration {
	n := len(all)
	if n == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(all))
	return (sorted[(n-1)/2] + sorted[n/2]) / 2
}

// spread is `0.43 (0.42-0.47), n=5`; one value stands alone.
func spread(all []time.Duration) string {
	switch len(all) {
	case 0:
		return "-"
	case 1:
		return fmt.Sprintf("%.2f", all[0].Seconds())
	}
	return fmt.Sprintf("%.2f (%.2f-%.2f), n=%d", median(all).Seconds(), slices.Min(all).Seconds(), slices.Max(all).Seconds(), len(all))
}

// ratio of the medians.
func ratio(ours, theirs []time.Duration) string {
	if len(ours) == 0 || median(theirs) == 0 {
		return "-"
	}
	return fmt.Sprintf("%.2f", float64(median(ours))/float64(median(theirs)))
}
