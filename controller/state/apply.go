package state

import (
	"errors"
	"fmt"
)

// ErrUnknownCommand is returned for a command whose body this version does not know. The log must stop at it: a command is
// never skipped.
var ErrUnknownCommand = errors.New("unknown command")

// ErrMoved is returned when a command was decided on a version that has changed since. The proposer decides again.
var ErrMoved = errors.New("the state changed after this was decided; try again")

// Apply returns the state after a command, or the reason why it is refused (the state is then unchanged but for Index).
func Apply(s *State, index uint64, c Command) (*State, error) {
	next := *s
	next.Index = index
	if c.Barrier != nil {
		return &next, nil
	}
	next.changed = index
	var err error
	switch {
	case c.Init != nil:
		err = next.applyInit(c.Init)
	case c.Platform != nil:
		err = next.applyPlatform(c)
	case c.RemoveLeaving != nil:
		err = next.applyRemoveLeaving(c)
	case c.AgentRun != nil:
		next.applyAgentRun(c)
	case c.App != nil:
		err = next.applyApp(c)
	case c.BeginSite != nil:
		err = next.applyBeginSite(c)
	case c.StepSite != nil:
		err = next.applyStepSite(c)
	case c.HookAnswered != nil:
		err = next.applyAsked(c)
	case c.Fence != nil:
		err = next.applyFence(c)
	case c.Fenced != nil:
		err = next.applyFenced(c.Fenced)
	case c.Unfence != nil:
		err = next.applyUnfence(c)
	case c.Unfenced != nil:
		err = next.applyUnfenced(c.Unfenced)
	case c.Backups != nil:
		err = next.applyBackups(c)
	default:
		err = next.applyCluster(c)
	}
	if err != nil {
		refused := *s
		refused.Index = index
		return &refused, err
	}
	return &next, nil
}

// applyCluster makes the checks common to all cluster commands, then lets the command change a copy of the cluster.
func (s *State) applyCluster(c Command) error {
	run := c.clusterStep()
	if run == nil {
		return ErrUnknownCommand
	}
	if s.PlatformID == "" {
		return errors.New("the controllers are not initialised; run `mainstay controllers init`")
	}
	old, ok := s.Clusters[c.Cluster]
	if !ok {
		return fmt.Errorf("there is no cluster %q; `mainstay status` lists them", c.Cluster)
	}
	if c.Version != 0 && c.Version != old.Version {
		return fmt.Errorf("%w (%s: version %d, now %d)", ErrMoved, c.Cluster, c.Version, old.Version)
	}
	cl := old.clone()
	if err := run(s, cl, c); err != nil {
		return err
	}
	cl.Version++
	s.putCluster(cl)
	return nil
}

func (c Command) clusterStep() func(*State, *Cluster, Command) error {
	switch {
	case c.Bootstrap != nil:
		return applyBootstrap
	case c.Begin != nil:
		return applyBegin
	case c.Advance != nil:
		return applyAdvance
	case c.Promote != nil:
		return applyPromote
	case c.Abandon != nil:
		return applyAbandon
	case c.Opened != nil:
		return applyOpened
	case c.Sets != nil:
		return applySets
	case c.Settled != nil:
		return applySettled
	case c.Reincarnate != nil:
		return applyReincarnate
	case c.Rejoined != nil:
		return applyRejoined
	case c.Pause != nil:
		return applyPause
	case c.LeaseCounted != nil:
		return applyLeaseCounted
	case c.Ack != nil:
		return applyAck
	case c.Judge != nil:
		return applyJudge
	case c.Freeze != nil:
		return applyFreeze
	case c.Mend != nil:
		return applyMend
	case c.Stream != nil:
		return applyStream
	case c.Approve != nil:
		return applyApprove
	case c.Reaffirm != nil:
		return applyReaffirm
	}
	return nil
}

func (s *State) putCluster(c *Cluster) {
	clusters := make(map[string]*Cluster, len(s.Clusters)+1)
	for n, old := range s.Clusters {
		clusters[n] = old
	}
	clusters[c.Name] = c
	s.Clusters = clusters
}

// clone copies the parts that Apply may change. Histories, set names and the steps of operations are replaced, never edited, so they are
// shared.
func (c *Cluster) clone() *Cluster {
	n := *c
	n.Sets = append(n.Sets[:0:0], c.Sets...)
	n.Operations = append([]Operation(nil), c.Operations...)
	n.Members = make(map[string]*Member, len(c.Members))
	members := make([]Member, 0, len(c.Members))
	for name, m := range c.Members {
		members = append(members, *m)
		n.Members[name] = &members[len(members)-1]
	}
	if c.Attempt != nil {
		a := *c.Attempt
		n.Attempt = &a
	}
	if c.Pause != nil {
		p := *c.Pause
		n.Pause = &p
	}
	return &n
}
