package agent

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"sync"
	"time"

	"go.uber.org/zap"

	"mainstay/controller/boottime"
	"mainstay/controller/identity"
	"mainstay/controller/platform"
	"mainstay/controller/supervisor"
	"mainstay/controller/wakeup"
	"mainstay/controller/wire"
	"mainstay/health"
)

// reportTimeout bounds one report to one controller. It is generous, because the answer waits for a commit; a slower one grants hardly
// anything, since the lease counts from the request.
const reportTimeout = 2 * time.Second

// report is the lease path: it reads the clock, sends the state in memory to every controller, and hands the leader's grants to the
// guards. It runs at every heartbeat, and at once after a change.
func (a *Agent) report(ctx context.Context) error {
	var wg sync.WaitGroup
	defer wg.Wait()
	boxes := map[string]chan health.Report{} // by controller
	relayed := map[relay]chan health.Report{}
	asking := &askers{agent: a, boxes: map[platform.Peer]chan request{}, group: &wg}
	add := func(address string) {
		if boxes[address] == nil {
			box := make(chan health.Report, 1)
			boxes[address] = box
			wg.Go(func() {
				a.sendAll(ctx, wire.NewClient([]string{address}, a.tls.ClientConfig(identity.RoleController, "")), way{address: address}, box)
			})
		}
	}
	for _, address := range a.cfg.Controllers {
		add(address)
	}
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-timer.C:
		case <-a.kick:
		case <-a.inStep:
			heartbeat := a.heartbeat()
			timer.Reset(heartbeat - heartbeat/stepLead)
			continue
		case r := <-a.relays:
			if relayed[r] != nil || len(relayed) >= maxRelays {
				continue
			}
			box := make(chan health.Report, 1)
			relayed[r] = box
			a.log.Warn("no controller answers directly; reports go through another host's agent", zap.String("through", r.peer.Host),
				zap.String("leader", r.leader))
			wg.Go(func() {
				client := wire.NewClientVia([]string{r.leader}, a.tls.ClientConfig(identity.RoleController, ""), r.dial(a.tls))
				a.sendAll(ctx, client, way{r.leader, true}, box)
			})
		case leader := <-a.named:
			if boxes[leader] != nil {
				continue // nothing new, so no report
			}
			add(leader)
		}
		a.mu.Lock()
		number := a.clocks.Send(boottime.Now()) // s is read before anything else about the report (L1)
		run, heartbeat := a.clocks.Run(), a.heartbeatEvery
		a.mu.Unlock()
		r := a.reportOf(number, run)
		for _, box := range boxes {
			put(box, r)
		}
		if a.cutOff() {
			for _, box := range relayed {
				put(box, r)
			}
		}
		asking.ask(ctx, number)
		timer.Reset(heartbeat)
	}
}

// stepLead is the fraction by which a heartbeat after an answer is shorter, because the answer took that long.
const stepLead = 10

func (a *Agent) heartbeat() time.Duration {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.heartbeatEvery
}

// put replaces the waiting report in a mailbox: only the latest report is worth sending.
func put[T any](box chan T, r T) {
	for {
		select {
		case box <- r:
			return
		default:
		}
		select {
		case <-box:
		default:
		}
	}
}

// way is the route of reports: to a controller, directly or through another agent.
type way struct {
	address string
	relayed bool
}

// sendAll posts reports to one controller, two at a time: a held answer must not delay the next report.
func (a *Agent) sendAll(ctx context.Context, client *wire.Client, to way, box <-chan health.Report) {
	defer client.Close()
	var wg sync.WaitGroup
	defer wg.Wait()
	slots := make(chan struct{}, 2)
	for {
		select {
		case <-ctx.Done():
			return
		case slots <- struct{}{}:
		}
		select {
		case <-ctx.Done():
			return
		case r := <-box:
			wg.Go(func() {
				defer func() { <-slots }()
				a.sendOne(ctx, client, to, r)
			})
		}
	}
}

func (a *Agent) sendOne(ctx context.Context, client *wire.Client, to way, r health.Report) {
	ctx, cancel := context.WithTimeout(ctx, reportTimeout)
	defer cancel()
	var answer wire.ReportAnswer
	err := client.Repeat(ctx, to.address, http.MethodPost, "/v1/report", wire.ReportRequest{Protocol: wire.ProtocolMax, Report: r}, &answer)
	var refusal *wire.RefusalError
	switch {
	case err == nil:
		a.obey(&answer, to)
	case errors.As(err, &refusal) && refusal.Status != http.StatusMisdirectedRequest:
		a.log.Warn("report refused", zap.String("controller", to.address), zap.Error(err))
	case refusal != nil:
		a.follow(refusal.Err.Leader)
	}
}

