package api

import (
	"cmp"
	"context"
	"net"
	"strconv"
	"time"

	"mainstay/controller/decide"
	"mainstay/controller/loop"
	"mainstay/controller/platform"
	"mainstay/controller/state"
	"mainstay/controller/wire"
	"mainstay/health"
)

// listTime is how long status waits for controllers that do not answer.
const listTime = 700 * time.Millisecond

// snapshot is a copy of the leader's knowledge: every answer is computed on it, outside the loop.
func (a *API) snapshot(ctx context.Context) (loop.Snapshot, error) {
	snapshot, err := a.Loop.Snapshot(ctx)
	if err == nil && !snapshot.Leading {
		err = loop.ErrNotLeader
	}
	return snapshot, err
}

func (a *API) status(ctx context.Context, _ *request) (any, error) {
	snapshot, err := a.snapshot(ctx)
	if err != nil {
		return nil, err
	}
	out := statusOf(snapshot)
	out.Source = "controller " + a.Name
	listing, cancel := context.WithTimeout(ctx, listTime)
	defer cancel()
	list, err := a.Controllers.List(listing)
	if err != nil {
		return nil, err
	}
	out.Controllers = list.Members
	return out, nil
}

// statusOf is the platform on one screen, from one copy of the leader's knowledge.
func statusOf(snapshot loop.Snapshot) wire.Status {
	s := snapshot.Input.State
	out := wire.Status{
		PlatformID: s.PlatformID, Leader: snapshot.Name, At: snapshot.Input.At(), Problems: snapshot.Last.Problems,
		Sites: []wire.SiteStatus{}, Clusters: []wire.ClusterState{}, Hosts: []wire.HostStatus{}, Controllers: []wire.Controller{},
	}
	if out.Problems == nil {
		out.Problems = []health.Problem{}
	}
	if s.Platform == nil {
		return out
	}
	out.Platform = s.Platform.Name
	for _, site := range s.Platform.Sites {
		st := siteStatus(s.Platform, site)
		for _, p := range out.Problems {
			if p.Kind == health.SiteLost && p.Site == site.Name {
				st.Lost = p.Evidence
			}
		}
		out.Sites = append(out.Sites, st)
	}
	for _, h := range s.Platform.Hosts {
		out.Hosts = append(out.Hosts, hostStatus(snapshot, h))
	}
	for i := range s.Platform.Clusters {
		out.Clusters = append(out.Clusters, clusterState(snapshot, &s.Platform.Clusters[i]))
	}
	out.Apps, out.Change = appStates(snapshot), siteChange(snapshot)
	return out
}

// hostStatus shows the address that the host's agent advertises, or the host's own before the agent has reported.
func hostStatus(snapshot loop.Snapshot, h platform.Host) wire.HostStatus {
	out := wire.HostStatus{Name: h.Name, Site: h.Site, Address: h.Address, Silence: snapshot.Input.View.Silence(h.Name, snapshot.Input.Now)}
	if r := snapshot.Input.View.Report(h.Name); r != nil {
		out.Heard, out.Address = true, cmp.Or(r.Address, h.Address)
	}
	return out
}

func siteStatus(p *platform.Platform, site platform.Site) wire.SiteStatus {
	out := wire.SiteStatus{Name: site.Name, Witness: site.Witness, Hosts: []string{}}
	for _, h := range p.Hosts {
		if h.Site == site.Name {
			out.Hosts = append(out.Hosts, h.Name)
		}
	}
	return out
}

func clusterState(snapshot loop.Snapshot, conf *platform.Cluster) wire.ClusterState {
	cl := snapshot.Input.State.Clusters[conf.Name]
	out := wire.ClusterState{
		Name: conf.Name, Tier: conf.Tier, Primary: cl.Primary, Epoch: cl.Epoch, Timeline: cl.Timeline, Acks: conf.Durability.Acks,
		Sets: cl.Sets, Guarded: cl.Guarded, Opened: cl.Opened, Pause: cl.Pause, Now: snapshot.Last.Reasons.Of(conf.Name).String(),
		Operation: lastOperation(cl),
	}
	out.Checks, out.Backup = decide.PlannedChecks(snapshot.Input, conf.Name), backupBrief(snapshot.Input, conf)
	for i := range conf.Members {
		out.Members = append(out.Members, memberStatus(snapshot, conf, cl, &conf.Members[i]))
	}
	return out
}

// lastOperation is the running change of primary, or else the last operation.
func lastOperation(cl *state.Cluster) *state.Operation {
	for i := len(cl.Operations) - 1; i >= 0; i-- {
		if o := &cl.Operations[i]; o.Result == state.Running && !o.Kind.Beside() {
			return o
		}
	}
	if n := len(cl.Operations); n > 0 {
		return &cl.Operations[n-1]
	}
	return nil
}

func memberStatus(snapshot loop.Snapshot, conf *platform.Cluster, cl *state.Cluster, m *platform.Member) wire.MemberStatus {
	in := snapshot.Input
	out := wire.MemberStatus{
		Name: m.Name, Host: m.Host, Site: in.State.Platform.SiteOf(m.Host), Goal: in.State.GoalOf(conf.Name, m.Name).Kind,
		Seen: in.View.Member(m), Age: in.View.Silence(m.Host, in.Now), Lag: -1, Address: addressOf(in.State.Platform, m),
		Protection: protection(in, m),
	}
	out.Leaving, out.Upstream = m.Leaving, cl.Upstreams[m.Name]
	if sm := cl.Members[m.Name]; sm != nil {
		out.Excluded, out.Cleared, out.Frozen = sm.Excluded, sm.Cleared, sm.Frozen()
	}
	if r := in.View.Report(m.Host); r != nil {
		out.Unmanaged = r.Unmanaged[m.Name]
	}
	out.Unreplayed = out.Seen.Unreplayed()
	if p := conf.Member(cl.Primary); p != nil {
		out.Lag = lag(in.View.Member(p), out.Seen)
	}
	return out
}

// protection is the guard from the member's last report, with the devices of its host from the platform file.
func protection(in decide.Input, m *platform.Member) wire.Protection {
	host := in.State.Platform.Host(m.Host)
	return wire.GuardOf(in.View.Member(m)).On(host, decide.Devices(host))
}

// lag is the number of bytes between a member and the primary's last known position; -1 if one of the two is not known.
func lag(primary, m *health.Member) int64 {
	if primary == nil || m == nil || primary.Position == 0 || position(m) == 0 {
		return -1
	}
	return max(0, int64(primary.Position)-int64(position(m)))
}

// position is the end of a member's WAL, or its replay position while that end is not known.
func position(m *health.Member) platform.LSN {
	if m.PositionKnown {
		return m.Position
	}
	return max(m.Position, m.Replayed)
}

func addressOf(p *platform.Platform, m *platform.Member) string {
	h := p.Host(m.Host)
	if h == nil {
		return ""
	}
	return net.JoinHostPort(h.Address, strconv.Itoa(m.Port))
}
