package decide_test

import (
	"fmt"
	"time"

	"mainstay/controller/decide"
	"mainstay/controller/platform"
	"mainstay/controller/state"
	"mainstay/fencing"
	"mainstay/health"
)

// The primary of a cluster crashes. Next is asked again after each report: it begins a failover, waits for the other members to
// be sealed, and promotes the one that holds the most WAL. Nothing happens between two calls but that its command is committed.
func ExampleNext() {
	s := state.New()
	commit := func(c state.Command) {
		var err error
		if s, err = state.Apply(s, s.Index+1, c); err != nil {
			fmt.Println("refused:", err)
		}
	}
	first := platform.Epoch{Generation: 1, Number: 1}
	for _, c := range []state.Command{
		{Init: &state.Init{PlatformID: "p"}},
		{Platform: &state.SetPlatform{Platform: &platform.Platform{
			Name:  "social",
			Sites: []platform.Site{{Name: "east"}},
			Hosts: []platform.Host{{Name: "h1", Site: "east"}, {Name: "h2", Site: "east"}, {Name: "h3", Site: "east"}},
			Clusters: []platform.Cluster{{
				Name: "feed", Lease: 5 * time.Second, Durability: platform.Durability{Acks: 1},
				Members: []platform.Member{
					{Name: "m1", Host: "h1", MayLead: true}, {Name: "m2", Host: "h2", MayLead: true}, {Name: "m3", Host: "h3", MayLead: true}},
			}},
		}}},
		{Cluster: "feed", Bootstrap: &state.BootstrapCluster{Member: "m1", Guarded: true}},
		{Cluster: "feed", Opened: &state.Opened{Epoch: first, SystemID: "7", Timeline: 1}},
	} {
		commit(c)
	}

	view, now := health.NewView(0), time.Minute
	report := func(number uint64, members ...health.Member) {
		for i, m := range members {
			m.Name, m.Data, m.SystemID, m.Epoch, m.Timeline = fmt.Sprintf("m%d", i+1), health.DataPresent, "7", first, 1
			m.Incarnation = s.Clusters["feed"].Members[m.Name].Incarnation
			view.Fold(&health.Report{Host: fmt.Sprintf("h%d", i+1), Number: number, Members: []health.Member{m}}, "", 0, now)
		}
	}
	conditions, leases := decide.NewConditions(), fencing.NewLeases(0)
	next := func() {
		d := decide.Next(decide.Input{State: s, View: view, Leases: leases, Conditions: conditions, Now: now})
		for _, c := range d.Commands {
			if c.Begin != nil {
				fmt.Printf("begin: %s; %s\n", c.Begin.Kind, c.Begin.Reason)
			}
			if c.Promote != nil {
				fmt.Printf("promote: %s; proof: %s; m2 is %s\n", c.Promote.Member, c.Promote.Proof.Kind, c.Promote.NotChosen["m2"])
			}
			commit(c)
		}
		if len(d.Commands) == 0 {
			fmt.Println("wait:", d.Reasons.Of("feed").String())
		}
	}

	// The agent of m1 says that PostgreSQL has ended there, and that it starts no primary of epoch 1.1 again.
	crashed := health.Member{Process: health.ProcessEnded, Closed: first}
	standby := health.Member{Process: health.ProcessRunning, Role: health.RoleStandby}
	report(1, crashed, standby, standby)
	next()
	next()

	// The others have stopped receiving, and say what they hold.
	behind, ahead := standby, standby
	behind.Sealed, behind.Position, behind.PositionKnown = s.Clusters["feed"].Attempt.Number, 0x3000100, true
	ahead.Sealed, ahead.Position, ahead.PositionKnown = s.Clusters["feed"].Attempt.Number, 0x3000180, true
	report(2, crashed, behind, ahead)
	next()
	fmt.Println("primary:", s.Clusters["feed"].Primary, "of epoch", s.Clusters["feed"].Epoch)

	// Output:
	// begin: failover; PrimaryCrashed: m1, its agent saw the postmaster end
	// wait: waiting for the seal of [m2 m3]
	// promote: m3; proof: stopped; m2 is 128 bytes behind m3
	// primary: m3 of epoch 1.2
}
