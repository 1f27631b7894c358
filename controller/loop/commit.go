package loop

import (
	"time"

	"go.uber.org/zap"

	"mainstay/controller/boottime"
	"mainstay/controller/state"
)

// act carries out the result of a step: replies, a transfer of leadership, a barrier, commands. It never waits.
func (l *Loop) act(out Out) {
	for _, r := range out.Replies {
		if ch := l.replies[r.ID]; ch != nil {
			delete(l.replies, r.ID)
			ch <- r // capacity 1
		}
	}
	if out.Transfer {
		l.log.Transfer()
	}
	if out.Barrier != 0 {
		l.stats.Barriers++
		l.propose(state.Command{Barrier: &state.Barrier{}}, func(_ bool, err error) {
			l.takeApplied()
			l.act(l.core.BarrierDone(out.Barrier, err, boottime.Now()))
		})
	}
	for _, p := range out.Proposals {
		l.stats.Commands++
		l.note(p)
		l.propose(p.Command, func(refused bool, err error) {
			l.takeApplied()
			l.finish(p, refused, err)
		})
	}
}

// proposeTimeout bounds the wait of a proposal for a place in the log.
const proposeTimeout = 5 * time.Second

// propose sends a command to the log and brings the result back as an event.
func (l *Loop) propose(cmd state.Command, then func(refused bool, err error)) {
	b, err := cmd.Encode()
	if err != nil {
		then(true, err)
		return
	}
	pending := l.log.Propose(b, proposeTimeout)
	l.wg.Add(1)
	go func() {
		defer l.wg.Done()
		select {
		case <-pending.Done():
		case <-l.run.Done():
			return
		}
		refused, err := pending.Result()
		select {
		case l.events <- func() { then(refused, err) }:
		case <-l.run.Done():
		}
	}()
}

// takeApplied gives the core the state that contains a result before it sees the result.
func (l *Loop) takeApplied() {
	select {
	case s := <-l.applied:
		l.core.Applied(s)
	default:
	}
}

func (l *Loop) finish(p Proposal, refused bool, err error) {
	l.core.Done(p, refused)
	if err != nil {
		l.stats.Refused++
		l.zap.Info("command refused or not committed", zap.String("cluster", p.Command.Cluster), zap.Error(err))
	}
	if ch := l.replies[p.ID]; ch != nil && !p.Decided {
		delete(l.replies, p.ID)
		ch <- Reply{Err: err}
	}
}

// note writes one line for each decision.
func (l *Loop) note(p Proposal) {
	why := l.core.last.Reasons.Of(p.Command.Subject())
	if b := p.Command.AgentRun; b != nil {
		l.zap.Info("agent registered for its host", zap.String("host", b.Host), zap.String("run", b.Run))
	} else if p.Decided {
		l.zap.Info("decided", zap.String("about", p.Command.Subject()), zap.String("rule", string(why.Rule)),
			zap.Stringer("code", why.Code), zap.Stringer("why", why))
	}
}
