package supervisor

import (
	"context"

	"go.uber.org/zap"

	"mainstay/controller/boottime"
	"mainstay/controller/member"
	"mainstay/controller/platform"
	"mainstay/controller/postgres"
	"mainstay/health"
)

// release releases a member that was removed from the platform; its PostgreSQL keeps running. The guards are disarmed first and the
// promises removed last, so that an interrupted release starts again. Foreign data is not changed (S5).
func (m *actor) release(ctx context.Context, pg *postgres.Server, goal platform.Goal, d member.Durable) error {
	if err := m.unguard(); err != nil {
		return err
	}
	seen := m.seen()
	if d.SystemID != "" && d.SystemID == seen.SystemID && seen.Process == health.ProcessRunning {
		if seen.Role == health.RoleStandby {
			if err := detach(ctx, pg, goal.Upstream == nil, d); err != nil {
				return err
			}
		}
		if err := m.waitForNoSlot(ctx, pg, seen.Role, d); err != nil {
			return err
		}
		if err := pg.DropIdleSlots(ctx); err != nil {
			return err
		}
	}
	return m.o.Home.Forget(m.o.Name)
}

// detach empties a standby's durability list, which no standby satisfies: after a promotion by hand, its commits would hang. A member
// that is removed alone also stops streaming: its slot no longer exists, and it would request it for ever.
func detach(ctx context.Context, pg *postgres.Server, alone bool, d member.Durable) error {
	values := map[string]string{"synchronous_standby_names": ""}
	write := pg.EmptySyncNames
	if alone {
		values["primary_conninfo"], values["primary_slot_name"] = "", ""
		write = func(ctx context.Context) error { return pg.WriteSettings(ctx, postgres.Settings{}) }
	}
	if err := write(ctx); err != nil {
		return err
	}
	if d.AlterSystem {
		if err := pg.AlterSystem(ctx, values); err != nil {
			return err
		}
	}
	return pg.Reload(ctx)
}

// waitForNoSlot frees the user's subscribers of a primary from waiting for slots that Mainstay no longer manages.
func (m *actor) waitForNoSlot(ctx context.Context, pg *postgres.Server, role health.Role, d member.Durable) error {
	if pg.Binaries.Major < 17 || role != health.RolePrimary {
		return nil
	}
	if err := pg.Empty(ctx, "synchronized_standby_slots"); err != nil {
		return err
	}
	if d.AlterSystem {
		if err := pg.AlterSystem(ctx, map[string]string{"synchronized_standby_slots": ""}); err != nil {
			return err
		}
	}
	return pg.Reload(ctx)
}

// unguard disarms the guards, even if an earlier agent armed them.
func (m *actor) unguard() error {
	m.arming.Lock()
	defer m.arming.Unlock()
	return m.guards.disarm()
}

// dropSlots drops the user's slots that the last look found superseded.
func (m *actor) dropSlots(ctx context.Context, pg *postgres.Server) error {
	names := m.seen().Superseded
	err := pg.DropSuperseded(ctx, names)
	m.mu.Lock()
	m.slots.droppedAt = boottime.Now()
	m.mu.Unlock()
	if err == nil {
		m.log.Info("dropped the standby's own copies of failover slots that the primary now has", zap.Strings("slots", names))
	}
	return err
}

// endGuards ends the guards of a released member. If its PostgreSQL is a child of their launcher it would end with them, so they stay,
// idle, until it ends.
func (m *Supervisor) endGuards() {
	set := m.guards.get()
	if set == nil {
		return
	}
	if err := set.Exit(); err != nil {
		m.log.Info("the idle guards stay until PostgreSQL ends", zap.Error(err))
	}
}
