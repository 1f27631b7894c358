package member

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"mainstay/controller/platform"
	"mainstay/health"
)

// Promised is what a member owes a primary: until Until (CLOCK_BOOTTIME) it lets itself be neither sealed nor promoted (L5).
// It lives in memory; Since, the start of the agent's process, stands in for what was forgotten.
type Promised struct {
	To    string
	Until time.Duration
	Since time.Duration
}

// until is when the member is free again: what it promised, and what it may have promised before its agent was started.
func (p Promised) until(longest time.Duration) time.Duration {
	return max(p.Until, p.Since+platform.CountOut(longest))
}

// barred says why a seal or a promotion must wait for a promise, "" if it need not (L5). Who is sealed already, who ran the
// last epoch it obeyed, and who joins a cluster's first epoch, cannot have promised since.
func (in *Input) barred() string {
	d, until := in.Durable, in.Promised.until(in.longest())
	if in.Now >= until || !d.Sealed.IsZero() || in.Goal.Epoch.Number <= 1 || !d.Ran.IsZero() && d.Ran == d.Epoch {
		return ""
	}
	left := (until - in.Now).Round(100 * time.Millisecond)
	if in.Promised.To == "" {
		return fmt.Sprintf("waiting %s more: before its agent was started it may have promised a primary not to be sealed or promoted", left)
	}
	return fmt.Sprintf("waiting %s more: it promised %s not to be sealed or promoted", left, in.Promised.To)
}

// peers and longest are what a promise is bounded by: what the controllers have said, or said to an earlier run of the agent. A
// lease that was made shorter may still be in force, and the controllers say the longer one until it is not (L4).
func (in *Input) peers() string {
	if len(in.Goal.Slots) > 0 {
		return strings.Join(in.Goal.Slots, " ")
	}
	return in.Durable.Peers
}

func (in *Input) longest() time.Duration {
	if in.Goal.Lease > 0 {
		return in.Goal.Lease
	}
	return in.Durable.Longest
}

// unlearned: on disk is another list of members, or another longest lease, than the controllers say.
func (in *Input) unlearned() bool {
	return in.peers() != in.Durable.Peers || in.longest() != in.Durable.Longest
}

// Promise answers a primary that no leader answers. The caller has just tried to reach a leader itself, in vain. It
// promises only what it can keep: who is sealed, has obeyed or been told of a higher epoch, or knows a newer member list,
// refuses.
func Promise(in Input, r platform.PromiseRequest) (Promised, platform.PromiseAnswer) {
	now, d, refuse := in.Promised, in.Durable, func(format string, args ...any) (Promised, platform.PromiseAnswer) {
		return in.Promised, platform.PromiseAnswer{Reason: fmt.Sprintf(format, args...)}
	}
	switch {
	case r.To != in.Name:
		return refuse("%s was asked for, this is %s", r.To, in.Name)
	case !slices.Contains(strings.Fields(in.peers()), r.From):
		return refuse("it knows of no member %s in its cluster", r.From)
	case r.Length < platform.MinLease || r.Length > in.longest():
		return refuse("a lease of %s is not between %s and %s, the longest that may be in force", r.Length, platform.MinLease, in.longest())
	case !d.Sealed.IsZero():
		return refuse("sealed for attempt %s", d.Sealed)
	case r.Epoch != d.Epoch:
		return refuse("its epoch is %s, not %s", d.Epoch, r.Epoch)
	case !d.Ran.IsZero() && d.Ran == d.Epoch || in.Goal.Kind == platform.GoalPrimary:
		return refuse("it is, or is to be, the primary itself")
	case r.Epoch.Less(in.Goal.Epoch):
		return refuse("it has been told of epoch %s", in.Goal.Epoch)
	case r.List < in.Goal.List:
		return refuse("it knows a newer list of members (%d, the primary knows %d)", in.Goal.List, r.List)
	}
	now.To, now.Until = r.From, max(now.Until, in.Now+platform.CountOut(r.Length))
	return now, platform.PromiseAnswer{Given: true, Incarnation: d.Incarnation}
}

// Vouched tells whether promises from these members, by the incarnation of their data, let a primary renew its lease
// (L5): k of every durability set it knows with acks k, because any promotion must seal |S|-k+1 of them; all other members
// where a set has acks 0.
func Vouched(g platform.Goal, promises map[string]string) bool {
	if g.Kind != platform.GoalPrimary || len(g.Sets) == 0 {
		return false
	}
	for _, set := range g.Sets {
		n := 0
		for _, incarnation := range promises {
			if set.Has(incarnation) {
				n++
			}
		}
		if set.Acks > 0 && n < set.Acks || set.Acks == 0 && !all(g.Slots, promises) {
			return false
		}
	}
	return true
}

func all(members []string, promises map[string]string) bool {
	for _, m := range members {
		if _, ok := promises[m]; !ok {
			return false
		}
	}
	return true
}

// Unanswered is for how long a primary's agent has taken no grant when it asks for promises: at the third heartbeat that no
// leader answers. The last answer came a moment after its heartbeat, so it is half a heartbeat less than three.
func Unanswered(lease time.Duration) time.Duration {
	return platform.Suspect(lease) - platform.Heartbeat(lease)/2
}

// Asks tells whether a primary must ask for promises now (L5): a leader has granted its lease before, at granted and for
// length, and has not answered for three heartbeats, the lease still runs, and so does the primary. One that has ended is
// never started under that epoch again, so a promise to it would only keep its successor waiting (S8).
func (in *Input) Asks(granted, length time.Duration) bool {
	g := &in.Goal
	return g.Kind == platform.GoalPrimary && !g.Paused && in.Memory.Opened == g.Epoch && in.Durable.Closed.Less(g.Epoch) &&
		in.Seen.Process != health.ProcessEnding && in.Seen.Process != health.ProcessEnded &&
		in.Lease.Epoch == g.Epoch && in.Lease.End > in.Now && granted != 0 && in.Now-granted >= Unanswered(length)
}

// LookFor is for how long an agent that is asked for a promise looks for a leader first: a fifth of the lease, at most a
// second. Where its own reports have found none for two heartbeats a glance is enough, so that promises come before what hangs
// on them ends: permits of app servers run for five heartbeats.
func LookFor(lease, unanswered time.Duration) time.Duration {
	if beat := platform.Heartbeat(lease); unanswered >= 2*beat {
		return beat / 5
	}
	return min(time.Second, lease/5)
}