// follow sends reports to a leader that the agent's file does not list, because it was added later. Otherwise every lease would lapse
// as soon as such a controller leads. The server at that address must still present a controller's certificate of this platform.
func (a *Agent) follow(leader string) {
	if leader == "" || slices.Contains(a.cfg.Controllers, leader) {
		return
	}
	select {
	case a.named <- leader:
	default: // an earlier one is still in the channel; the next answer names it again
	}
}

// obey takes a leader's answer: grants first, to the guards, then goals. Answers to other runs, of a foreign platform or
// of a lower generation are dropped (S3, L8).
func (a *Agent) obey(answer *wire.ReportAnswer, from way) {
	if !a.trusts(answer) {
		return
	}
	for _, g := range answer.Grants {
		a.mu.Lock()
		end, ours := a.clocks.End(answer.RunID, answer.Number, g.Length)
		m := a.members[g.Member]
		a.mu.Unlock()
		if ours && m != nil {
			m.Leased(g, end)
		}
	}
	for name, goal := range answer.Goals {
		if m := a.lookUp(name); m != nil {
			m.Wants(goal, answer.Age())
			m.Learn(supervisor.Others{Positions: answer.Positions, Peers: answer.Peers, Slots: answer.FailoverSlots[goal.Cluster],
				Tablespaces: answer.Tablespaces[goal.Cluster], Archived: answer.Archived[goal.Cluster], Check: answer.Checks[name],
				KeptFrom: answer.KeptFrom[goal.Cluster]})
			a.backups.Obey(name, goal.Cluster, answer.Backups[name])
		} else if goal.Kind != platform.GoalReleased { // otherwise it was released since that report
			a.adoptMember(name)
		}
	}
	a.mu.Lock()
	s, ours := a.clocks.End(answer.RunID, answer.Number, 0)
	a.mu.Unlock()
	if ours {
		a.apps.Obey(answer, s)
	}
	a.mu.Lock()
	changed := a.version != answer.Version
	if from.address != a.leaderAddress {
		changed = true
		a.unhold()
	}
	a.leader, a.heard, a.alarm, a.version = answer.Leader, boottime.Now(), answer.Alarm, answer.Version
	if a.heardFrom(from.address, answer.Number); len(answer.Goals) > 0 {
		a.spoke = boottime.Now()
	}
	if !from.relayed {
		a.direct = boottime.Now()
	}
	if answer.Heartbeat > 0 {
		a.heartbeatEvery = answer.Heartbeat
	}
	a.mu.Unlock()
	wakeup.Signal(a.inStep) // the leader answers all agents at once, so one entry of its log serves their next reports too
	if changed {
		wakeup.Signal(a.wake)
	}
	if answer.Alarm != "" {
		a.log.Error("the leader raises an alarm", zap.String("alarm", answer.Alarm))
	}
}

// trusts checks the platform. The first time, it writes the platform to disk before the agent obeys anything; meanwhile answers wait,
// but reports are sent and promises requested.
func (a *Agent) trusts(answer *wire.ReportAnswer) bool {
	if answer.PlatformID == "" {
		return false
	}
	next := bond{answer.PlatformID, answer.Generation, answer.Mark}
	if next == a.obeyed() {
		return true // the common case, without the lock that is held while the disk is written (L6)
	}
	a.bonding.Lock()
	defer a.bonding.Unlock()
	switch kept := a.obeyed(); {
	case next == kept:
		return true
	case kept.PlatformID != "" && kept.PlatformID != next.PlatformID:
		a.log.Error("dropped the answer of a controller of another platform: correct `controllers` in the agent's file",
			zap.String("obeys", kept.PlatformID), zap.String("foreign", next.PlatformID))
		return false
	case next.Generation < kept.Generation:
		a.log.Error("dropped the answer of a controller that `mainstay controllers recover` gave up: stop that controller",
			zap.Uint64("obeys", kept.Generation), zap.Uint64("got", next.Generation))
		return false
	case kept.PlatformID != "" && next.Generation == kept.Generation:
		a.log.Error(
			"dropped the answer of a controller: two controllers were recovered separately as the same generation, and this agent obeys the "+
				"other; stop one of them for good, then stop and recover the other once more",
			zap.Uint64("generation", kept.Generation), zap.String("obeys", kept.Mark), zap.String("got", next.Mark),
			zap.String("controller", answer.Leader))
		return false
	}
	if err := a.home.keepBond(next); err != nil {
		a.log.Error("the platform's identity cannot be written to disk; the agent obeys no controller until it is", zap.Error(err))
		return false
	}
	a.mu.Lock()
	a.bond = next
	a.mu.Unlock()
	return true
}

// obeyed is the platform that the agent obeys.
func (a *Agent) obeyed() bond {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.bond
}
