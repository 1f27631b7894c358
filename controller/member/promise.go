package member

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"mainstay/controller/platform"
	"mainstay/health"
)

// Promised is a member's promise to a primary: until Until (CLOCK_BOOTTIME) it is neither sealed nor promoted (L5). It is kept in
// memory; a promise of an earlier process, now forgotten, was given before Since, the start of this one.
type Promised struct {
	To    string
	Until time.Duration
	Since time.Duration
}

// until is when the member is free again, of its promise and of any that an earlier process of its agent may have given.
func (p Promised) until(longest time.Duration) time.Duration {
	return max(p.Until, p.Since+platform.CountOut(longest))
}

// waitsForPromise says why a seal or a promotion must wait for a promise; "" if it need not (L5). A member that is already sealed, was the
// primary of the last epoch it obeyed, or joins a cluster's first epoch cannot have promised since.
func (in *Input) waitsForPromise() string {
	d, until := in.Durable, in.Promised.until(in.longest())
	if in.Now >= until || !d.Sealed.IsZero() || in.Goal.Epoch.Number <= 1 || !d.Ran.IsZero() && d.Ran == d.Epoch {
		return ""
	}
	left := (until - in.Now).Round(100 * time.Millisecond)
	if in.Promised.To == "" {
		return fmt.Sprintf("waiting %s more: before its agent restarted it may have promised a primary not to be sealed or promoted", left)
	}
	return fmt.Sprintf("waiting %s more: it promised %s not to be sealed or promoted", left, in.Promised.To)
}

// peers and longest bound a promise. They come from the goal, or from the disk if there is none yet. After a lease was shortened the
// longer one may still be in force, and the goal has the longer one until it is not (L4).
func (in *Input) peers() string {
	if len(in.Goal.OtherMembers) > 0 {
		return strings.Join(in.Goal.OtherMembers, " ")
	}
	return in.Durable.Peers
}

func (in *Input) longest() time.Duration {
	if in.Goal.Lease > 0 {
		return in.Goal.Lease
	}
	return in.Durable.Longest
}

// unlearned tells whether the disk has another list of members, or another longest lease, than the goal.
func (in *Input) unlearned() bool {
	return in.peers() != in.Durable.Peers || in.longest() != in.Durable.Longest
}

// Promise answers a primary that cannot reach a leader. The caller has just failed to reach one itself. A member refuses if it could
// not keep the promise: if it is sealed, has obeyed or been told of a higher epoch, or knows a newer member list.
func Promise(in Input, r platform.PromiseRequest) (Promised, platform.PromiseAnswer) {
	now, d, refuse := in.Promised, in.Durable, func(format string, args ...any) (Promised, platform.PromiseAnswer) {
		return in.Promised, platform.PromiseAnswer{Reason: fmt.Sprintf(format, args...)}
	}
	switch {
	case r.To != in.Name:
		return refuse("the request is for %s, this is %s", r.To, in.Name)
	case !slices.Contains(strings.Fields(in.peers()), r.From):
		return refuse("it knows no member %s in its cluster", r.From)
	case r.Length < platform.MinLease || r.Length > in.longest():
		return refuse("a lease of %s is not between %s and %s, the longest that may be in force", r.Length, platform.MinLease, in.longest())
	case !d.Sealed.IsZero():
		return refuse("sealed for attempt %s", d.Sealed)
	case r.Epoch != d.Epoch:
		return refuse("its epoch is %s, not %s", d.Epoch, r.Epoch)
	case !d.Ran.IsZero() && d.Ran == d.Epoch || in.Goal.Kind == platform.GoalPrimary:
		return refuse("it is, or becomes, the primary itself")
	case r.Epoch.Less(in.Goal.Epoch):
		return refuse("its goal already has epoch %s", in.Goal.Epoch)
	case r.List < in.Goal.MembersVersion:
		return refuse("it knows a newer member list (%d) than the primary (%d)", in.Goal.MembersVersion, r.List)
	}
	now.To, now.Until = r.From, max(now.Until, in.Now+platform.CountOut(r.Length))
	return now, platform.PromiseAnswer{Given: true, Incarnation: d.Incarnation, Former: d.Former}
}

// EnoughPromises tells whether the promises of these members let a primary renew its lease (L5). It needs k members of every durability
// set that it knows with acks k, because any promotion must seal |S|-k+1 of them, and all other members if a set has acks 0. A member
// counts for its former name too: the controllers may have dropped a set, and a member may have replaced its data for that, before the
// primary knows of it. Data of that name can no longer be sealed.
func EnoughPromises(g platform.Goal, promises map[string]platform.PromiseAnswer) bool {
	if g.Kind != platform.GoalPrimary || len(g.Sets) == 0 {
		return false
	}
	for _, set := range g.Sets {
		n := 0
		for _, p := range promises {
			if set.Has(p.Incarnation) || p.Former != "" && set.Has(p.Former) {
				n++
			}
		}
		if set.Acks > 0 && n < set.Acks || set.Acks == 0 && !all(g.OtherMembers, promises) {
			return false
		}
	}
	return true
}

func all(members []string, promises map[string]platform.PromiseAnswer) bool {
	for _, m := range members {
		if _, ok := promises[m]; !ok {
			return false
		}
	}
	return true
}

// Unanswered is how long a primary's agent has taken no grant when it asks for promises: at the third heartbeat that no leader
// answers. The last answer came a moment after its heartbeat, so it is half a heartbeat less than three.
func Unanswered(lease time.Duration) time.Duration {
	return platform.Suspect(lease) - platform.Heartbeat(lease)/2
}

// Asks tells whether a primary must ask for promises now (L5): a leader granted its lease before, at granted and for length, but has
// not answered for three heartbeats; the lease is still valid and the primary runs. An ended primary never starts under that epoch
// again, so a promise to it would only delay its successor (S8).
func (in *Input) Asks(granted, length time.Duration) bool {
	g := &in.Goal
	return g.Kind == platform.GoalPrimary && !g.Paused && in.Memory.Opened == g.Epoch && in.Durable.Closed.Less(g.Epoch) &&
		in.Seen.Process != health.ProcessEnding && in.Seen.Process != health.ProcessEnded &&
		in.Lease.Epoch == g.Epoch && in.Lease.End > in.Now && granted != 0 && in.Now-granted >= Unanswered(length)
}

// LookFor is how long an agent that is asked for a promise first looks for a leader: a fifth of the lease, at most a second. If its own
// reports have found none for two heartbeats, it looks only briefly, so that promises come before the permits of app servers,
// which last five heartbeats, end.
func LookFor(lease, unanswered time.Duration) time.Duration {
	if heartbeat := platform.Heartbeat(lease); unanswered >= 2*heartbeat {
		return heartbeat / 5
	}
	return min(time.Second, lease/5)
}
