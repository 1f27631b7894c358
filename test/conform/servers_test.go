package conform

import (
	"context"
	"time"

	"mainstay/controller/platform"
	"mainstay/test/sim/world"
)

// members of every case.
var members = []string{"a", "b", "c"}

// modelServers are the simulator's.
type modelServers struct {
	seed uint64
	w    *world.Servers
}

func (m *modelServers) world() *world.Servers {
	if m.w == nil {
		m.w = world.NewServers(m.seed, members...)
	}
	return m.w
}

func (m *modelServers) Pass(d time.Duration) { m.world().Pass(10 * d) } // it has a slow machine's bounds

func (m *modelServers) StartPrimary(_ context.Context, name string, set platform.DurabilitySet) error {
	return m.world().StartPrimary(name, set)
}

func (m *modelServers) StartStandby(_ context.Context, name string) error {
	return m.world().StartStandby(name)
}

func (m *modelServers) Point(_ context.Context, name, upstream string) error {
	m.world().Point(name, upstream)
	return nil
}

func (m *modelServers) Write(_ context.Context, name string, id int) error {
	m.world().Write(name, uint64(id))
	return nil
}

func (m *modelServers) Outcome(_ context.Context, id int) (string, error) {
	switch yes, waits := m.world().Acknowledged(uint64(id)); {
	case yes:
		return "acknowledged", nil
	case waits:
		return "waits", nil
	}
	return "failed", nil
}

func (m *modelServers) Leave(_ context.Context, id int) error {
	m.world().Leave(uint64(id))
	return nil
}

func (m *modelServers) Load(_ context.Context, name string, set platform.DurabilitySet) error {
	m.world().Load(name, set)
	return nil
}

func (m *modelServers) Crash(_ context.Context, name string) error {
	m.world().Crash(name)
	return nil
}

func (m *modelServers) Stop(_ context.Context, name string) error {
	m.world().Stop(name)
	return nil
}

func (m *modelServers) EndReceiver(_ context.Context, name string) error {
	m.world().EndReceiver(name)
	return nil
}

func (m *modelServers) Seal(_ context.Context, name string) error { return m.world().Seal(name) }

func (m *modelServers) Promote(_ context.Context, name string, to platform.Timeline, set platform.DurabilitySet) error {
	return m.world().Promote(name, to, set)
}

func (m *modelServers) Rewind(_ context.Context, name, from string) error {
	return m.world().Rewind(name, from)
}

func (m *modelServers) Cut(_ context.Context, a, b string, severed bool) error {
	m.world().Cut(a, b, severed)
	return nil
}

func (m *modelServers) Block(_ context.Context, name string, blocked bool) error {
	m.world().Block(name, blocked)
	return nil
}

// Delay is modelled like a query that blocks replay.
func (m *modelServers) Delay(_ context.Context, name string, delayed bool) error {
	m.world().Block(name, delayed)
	return nil
}

func (m *modelServers) Pad(_ context.Context, name string) error {
	m.world().Pad(name)
	return nil
}

// NextSegment is nothing to a model, whose WAL has none.
func (m *modelServers) NextSegment(context.Context, string) error { return nil }

func (m *modelServers) See(_ context.Context, name string) (server, error) {
	v := m.world().Look(name)
	return server{running: v.Running, primary: v.Primary, clean: v.Clean, asPrimary: v.AsPrimary, known: v.Known, receives: v.Receives,
		timeline: v.Timeline, history: v.History, end: v.End, holds: ints(v.Holds), shows: ints(v.Shows)}, nil
}

func ints(of []uint64) (out []int) {
	for _, n := range of {
		out = append(out, int(n))
	}
	return out
}
