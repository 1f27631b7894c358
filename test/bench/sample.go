package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"mainstay/controller/state"
	"mainstay/test/platform/load"
)

// sample is one measured outage. outage is the client's: the longest time without an acknowledgement. The parts begin with
// the fault, which is up to one write later than the outage; where the client notices only later, their sum is longer.
type sample struct {
	outage                            time.Duration
	detect, fence, promote, reconnect time.Duration
	after                             time.Duration // the longest time without an acknowledgement from the end of the fault to health
	proof, problem                    string
}

func (s sample) String() string {
	return fmt.Sprintf("%s, %s, proof %s", s.outage.Round(time.Millisecond), s.problem, s.proof)
}

// split tells where the time went, by the leader's record, the new primary's log and the client: one machine, one clock.
func (b *bench) split(begun time.Time, op state.Operation, o load.Outage) sample {
	at := moments(op)
	if t, ok := at["stop"]; ok { // a switchover: the outage begins with the stop, not with the request
		at["began"], begun = t, t
		if b.Apps != nil { // or with the app servers' drain
			begun = o.Start
		}
	}
	raw, _ := os.ReadFile(filepath.Join(filepath.Dir(b.Data(op.To)), "postgresql.log"))
	writable := readyAfter(string(raw), at["promote"])
	s := sample{
		outage: o.Length, detect: at["began"].Sub(begun), fence: at["promote"].Sub(at["began"]),
		promote: writable.Sub(at["promote"]), reconnect: o.End.Sub(writable), problem: problem(op),
	}
	if op.Proof != nil {
		s.proof = string(op.Proof.Kind)
	}
	return s
}

// moments of an operation's steps; of several with one name the last.
func moments(op state.Operation) map[string]time.Time {
	at := map[string]time.Time{}
	for _, step := range op.Steps {
		if t, err := time.Parse(time.RFC3339, step.At); err == nil {
			at[step.Name] = t
		}
	}
	return at
}

// problem is what a failover answers, by the first word of its reason; "asked" where an operator wanted it.
func problem(op state.Operation) string {
	if op.Kind != state.Failover {
		return "asked"
	}
	word, _, _ := strings.Cut(op.Reason, ":")
	return word
}

// readyAfter is when PostgreSQL's log says for the first time after a moment that it takes connections; the moment itself
// where it does not say so.
func readyAfter(log string, after time.Time) time.Time {
	for line := range strings.Lines(log) {
		if !strings.Contains(line, "database system is ready to accept connections") {
			continue
		}
		if t, err := time.Parse("2006-01-02 15:04:05.000 MST", strings.SplitN(line, " [", 2)[0]); err == nil && t.After(after) {
			return t
		}
	}
	return after
}
