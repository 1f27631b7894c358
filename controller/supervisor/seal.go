package supervisor

import (
	"context"

	"mainstay/controller/boottime"
	"mainstay/controller/member"
	"mainstay/controller/platform"
	"mainstay/controller/postgres"
)

// seal stops the member from receiving, then reads its position. The seal's number is on disk already.
func (m *actor) seal(ctx context.Context, pg *postgres.Server, goal platform.Goal, d member.Durable) error {
	p, err := m.receiveNothing(ctx, pg, goal, d)
	if err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.view.sealedAt, m.memory.SealConfirmed, m.memory.SealedAt = p, goal.Epoch, boottime.Now()
	return nil
}

func (m *actor) quieten(ctx context.Context, pg *postgres.Server, goal platform.Goal, d member.Durable) error {
	s, err := settings(pg, goal, d)
	if err == nil {
		err = pg.Quieten(ctx, s)
	}
	if err == nil {
		m.recall(func(r *member.Memory) { r.Quiet = goal.Epoch })
	}
	return err
}

func (m *actor) stopReceiver(ctx context.Context, pg *postgres.Server, goal platform.Goal, d member.Durable) error {
	goal.Upstream = nil
	if _, err := m.receiveNothing(ctx, pg, goal, d); err != nil {
		return err
	}
	m.recall(func(r *member.Memory) { r.Apart = goal.Epoch })
	return nil
}

func (m *actor) receiveNothing(ctx context.Context, pg *postgres.Server, goal platform.Goal,
	d member.Durable) (postgres.Position, error) {
	s, err := settings(pg, goal, d)
	if err != nil {
		return postgres.Position{}, err
	}
	if d.AlterSystem {
		if err := pg.AlterSystem(ctx, map[string]string{"primary_conninfo": "", "restore_command": ""}); err != nil {
			return postgres.Position{}, err
		}
	}
	p, shown, err := pg.Seal(ctx, s)
	if err == nil {
		m.proven(shown)
	}
	return p, err
}
