package consensus

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/hashicorp/raft"
)

// Server is one controller in the log's own list.
type Server struct {
	ID      string `json:"id"`
	Name    string `json:"name"` // part of the ID; not needed as an argument
	Address string `json:"address"`
	// Learner receives the log and has no vote. Add a new controller as a learner first, and as a voter once it has caught up: a voter
	// that has not caught up makes the majority harder to reach.
	Learner bool `json:"learner,omitempty"`
}

// answerTime bounds those calls of raft that take no context.
const answerTime = 10 * time.Second

// Bootstrap begins the log, once, on one controller, with the first list of controllers, which contains this one. It returns
// ErrBootstrapped if the log has begun.
func (l *Log) Bootstrap(servers []Server) error {
	var c raft.Configuration
	for _, s := range servers {
		suffrage := raft.Voter
		if s.Learner {
			suffrage = raft.Nonvoter
		}
		c.Servers = append(c.Servers, raft.Server{Suffrage: suffrage, ID: raft.ServerID(s.ID), Address: raft.ServerAddress(s.Address)})
	}
	ctx, cancel := context.WithTimeout(context.Background(), answerTime)
	defer cancel()
	l.store.mayFail.Store(true)
	defer l.store.mayFail.Store(false)
	return l.wait(ctx, "initialise the controllers", func() error {
		err := l.raft.BootstrapCluster(c).Error()
		if errors.Is(err, raft.ErrCantBootstrap) {
			return ErrBootstrapped
		}
		return err
	})
}

// Servers is the latest list that this controller knows, committed or not.
func (l *Log) Servers(ctx context.Context) ([]Server, error) {
	f := l.raft.GetConfiguration() // does not wait for raft
	if err := errors.Join(context.Cause(ctx), f.Error()); err != nil {
		return nil, fmt.Errorf("list the controllers: %w", err)
	}
	return serversOf(f.Configuration()), nil
}

// Add adds a controller, or makes a learner a voter. A controller that returns under a new id (S3) is refused while its former id is
// listed: remove that first, so that the majority does not count the same machine twice.
func (l *Log) Add(ctx context.Context, s Server) error {
	present, err := l.Servers(ctx)
	if err != nil {
		return err
	}
	for _, p := range present {
		if p.ID != s.ID && (p.Name == nameOf(s.ID) || p.Address == s.Address) {
			return fmt.Errorf("add controller %s: %s at %s is still listed; remove it first: `mainstay controllers remove %s`",
				s.ID, p.ID, p.Address, p.Name)
		}
	}
	add := l.raft.AddVoter
	if s.Learner {
		add = l.raft.AddNonvoter
	}
	return l.wait(ctx, "add controller "+s.ID, func() error {
		return certain(add(raft.ServerID(s.ID), raft.ServerAddress(s.Address), 0, timeLeft(ctx)).Error())
	})
}

// Remove removes a controller from the list; it is no error if the list does not have it. A leader that removes itself steps down.
func (l *Log) Remove(ctx context.Context, id string) error {
	return l.wait(ctx, "remove controller "+id, func() error {
		return certain(l.raft.RemoveServer(raft.ServerID(id), 0, timeLeft(ctx)).Error())
	})
}

// Transfer hands leadership to the voter of that id, or to the most advanced voter where id is "".
func (l *Log) Transfer(ctx context.Context, id string) error {
	if id == "" {
		return l.wait(ctx, "hand over leadership", func() error { return certain(l.raft.LeadershipTransfer().Error()) })
	}
	servers, err := l.Servers(ctx)
	if err != nil {
		return err
	}
	for _, s := range servers {
		if s.ID == id && !s.Learner {
			return l.wait(ctx, "hand leadership to "+id, func() error {
				return certain(l.raft.LeadershipTransferToServer(raft.ServerID(id), raft.ServerAddress(s.Address)).Error())
			})
		}
	}
	return fmt.Errorf("hand leadership to %s: it is not a voter of the controllers; `mainstay controllers list` shows them", id)
}

// timeLeft is how long raft may take to begin the call.
func timeLeft(ctx context.Context) time.Duration {
	if d, ok := ctx.Deadline(); ok {
		return max(time.Until(d), time.Millisecond)
	}
	return answerTime
}
