package apps

import (
	"context"
	"time"

	"go.uber.org/zap"

	"mainstay/controller/boottime"
	"mainstay/controller/instance"
	"mainstay/controller/platform"
	"mainstay/controller/statefile"
	"mainstay/fencing/program"
)

// leaveBound is how long the last write before the agent ends may take.
const leaveBound = time.Second

// do begins one act. What it does to the memory is noted before, so that no act is begun twice.
func (m *minder) do(ctx context.Context, act instance.Act, now time.Duration) {
	switch act.Kind {
	case instance.Persist:
		m.keep(ctx, act.Durable, now)
		return
	case instance.Start:
		if m.lanes.starts.busy() || m.lanes.stops.busy() || m.lanes.kills.busy() {
			m.lanes.stops.stop()
			return // the one before hangs, or what ended it is not over, and would end this one
		}
		m.moments.changed = now
		m.recall(func(r instance.Memory) instance.Memory { return r.Starting() })
		m.lanes.starts.begin(ctx, m.host.group, quick, m.server.start)
	case instance.Drain:
		m.drain(ctx, now)
	case instance.Readmit:
		m.lanes.drains.stop()
		m.recall(func(r instance.Memory) instance.Memory { return r.Readmitted() })
	case instance.Stop:
		m.lanes.starts.stop()
		m.lanes.drains.stop()
		m.recall(func(r instance.Memory) instance.Memory { r.StopFrom = now; return r })
		m.lanes.stops.begin(ctx, m.host.group, quick, m.server.stop)
	case instance.Kill:
		if m.lanes.kills.busy() {
			return
		}
		m.recall(func(r instance.Memory) instance.Memory { r.KilledAt = now; return r })
		m.lanes.starts.stop()
		m.lanes.kills.begin(ctx, m.host.group, quick, m.server.kill)
		m.lanes.stops.begin(ctx, m.host.group, quick, m.server.stop) // once more: systemd may start again what was only killed
	case instance.Nothing:
		return
	}
	m.log.Info("act", zap.String("kind", string(act.Kind)), zap.String("why", act.Why))
}

// recall changes what the run remembers.
func (m *minder) recall(change func(instance.Memory) instance.Memory) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.memory = change(m.memory)
}

// drain is begun once it is out of routing. Its program, if it has one, may shorten it.
func (m *minder) drain(ctx context.Context, now time.Duration) {
	told := len(m.cfg.Drain) > 0
	m.mu.Lock()
	m.memory.DrainFrom, m.memory.Drained = now, false
	m.memory.Told = m.memory.Told || told
	bound := m.goal.Drain
	m.mu.Unlock()
	if told {
		m.lanes.drains.begin(ctx, m.host.group, bound, m.runDrain)
	}
}

func (m *minder) runDrain(ctx context.Context) error {
	call, err := m.server.program(m.cfg.Drain)
	if err == nil {
		_, err = runProgram(ctx, call)
	}
	return err
}

func (m *minder) drained(err error) {
	m.ended("drain", err)
	if err == nil {
		m.recall(func(r instance.Memory) instance.Memory { r.Drained = r.DrainFrom != 0; return r })
	}
}

// keep writes what must outlive the agent, beside everything else: a disk that hangs stops no stop. Until a write that changes
// the wish has gone well, either may be on disk, and neither is relied on.
func (m *minder) keep(ctx context.Context, d instance.Durable, now time.Duration) {
	if m.lanes.keeps.busy() || now < m.moments.keep {
		return
	}
	m.writing = d
	m.mu.Lock()
	if m.durable.Goal.Want != d.Goal.Want {
		m.durable.Goal = platform.InstanceGoal{}
	}
	m.mu.Unlock()
	m.lanes.keeps.begin(ctx, m.host.group, quick, func(context.Context) error { return statefile.Write(m.path(), d) })
}

func (m *minder) kept(err error) {
	m.ended("keep", err)
	if err != nil {
		m.moments.keep = boottime.Now() + keepAgain
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.durable = m.writing
}

// leave writes, when the agent ends, exactly when the permit does: the next one has that long to hear a leader, or the agent
// of the primary. A disk that hangs is not waited for.
func (m *minder) leave() {
	m.mu.Lock()
	d := m.durable
	late := d.Goal == m.goal && d.Boot == m.host.o.Boot && d.End < m.permit.end
	d.End = m.permit.end
	m.mu.Unlock()
	if !late || m.lanes.keeps.busy() {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), leaveBound)
	defer cancel()
	if err, ended := program.Apart(ctx, func() error { return statefile.Write(m.path(), d) }); !ended || err != nil {
		m.log.Warn("the end of the permit that is kept is an older one", zap.Error(err))
	}
}

func (m *minder) tidy(ctx context.Context) {
	if now := boottime.Now(); !m.lanes.tidies.busy() && now >= m.moments.tidy {
		m.moments.tidy = now + tidyEvery
		m.lanes.tidies.begin(ctx, m.host.group, quick, m.server.tidy)
	}
}
