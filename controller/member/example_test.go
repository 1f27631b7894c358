package member_test

import (
	"fmt"
	"time"

	"mainstay/controller/member"
	"mainstay/controller/platform"
	"mainstay/health"
)

// A standby is chosen as the primary of epoch 1.2. Next names one act at a time. What an act does to PostgreSQL shows in what
// the agent sees the next time it looks, so an act that was cut short is simply named again.
func ExampleNext() {
	epoch := platform.Epoch{Generation: 1, Number: 2}
	in := member.Input{
		Name: "m2",
		Goal: platform.Goal{Kind: platform.GoalPrimary, Cluster: "feed", Epoch: epoch, Timeline: 2, SystemID: "7", Incarnation: "m2_2",
			Sets: []platform.DurabilitySet{{ID: 3, Epoch: epoch, Acks: 1, Names: []string{"m1_4", "m3_3"}}}, OtherMembers: []string{"m1", "m3"}},
		Durable: member.Durable{Epoch: platform.Epoch{Generation: 1, Number: 1}, Sealed: epoch, SystemID: "7", Incarnation: "m2_2"},
		Seen: member.Seen{Data: health.DataPresent, SystemID: "7", Process: health.ProcessRunning, Role: health.RoleStandby,
			Timeline: 1},
		GuardComplete: true,
		Now:           time.Minute,
	}
	for done := false; !done; {
		act := member.Next(in)
		in.Durable = act.Durable // a promise is on disk before the act that it allows
		switch act.Kind {
		case member.Promote:
			in.Seen.Role, in.Seen.Timeline = health.RolePrimary, in.Goal.Timeline
		case member.LoadSet:
			in.Seen.SyncNames, in.Seen.SyncOurs = member.SyncNames(in.Goal.Sets[0]), true
		case member.Open:
			in.Memory.Opened = epoch
		case member.Slots:
			in.Seen.Slots = in.Goal.OtherMembers
		case member.Nothing:
			if done = act.Wait == ""; done {
				fmt.Println("converged")
				continue
			}
			fmt.Println(act.Wait)
			in.Lease = member.Lease{Epoch: epoch, End: in.Now + 5*time.Second} // the leader grants it with its next answer
			continue
		}
		fmt.Printf("%s: %s\n", act.Kind, act.Why)
	}

	// Output:
	// persist: take up epoch 1.2
	// waiting for the lease of epoch 1.2
	// promote: primary of epoch 1.2 on timeline 2
	// load-set: durability set ANY 1 ("m1_4","m3_3")
	// open: epoch 1.2
	// slots: a slot for every other member, and for the archive
	// converged
}
