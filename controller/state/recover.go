package state

import (
	"fmt"
	"strings"

	"mainstay/controller/platform"
)

// recoveredMargin is how many numbers are skipped because the lost controllers may have used some that this log does not
// know: no timeline, incarnation or set is used twice.
const recoveredMargin = 100

// Recovered is the state from which a controller continues after a majority was permanently lost (S3). It has a new generation,
// so that nothing of the old one is ever obeyed again. Actions of the old controllers since then are unknown, so every cluster
// is doubtful: its durability sets and its primary must be established again. lost are the names of the other controllers,
// which must not return. The generation is above heard, the highest that agents have reported to this controller; mark is new.
func Recovered(s *State, lost []string, heard uint64, mark, by, reason, at string) *State {
	next := *s
	next.Generation, next.Mark = max(s.Generation, heard)+1, mark
	next.Runs = nil
	next.Lost = append(append([]string(nil), s.Lost...), lost...)
	if ch := next.Change; ch != nil {
		outcome := "ended by `mainstay controllers recover` before it had finished"
		if quiet := ch.quiet(); len(quiet) > 0 {
			outcome += "; these app servers still refuse writes, because no controller will call resume: call each one's resume URL: " +
				strings.Join(quiet, ", ")
		}
		next.editChange(ch.ID, func(op *Operation) { op.end(Failed, outcome, at) })
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
		if op := c.operationByID(c.Attempt.Operation); op != nil {
			op.end(Abandoned, "ended by `mainstay controllers recover` before it had finished", at)
		}
		c.Attempt = nil
	}
	c.HighTimeline += recoveredMargin
	c.HighIncarnation += recoveredMargin
	c.HighSet += recoveredMargin
	c.Guarded, c.Unconfirmed, c.Recovered, c.Upstreams = false, true, "", nil
	c.doubt(s)
	op := c.begin(Operation{Kind: Recovery, Reason: reason, By: by, From: c.Primary, Epoch: c.Epoch, Timeline: c.Timeline}, at)
	op.end(Done, fmt.Sprintf("generation %d begins; the lost controllers may have acted after this controller's log ends", s.Generation), at)
	return c
}

// doubt records the weakest sets that the old controllers may have had the primary load: an asynchronous one, and one with a
// single acknowledgement. The drop rule ends them as any others, once no commit is acknowledged under them any more.
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

// applyReaffirm ends the doubt once the recorded primary answers as primary: it continues under an epoch of the new generation,
// without a restart.
func applyReaffirm(s *State, c *Cluster, cmd Command) error {
	switch r := cmd.Reaffirm; {
	case r.Epoch != c.Epoch:
		return fmt.Errorf("cluster %s: epoch %s is not in force", c.Name, r.Epoch)
	case r.GuardsArmed && !c.AwaitsGuards:
		return fmt.Errorf("cluster %s is not waiting for its guards", c.Name)
	case r.GuardsArmed:
		c.AwaitsGuards, c.Guarded = false, true
		return nil
	case !c.Unconfirmed:
		return fmt.Errorf("cluster %s: its primary %s is already confirmed", c.Name, c.Primary)
	case c.Attempt != nil:
		return fmt.Errorf("cluster %s: operation %s is running", c.Name, c.Attempt.Operation)
	}
	c.Epoch = s.nextNumber(c)
	c.Unconfirmed, c.Guarded, c.AwaitsGuards = false, false, c.Pause == nil
	return nil
}

// Reaffirm lets the primary of Epoch continue in the new generation. GuardsArmed is set later, under its epoch of that generation: its
// guards then enforce a lease of it.
type Reaffirm struct {
	Epoch       platform.Epoch `json:"epoch"`
	GuardsArmed bool           `json:"bound,omitempty"`
}
