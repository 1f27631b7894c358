package state_test

import (
	"errors"
	"fmt"

	"mainstay/controller/platform"
	"mainstay/controller/state"
)

// Every controller applies the same commands in the same order, so each has the same state, and computes the same goals from it.
func ExampleApply() {
	s := state.New()
	for _, c := range []state.Command{
		{Init: &state.Init{PlatformID: "p"}},
		{Platform: &state.SetPlatform{Platform: &platform.Platform{
			Name:  "social",
			Sites: []platform.Site{{Name: "east"}},
			Hosts: []platform.Host{{Name: "h1", Site: "east"}, {Name: "h2", Site: "east"}},
			Clusters: []platform.Cluster{{
				Name:    "feed",
				Members: []platform.Member{{Name: "m1", Host: "h1", MayLead: true}, {Name: "m2", Host: "h2", MayLead: true}},
			}},
		}}},
	} {
		var err error
		if s, err = state.Apply(s, s.Index+1, c); err != nil {
			fmt.Println(err)
		}
	}
	decidedOn := s.Clusters["feed"].Version

	// The cluster gets its first primary. The command names the version it was decided on.
	first := state.Command{Cluster: "feed", Version: decidedOn, Bootstrap: &state.BootstrapCluster{Member: "m1", Reason: "m1 is preferred"}}
	after, err := state.Apply(s, s.Index+1, first)
	fmt.Println("before:", s.GoalOf("feed", "m1").Kind, s.GoalOf("feed", "m2").Kind)
	fmt.Println("after: ", after.GoalOf("feed", "m1").Kind, after.GoalOf("feed", "m2").Kind, err)
	fmt.Println("epoch: ", after.Clusters["feed"].Epoch)

	// What was decided on the same version by another leader comes too late. Its entry of the log changes nothing.
	late := state.Command{Cluster: "feed", Version: decidedOn, Bootstrap: &state.BootstrapCluster{Member: "m2", Reason: "m2 is preferred"}}
	after, err = state.Apply(after, after.Index+1, late)
	fmt.Println("late:  ", errors.Is(err, state.ErrMoved), "primary", after.Clusters["feed"].Primary)

	// Output:
	// before: observe observe
	// after:  primary replica <nil>
	// epoch:  1.1
	// late:   true primary m1
}
