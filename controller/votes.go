package controller

import (
	"context"
	"sync"
	"time"

	"go.uber.org/zap"

	"mainstay/controller/boottime"
	"mainstay/controller/consensus"
	"mainstay/controller/loop"
	"mainstay/controller/platform"
	"mainstay/controller/state"
	"mainstay/controller/wire"
	"mainstay/health"
	"mainstay/health/probe"
)

// voting carries what this controller sees of the members and app servers to its loop and to the other controllers, once a heartbeat, and
// tells the loop who they are. None of it waits for anybody: a controller that does not answer misses a round.
type voting struct {
	loop   *loop.Loop
	log    *consensus.Log
	states *machine
	prober *probe.Prober
	client *wire.Client
	logger *zap.Logger
	// sending has one slot for each address, taken while a request is under way there. Of run alone.
	sending map[string]chan struct{}
}

func (v *voting) run(ctx context.Context) error {
	v.sending = map[string]chan struct{}{}
	var sends sync.WaitGroup
	defer sends.Wait()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-timer.C:
		}
		s := v.states.State()
		beat := heartbeat(s)
		v.prober.Aim(targets(s))
		v.prober.AimInstances(instanceTargets(s))
		if err := v.round(ctx, 3*beat, &sends); err != nil {
			v.logger.Debug("no votes this time", zap.Error(err))
		}
		timer.Reset(beat)
	}
}

// round makes this controller's votes and sends them, within limit: later they would be old.
func (v *voting) round(ctx context.Context, limit time.Duration, sends *sync.WaitGroup) error {
	servers, err := v.log.Servers(ctx) // does not wait
	if err != nil {
		return err
	}
	asking, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	if err := v.loop.Voters(asking, voters(servers)); err != nil {
		return err
	}
	now := boottime.Now()
	votes, err := v.loop.Vote(asking, v.prober.Votes(now), v.prober.InstanceVotes(now))
	if err != nil || len(votes.Votes)+len(votes.Apps) == 0 {
		return err
	}
	for _, s := range servers {
		if s.ID != v.log.ID() {
			v.send(ctx, limit, s.Address, votes, sends)
		}
	}
	return nil
}

func (v *voting) send(ctx context.Context, limit time.Duration, address string, votes health.Votes, sends *sync.WaitGroup) {
	slot := v.sending[address]
	if slot == nil {
		slot = make(chan struct{}, 1)
		v.sending[address] = slot
	}
	select {
	case slot <- struct{}{}:
	default:
		return // the last ones are still under way
	}
	sends.Go(func() {
		defer func() { <-slot }()
		ctx, cancel := context.WithTimeout(ctx, limit)
		defer cancel()
		if err := v.client.DoAt(ctx, address, "POST", "/v1/votes", votes, nil); err != nil {
			v.logger.Debug("votes not taken", zap.String("by", address), zap.Error(err))
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

// heartbeat is that of the cluster with the shortest lease.
func heartbeat(s *state.State) time.Duration {
	beat := platform.Heartbeat(platform.DefaultLease)
	if s.Platform != nil {
		for _, c := range s.Platform.Clusters {
			beat = min(beat, platform.Heartbeat(c.Lease))
		}
	}
	return beat
}

// targets are the members of every cluster that has been born: its primary every heartbeat, the others half as often.
func targets(s *state.State) []probe.Target {
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
			t := probe.Target{Cluster: name, Member: m.Name, Host: host.Address, Port: m.Port, Every: 2 * platform.Heartbeat(conf.Lease), Limit: platform.Suspect(conf.Lease)}
			if m.Name == primary {
				t.Every = platform.Heartbeat(conf.Lease)
			}
			out = append(out, t)
		}
	}
	return out
}

// instanceTargets are the app servers of every app, also those that are not to run where they are: that one runs all the same is
// worth knowing.
func instanceTargets(s *state.State) (out []probe.InstanceTarget) {
	if s.Platform == nil {
		return nil
	}
	witnesses := map[string]string{}
	for _, c := range s.Platform.Clusters {
		if w := c.Failover.Witness; w != nil {
			witnesses[w.App] = w.HTTP
		}
	}
	for _, a := range s.Platform.Apps {
		for _, i := range a.Instances {
			out = append(out, probe.InstanceTarget{App: a.Name, Instance: i, Check: a.Check, Witness: witnesses[a.Name]})
		}
	}
	return out
}
