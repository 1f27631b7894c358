package supervisor

import (
	"testing"
	"time"

	"mainstay/controller/boottime"
	"mainstay/controller/member"
	"mainstay/controller/platform"
)

// TestGoodFor: a lease supports permits only while its member may act as primary of its epoch.
func TestGoodFor(t *testing.T) {
	epoch5 := platform.Epoch{Generation: 1, Number: 5}
	for name, f := range map[string]func(*shared){
		"":     func(*shared) {}, // it does
		"over": func(m *shared) { m.leasing.lease.End = boottime.Now() },
		"not renewed for a permit": func(m *shared) {
			m.leasing.lease.Renewed = boottime.Now() - platform.Permit(platform.DefaultLease)
		},
		"closed":    func(m *shared) { m.durable.Closed = epoch5 },
		"sealed":    func(m *shared) { m.durable.Sealed = epoch5.Next() },
		"obeys on":  func(m *shared) { m.durable.Epoch = epoch5.Next() },
		"told of":   func(m *shared) { m.told.goal.Epoch = epoch5.Next() },
		"a replica": func(m *shared) { m.told.goal.Kind = platform.GoalReplica },
		"never ran": func(m *shared) { m.durable.Ran = platform.Epoch{} },
	} {
		m := assemble(&shared{durable: member.Durable{Epoch: epoch5, Ran: epoch5},
			told: told{goal: platform.Goal{Kind: platform.GoalPrimary, Cluster: "feed", Epoch: epoch5}},
			leasing: leasing{promises: member.Promises{Length: 5 * time.Second},
				lease: member.Lease{Epoch: epoch5, End: boottime.Now() + time.Hour, Renewed: boottime.Now() + time.Hour - 5*time.Second}}})
		f(m.shared)
		if epoch, left := m.GoodFor(boottime.Now()); epoch != epoch5 || (left > 0) != (name == "") || left > time.Hour {
			t.Errorf("%s: epoch %s, %s is left", name, epoch, left)
		}
	}
}
