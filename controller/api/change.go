package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"mainstay/controller/decide"
	"mainstay/controller/loop"
	"mainstay/controller/platform"
	"mainstay/controller/state"
	"mainstay/controller/wire"
)

// proposeTries is how often a command is planned again because the cluster has changed meanwhile.
const proposeTries = 3

// subject is the leader's view of a cluster at one moment.
type subject struct {
	snapshot loop.Snapshot
	c        *state.Cluster
	conf     *platform.Cluster
	by       string // the operator
}

// subjectOf returns the cluster of a request. Only the leader can.
func (a *API) subjectOf(ctx context.Context, q *request) (*subject, error) {
	snapshot, err := a.snapshot(ctx)
	if err != nil {
		return nil, err
	}
	name := q.PathValue("cluster")
	conf := snapshot.Input.State.ClusterConfig(name)
	if conf == nil {
		return nil, notThere("there is no cluster %q; `mainstay status` lists them", name)
	}
	return &subject{snapshot: snapshot, c: snapshot.Input.State.Clusters[name], conf: conf, by: q.who.Name}, nil
}

// planned is a command with its answer.
type planned struct {
	cmd    state.Command
	number platform.Epoch // of the attempt, to find its operation
	mends  string         // the member of which a page is mended, likewise; "" for none
	answer wire.OperationAnswer
}

// propose plans on the present state and commits the plan. If the cluster has changed meanwhile it plans again, because a plan is committed
// only on the version for which it was made.
func (a *API) propose(ctx context.Context, q *request, dryRun bool, plan func(*subject) (planned, error)) (any, error) {
	for try := 1; ; try++ {
		s, err := a.subjectOf(ctx, q)
		if err != nil {
			return nil, err
		}
		p, err := plan(s)
		if err != nil {
			return nil, err
		}
		if dryRun {
			p.answer.DryRun = true
			return p.answer, nil
		}
		p.cmd.Cluster, p.cmd.Version, p.cmd.By, p.cmd.At = s.c.Name, s.c.Version, s.by, stamp(time.Now())
		if p.cmd.Backups != nil {
			p.cmd.Version = s.backups().Version
		}
		err = a.Loop.Submit(ctx, p.cmd)
		if err == nil && p.cmd.Backups != nil {
			if j := a.States.State().BackupsOf(s.c.Name).Job; j != nil {
				p.answer.Work, p.answer.Backup = j.Number, j.Backup
			}
			return p.answer, nil
		}
		if err == nil {
			p.answer.Operation = a.operationOf(s.c.Name, p.number)
			if m := a.States.State().Clusters[s.c.Name].Members[p.mends]; m != nil && m.Mend != nil {
				p.answer.Operation = m.Mend.Operation
			}
			return p.answer, nil
		}
		if !errors.Is(err, state.ErrMoved) || try == proposeTries {
			return nil, err
		}
	}
}

// operationOf finds the operation of an attempt by its number, which is unique.
func (a *API) operationOf(cluster string, number platform.Epoch) string {
	c := a.States.State().Clusters[cluster]
	for i := len(c.Operations) - 1; i >= 0; i-- {
		if o := &c.Operations[i]; o.Epoch == number && !o.Kind.Beside() {
			return o.ID
		}
	}
	return ""
}

// nextAttempt is the number the log will give to an attempt begun on this version of the cluster.
func (s *subject) nextAttempt() platform.Epoch {
	return platform.Epoch{Generation: s.snapshot.Input.State.Generation, Number: s.c.HighEpoch + 1}
}

func (a *API) switchover(ctx context.Context, q *request) (any, error) {
	var req wire.SwitchoverRequest
	if err := q.body(&req); err != nil {
		return nil, err
	}
	return a.propose(ctx, q, req.DryRun, func(s *subject) (planned, error) { return s.switchover(req) })
}

func (s *subject) switchover(req wire.SwitchoverRequest) (planned, error) {
	if err := s.quiet(); err != nil {
		return planned{}, err
	}
	target, blockers := decide.CheckSwitchover(s.snapshot.Input, s.c.Name, req.To)
	if len(blockers) == 0 {
		blockers = decide.RefusedSlots(s.snapshot.Input, s.c.Name, target)
	}
	if len(blockers) > 0 {
		return planned{}, refused("%s cannot be switched over now: %s", s.c.Name, strings.Join(decide.Texts(blockers), "; "))
	}
	reason := "asked by " + s.by
	if req.Reason != "" {
		reason += ": " + req.Reason
	}
	waits := s.awaitsBackups()
	if waits != "" && !req.DryRun {
		return planned{}, &faultError{status: http.StatusConflict, code: wire.CodeBackup,
			err: fmt.Errorf("%s cannot be switched over now: %s", s.c.Name, waits)}
	}
	p := planned{number: s.nextAttempt()}
	p.cmd.Begin = &state.Begin{Kind: state.Switchover, To: req.To, Reason: reason}
	fates, more := decide.SlotFates(s.snapshot.Input, s.c.Name, target)
	p.cmd.Begin.Reason += decide.SlotNote(fates, more, s.c.Primary, target)
	p.answer.Target, p.answer.Warnings = target, append(decide.SlotWarnings(fates, more, s.c.Primary),
		append(decide.Outsiders(s.snapshot.Input, s.c.Name), decide.Unstartable(s.snapshot.Input, s.c.Name)...)...)
	if wait := decide.PlanBackups(s.snapshot.Input, s.c.Name); wait != "" {
		p.answer.Plan = []string{wait}
	}
	p.answer.Plan = append(p.answer.Plan,
		"CHECKPOINT on "+s.c.Primary+", so that its stop is short",
		"stop "+s.c.Primary+" cleanly (at most 15 s; after that the stop is forced and a failover's rules apply)",
		fmt.Sprintf("promote %s on timeline %d as epoch %s, once it has replayed the shutdown checkpoint", target, s.c.HighTimeline+1, p.number),
		s.c.Primary+" and the other members follow "+target,
		"writes wait from the stop to the promotion, usually about a second; sessions on "+s.c.Primary+" end",
	)
	for _, f := range fates {
		if !f.Left {
			p.answer.Plan = append(p.answer.Plan, f.Slot.String()+" "+f.Text)
		}
	}
	return p, nil
}

// awaitsBackups names the base backups that a switchover must wait for, "" for none.
func (s *subject) awaitsBackups() string {
	return strings.Join(decide.Texts(decide.AwaitedBackups(s.snapshot.Input, s.c.Name)), "; ")
}

// quiet is the reason why no operation can begin now; nil if one can.
func (s *subject) quiet() error {
	switch {
	case s.c.Primary == "":
		return refused("cluster %s has no primary yet: %s", s.c.Name, s.snapshot.Last.Reasons.Of(s.c.Name))
	case s.c.Attempt != nil:
		return refused("cluster %s: operation %s is running; see `mainstay status`", s.c.Name, s.c.Attempt.Operation)
	case s.c.Pause != nil && s.c.Pause.Resuming:
		return refused("cluster %s is resuming: wait until `mainstay status` shows it without a pause", s.c.Name)
	case s.c.Pause != nil:
		return refused("cluster %s is paused by %s (%s); run `mainstay resume %s` first", s.c.Name, s.c.Pause.By, s.c.Pause.Reason, s.c.Name)
	}
	return nil
}
