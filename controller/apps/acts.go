package apps

import (
	"context"
	"time"

	"go.uber.org/zap"

	"mainstay/controller/appserver"
	"mainstay/controller/boottime"
	"mainstay/controller/platform"
	"mainstay/controller/statefile"
	"mainstay/fencing/program"
)

// leaveBound bounds the last write before the agent ends.
const leaveBound = time.Second

// do starts one act. It records the act in memory first, so that no act is started twice.
func (m *supervisor) do(ctx context.Context, act appserver.Act, now time.Duration) {
	switch act.Kind {
	case appserver.Persist:
		m.keep(ctx, act.Durable, now)
		return
	case appserver.Start:
		if m.tasks.starts.busy() || m.tasks.stops.busy() || m.tasks.kills.busy() {
			m.tasks.stops.stop()
			return // an earlier start hangs, or the stop or kill that ended it still runs and would end this one too
		}
		m.moments.changed = now
		m.recall(func(r appserver.Memory) appserver.Memory { return r.Starting() })
		m.tasks.starts.begin(ctx, m.host.group, quick, m.server.start)
	case appserver.Drain:
		m.drain(ctx, now)
	case appserver.Readmit:
		m.tasks.drains.stop()
		m.recall(func(r appserver.Memory) appserver.Memory { return r.Readmitted() })
	case appserver.Stop:
		m.tasks.starts.stop()
		m.tasks.drains.stop()
		m.recall(func(r appserver.Memory) appserver.Memory { r.StopFrom = now; return r })
		m.tasks.stops.begin(ctx, m.host.group, quick, m.server.stop)
	case appserver.Kill:
		if m.tasks.kills.busy() {
			return
		}
		m.recall(func(r appserver.Memory) appserver.Memory { r.KilledAt = now; return r })
		m.tasks.starts.stop()
		m.tasks.kills.begin(ctx, m.host.group, quick, m.server.kill)
		m.tasks.stops.begin(ctx, m.host.group, quick, m.server.stop) // repeated: systemd may restart a unit that was only killed
	case appserver.Nothing:
		return
	}
	m.log.Info("act", zap.String("kind", string(act.Kind)), zap.String("why", act.Why))
}

// recall changes the memory of this run.
func (m *supervisor) recall(change func(appserver.Memory) appserver.Memory) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.memory = change(m.memory)
}

// drain begins once the instance is out of routing. Its drain program, if it has one, may shorten it.
func (m *supervisor) drain(ctx context.Context, now time.Duration) {
	told := len(m.cfg.Drain) > 0
	m.mu.Lock()
	m.memory.DrainFrom, m.memory.Drained = now, false
	m.memory.Told = m.memory.Told || told
	bound := m.goal.Drain
	m.mu.Unlock()
	if told {
		m.tasks.drains.begin(ctx, m.host.group, bound, m.runDrain)
	}
}

func (m *supervisor) runDrain(ctx context.Context) error {
	call, err := m.server.program(m.cfg.Drain)
	if err == nil {
		_, err = runProgram(ctx, call)
	}
	return err
}

func (m *supervisor) drained(err error) {
	m.ended("drain", err)
	if err == nil {
		m.recall(func(r appserver.Memory) appserver.Memory { r.Drained = r.DrainFrom != 0; return r })
	}
}

// keep writes the state that must outlive the agent, while other acts run: a hanging disk delays no stop. Until a write that changes
// the wanted state has succeeded, either state may be on disk, so neither is relied on.
func (m *supervisor) keep(ctx context.Context, d appserver.Durable, now time.Duration) {
	if m.tasks.keeps.busy() || now < m.moments.keep {
		return
	}
	m.writing = d
	m.mu.Lock()
	if m.durable.Goal.Want != d.Goal.Want {
		m.durable.Goal = platform.InstanceGoal{}
	}
	m.mu.Unlock()
	m.tasks.keeps.begin(ctx, m.host.group, quick, func(context.Context) error { return statefile.Write(m.path(), d) })
}

func (m *supervisor) kept(err error) {
	m.ended("keep", err)
	if err != nil {
		m.moments.keep = boottime.Now() + keepAgain
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.durable = m.writing
}

// leave writes the exact end of the permit when the agent ends: the next agent has that long to hear from a leader or the agent of the
// primary. It does not wait for a hanging disk.
func (m *supervisor) leave() {
	m.mu.Lock()
	d := m.durable
	late := d.Goal == m.goal && d.Boot == m.host.o.Boot && d.End < m.permit.end
	d.End = m.permit.end
	m.mu.Unlock()
	if !late || m.tasks.keeps.busy() {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), leaveBound)
	defer cancel()
	if err, ended := program.Apart(ctx, func() error { return statefile.Write(m.path(), d) }); !ended || err != nil {
		m.log.Warn("the end of the permit could not be written; an older end is on disk", zap.Error(err))
	}
}

func (m *supervisor) tidy(ctx context.Context) {
	if now := boottime.Now(); !m.tasks.tidies.busy() && now >= m.moments.tidy {
		m.moments.tidy = now + tidyEvery
		m.tasks.tidies.begin(ctx, m.host.group, quick, m.server.tidy)
	}
}
