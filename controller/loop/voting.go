package loop

import (
	"context"

	"mainstay/controller/boottime"
	"mainstay/health"
)

// Votes hands in another controller's votes.
func (l *Loop) Votes(ctx context.Context, v health.Votes) error {
	return l.send(ctx, func() { l.core.Votes(v, boottime.Now()) })
}

// Process tells this process from earlier ones of the same controller.
func (l *Loop) Process() string { return l.process }

// Vote takes in what this controller's probes say of members and app servers, and returns its votes for the others.
func (l *Loop) Vote(ctx context.Context, probes []health.Vote, apps []health.InstanceVote, lacks string) (health.Votes, error) {
	ch := make(chan health.Votes, 1)
	if err := l.send(ctx, func() {
		l.core.Lacks(lacks)
		ch <- l.core.Vote(l.process, probes, apps, boottime.Now())
	}); err != nil {
		return health.Votes{}, err
	}
	select {
	case v := <-ch:
		return v, nil
	case <-ctx.Done():
		return health.Votes{}, ctx.Err()
	}
}

// Doubted names the members that this controller should ask itself.
func (l *Loop) Doubted(ctx context.Context) (map[MemberKey]bool, error) {
	ch := make(chan map[MemberKey]bool, 1)
	if err := l.send(ctx, func() { ch <- l.core.Doubted(boottime.Now()) }); err != nil {
		return nil, err
	}
	select {
	case d := <-ch:
		return d, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// Voters hands over the names of the controllers that vote in the log.
func (l *Loop) Voters(ctx context.Context, names []string) error {
	return l.send(ctx, func() { l.core.Voters(names) })
}
