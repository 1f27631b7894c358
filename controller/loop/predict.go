package loop

import (
	"time"

	"mainstay/controller/decide"
	"mainstay/controller/state"
	"mainstay/health"
)

// remember adds to a failover the prediction that would have been made just before it.
func (c *Core) remember(cmd *state.Command) {
	if cmd.Begin == nil || cmd.Begin.Kind != state.Failover {
		return // predictions are of failures, not of planned changes
	}
	in, ok := c.predictable[cmd.Cluster]
	if !ok {
		return
	}
	failure := decide.HostLost
	switch {
	case cmd.Begin.StopOld:
		failure = decide.PrimaryCrashed
	case c.last.Reasons.Of(cmd.Cluster).Kind == health.SiteLost:
		failure = decide.SiteLost
	}
	begin, predicted := *cmd.Begin, decide.Predict(in, cmd.Cluster, failure)
	begin.Prediction = &predicted
	cmd.Begin = &begin
}

// keepPredictable keeps the input of quiet clusters, once a second. A prediction is computed only when its failover begins,
// but from this earlier input.
func (c *Core) keepPredictable(now time.Duration, wall time.Time) {
	for name, cl := range c.state.Clusters {
		if in, ok := c.predictable[name]; ok && now-in.Now < time.Second {
			continue
		}
		if cl.Primary == "" || cl.Attempt != nil || !cl.Opened || c.last.Reasons.Of(name).Rule != decide.RuleHealthy {
			continue
		}
		in := c.input(now, wall)
		in.View, in.Leases, in.Conditions = in.View.Clone(), in.Leases.Clone(), in.Conditions.Clone()
		c.predictable[name] = in
	}
}
