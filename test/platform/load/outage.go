package load

import (
	"slices"
	"time"
)

// Outage is a time without an acknowledgement, longer than the threshold.
type Outage struct {
	Start  time.Time     `json:"start"` // the last acknowledgement before it, or the start of the run
	End    time.Time     `json:"end"`   // the first one after it, or, if Open, the time of the report
	Length time.Duration `json:"length"`
	Open   bool          `json:"open,omitempty"` // it had not ended yet
}

// gaps returns the times between acknowledgements, given in any order, that ended after since. The
// times before the first and after the last one are gaps like any other: silence at either end must not look like health.
func gaps(acks []time.Time, start, since, now time.Time) (found []Outage) {
	acks = slices.Clone(acks)
	slices.SortFunc(acks, time.Time.Compare)
	last := start
	for i, t := range append(acks, now) {
		if t.After(since) {
			found = append(found, Outage{Start: last, End: t, Length: t.Sub(last), Open: i == len(acks)})
		}
		last = t
	}
	return found
}

// tail returns the part of one writer's ordered acknowledgements that gaps needs: those after since and the one before.
func tail(acks []time.Time, since time.Time) []time.Time {
	i, _ := slices.BinarySearchFunc(acks, since, time.Time.Compare)
	return acks[max(i-1, 0):]
}

// over returns those that are longer than the threshold.
func over(gaps []Outage, threshold time.Duration) (outages []Outage) {
	for _, g := range gaps {
		if g.Length > threshold {
			outages = append(outages, g)
		}
	}
	return outages
}

// longest returns the length of the longest one, or 0.
func longest(outages []Outage) (d time.Duration) {
	for _, o := range outages {
		d = max(d, o.Length)
	}
	return d
}

func total(outages []Outage) (d time.Duration) {
	for _, o := range outages {
		d += o.Length
	}
	return d
}
