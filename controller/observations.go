package controller

import (
	"context"
	"net/url"
	"strconv"
	"sync"
	"time"

	"go.uber.org/zap"

	"mainstay/controller/boottime"
	"mainstay/controller/consensus"
	"mainstay/controller/loop"
	"mainstay/controller/platform"
	"mainstay/controller/state"
	"mainstay/controller/wire"
	"mainstay/fencing/program"
	"mainstay/health"
	"mainstay/health/probe"
)

// observing carries this controller's observations of the members and app servers to its loop and to the other controllers, once a
// heartbeat, and gives the loop the list of controllers. It waits for none of them: a controller that does not answer misses a round.
type observing struct {
	loop   *loop.Loop
	log    *consensus.Log
	states *machine
	prober *probe.Prober
	// allowed are the programs that the controller's own file lets the platform name.
	allowed program.Allowed
	client  *wire.Client
	logger  *zap.Logger
	// sending has one slot for each address, taken while a request there is running. Only run uses it.
	sending map[string]chan struct{}
	rounds  int // so far; of run alone
}

// othersEvery is in how many rounds the controllers that do not lead get observations once. Only the leader decides by them; the others
// keep them for the time when they lead, and get every round as soon as there is a doubt.
const othersEvery = 4

func (v *observing) run(ctx context.Context) error {
	v.sending = map[string]chan struct{}{}
	var sends sync.WaitGroup
	defer sends.Wait()
	timer := time.NewTimer(0)
	defer timer.Stop()
	var sent, woken time.Duration
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-timer.C:
		}
		s := v.states.State()
		heartbeat, now := heartbeat(s), boottime.Now()
		pause := heartbeat / observationPart
		// A controller that did not get the CPU has missed reports too, so it must not call an agent silent.
		starved := woken != 0 && now-woken > pause+heartbeat/2
		woken = now
		doubted, err := v.doubted(ctx, 3*heartbeat, starved)
		v.prober.Aim(targets(s, doubted))
		if now-sent >= heartbeat-pause/2 || len(doubted) > 0 {
			v.prober.AimInstances(instanceTargets(s))
			if err = v.round(ctx, 3*heartbeat, heartbeat, len(doubted) > 0, &sends); err == nil {
				sent = now
			}
		}
		if err != nil {
			v.logger.Debug("no observations in this round", zap.Error(err))
		}
		timer.Reset(pause)
	}
}

// observationPart is how many times in a heartbeat the members are checked for a silent agent; while there is one, observations leave
// as often.
const observationPart = 2

// doubted lists the members that must be probed at once.
func (v *observing) doubted(ctx context.Context, limit time.Duration, starved bool) (map[loop.MemberKey]bool, error) {
	if starved {
		return nil, nil
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	return v.loop.Doubted(ctx)
}

// round makes this controller's observations and sends them within limit: later they would be too old. overdue: see
// probe.Prober.Observations.
func (v *observing) round(ctx context.Context, limit, overdue time.Duration, doubts bool, sends *sync.WaitGroup) error {
	servers, err := v.log.Servers(ctx) // does not wait
	if err != nil {
		return err
	}
	asking, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	if err := v.loop.Voters(asking, voters(servers)); err != nil {
		return err
	}
	now, entry := boottime.Now(), v.log.Applied()
	observations, err := v.loop.Observe(asking, v.prober.Observations(now, overdue), v.prober.InstanceObservations(now), v.lacks())
	if err != nil {
		return err
	}
	// They are sent even if they hold no observation: they show the leader which controllers answer. The log and its entry are sent beside
	// them, because a controller of an older build reads them strictly.
	path := "/v1/votes?" + url.Values{"log": {v.log.ID()}, "entry": {strconv.FormatUint(entry, 10)}}.Encode()
	leader, _ := v.log.Leader()
	everybody := doubts || leader == "" || v.rounds%othersEvery == 0
	v.rounds++
	for _, s := range servers {
		if s.ID != v.log.ID() && (everybody || s.ID == leader) {
			v.send(ctx, limit, s.Address, path, observations, sends)
		}
	}
	return nil
}

// lacks lists the programs of the platform that this controller's file does not allow.
func (v *observing) lacks() string {
	p := v.states.State().Platform
	if p == nil {
		return ""
	}
	if err := v.allowed.Missing(p.Programs()); err != nil {
		return err.Error()
	}
	return ""
}

func (v *observing) send(ctx context.Context, limit time.Duration, address, path string, observations health.Observations,
	sends *sync.WaitGroup) {
	slot := v.sending[address]
	if slot == nil {
		slot = make(chan struct{}, 1)
		v.sending[address] = slot
	}
	select {
	case slot <- struct{}{}:
	default:
		return // the previous ones are still being sent
	}
	sends.Go(func() {
		defer func() { <-slot }()
		ctx, cancel := context.WithTimeout(ctx, limit)
		defer cancel()
		if err := v.client.Repeat(ctx, address, "POST", path, observations, nil); err != nil {
			v.logger.Debug("observations not taken", zap.String("by", address), zap.Error(err))
		}
	})
}

func voters(servers []consensus.Server) (names []string) {
	for _, s := range servers {
		if !s.Learner {
			names = append(names, s.Name)
		}
	}
	return names
}

// heartbeat is the heartbeat of the cluster with the shortest lease.
func heartbeat(s *state.State) time.Duration {
	heartbeat := platform.Heartbeat(platform.DefaultLease)
	if s.Platform != nil {
		for _, c := range s.Platform.Clusters {
			heartbeat = min(heartbeat, platform.Heartbeat(c.Lease))
		}
	}
	return heartbeat
}

// probeRarely is how often a member is probed while its agent reports that all is well, to know that a probe can reach it.
const probeRarely = 3 * time.Minute

// targets are the members of every bootstrapped cluster; those in doubt are probed every heartbeat.
func targets(s *state.State, doubted map[loop.MemberKey]bool) []probe.Target {
	var out []probe.Target
	for _, name := range s.ClusterNames() {
		conf, primary := s.ClusterConfig(name), s.Clusters[name].Primary
		if conf == nil || primary == "" {
			continue
		}
		for _, m := range conf.Members {
			host := s.Platform.Host(m.Host)
			if host == nil {
				continue
			}
			t := probe.Target{Cluster: name, Member: m.Name, Host: host.Address, Port: m.Port, Every: probeRarely,
				Limit: platform.Suspect(conf.Lease)}
			if doubted[loop.MemberKey{Cluster: name, Member: m.Name}] {
				t.Every = platform.Heartbeat(conf.Lease)
			}
			out = append(out, t)
		}
	}
	return out
}

// instanceTargets are the app servers of every app, also those that should not run where they are: it matters if they run all the same.
func instanceTargets(s *state.State) (out []probe.InstanceTarget) {
	if s.Platform == nil {
		return nil
	}
	reachable := map[string]string{}
	for _, c := range s.Platform.Clusters {
		if by := c.Failover.ReachableBy; by != nil {
			reachable[by.App] = by.HTTP
		}
	}
	for _, a := range s.Platform.Apps {
		for _, i := range a.Instances {
			out = append(out, probe.InstanceTarget{App: a.Name, Instance: i, Check: a.Check, Reachable: reachable[a.Name]})
		}
	}
	return out
}
