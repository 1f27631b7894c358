package state

import (
	"fmt"
	"strings"

	"mainstay/controller/platform"
)

// recoveredMargin is how far numbers are moved on where the lost controllers may have used some that this log does not know:
// no timeline, incarnation or set is used twice.
const recoveredMargin = 100

// Recovered is the state that a controller goes on with after the majority of the others was lost for good (S3): a new
// generation, so that nothing of the old one is ever obeyed again. What the old controllers did since, if they live, is not
// known, so that every cluster is doubtful: its durability sets, and who leads, are to be shown anew.
// lost are the names of the others, which may not come back; the generation is above every one that this controller has heard of,
// and mark is its own.
func Recovered(s *State, lost []string, heard uint64, mark, by, reason, at string) *State {
	next := *s
	next.Generation, next.Mark = max(s.Generation, heard)+1, mark
	next.Runs = nil
	next.Lost = append(append([]string(nil), s.Lost...), lost...)
	if ch := next.Change; ch != nil {
		outcome := "the controllers were recovered in the middle of it"
		if quiet := ch.quiet(); len(quiet) > 0 {
			outcome += "; nobody asks these any more to take writes again, do it by the app's resume: " + strings.Join(quiet, ", ")
		}
		next.changing(ch.ID, func(op *Operation) { op.end(Failed, outcome, at) })
		next.Change = nil
	}
	for _, name := range s.ClusterNames() {
		next.putCluster(next.recovered(s.Clusters[name], by, reason, at))
	}
	return &next
}

func (s *State) recovered(old *Cluster, by, reason, at string) *Cluster {
	c := old.clone()
	c.Version++
	if c.Primary == "" {
		return c
	}
	if c.Attempt != nil {
		if op := c.open(c.Attempt.Operation); op != nil {
			op.end(Abandoned, "the controllers were recovered in the middle of it", at)
		}
		c.Attempt = nil
	}
	c.HighTimeline += recoveredMargin
	c.HighIncarnation += recoveredMargin
	c.HighSet += recoveredMargin
	c.Guarded, c.Doubtful, c.Recovered, c.Upstreams = false, true, "", nil
	c.doubt(s)
	op := c.begin(Operation{Kind: Recovery, Reason: reason, By: by, From: c.Primary, Epoch: c.Epoch, Timeline: c.Timeline}, at)
	op.end(Done, fmt.Sprintf("generation %d begins; what was done without this controller since its log ends is not known", s.Generation), at)
	return c
}

// doubt stands for whatever sets the old controllers may have had loaded: none at all, and one of one acknowledgement. They
// are dropped as any others are, once the primary has shown that nothing is acknowledged under them any more.
func (c *Cluster) doubt(s *State) {
	c.Sets = nil
	names := s.Ackers(c, c.Primary)
	c.addSet(c.Epoch, 0, nil)
	acks := min(s.ClusterConfig(c.Name).Durability.Acks, len(names))
	if acks == 0 {
		return
	}
	if acks > 1 {
		c.addSet(c.Epoch, 1, append([]string(nil), names...))
	}
	c.addSet(c.Epoch, acks, names)
}

// applyReaffirm ends the doubt where the primary that was known answers, and leads: it goes on under an epoch of the new
// generation, without a restart.
func applyReaffirm(s *State, c *Cluster, cmd Command) error {
	switch r := cmd.Reaffirm; {
	case r.Epoch != c.Epoch:
		return fmt.Errorf("cluster %s: epoch %s is not in force", c.Name, r.Epoch)
	case r.Bound && !c.Unbound:
		return fmt.Errorf("cluster %s: its guards are not waited for", c.Name)
	case r.Bound:
		c.Unbound, c.Guarded = false, true
		return nil
	case !c.Doubtful:
		return fmt.Errorf("cluster %s: there is no doubt about its primary", c.Name)
	case c.Attempt != nil:
		return fmt.Errorf("cluster %s: operation %s is under way", c.Name, c.Attempt.Operation)
	}
	c.Epoch = s.nextNumber(c)
	c.Doubtful, c.Guarded, c.Unbound = false, false, c.Pause == nil
	return nil
}

// Reaffirm lets the primary of Epoch go on in the new generation. Bound is for its epoch of that generation: its guards are bound to
// a lease of it.
type Reaffirm struct {
	Epoch platform.Epoch `json:"epoch"`
	Bound bool           `json:"bound,omitempty"`
}
