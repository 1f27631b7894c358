package controller

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"go.uber.org/zap"

	"mainstay/controller/api"
	"mainstay/controller/config"
	"mainstay/controller/consensus"
	"mainstay/controller/identity"
	"mainstay/controller/loop"
	"mainstay/controller/wakeup"
	"mainstay/controller/wire"
)

// askTime bounds the request for one controller's identity.
const askTime = time.Second

// list is the controllers' own list and its changes; it implements api.Controllers.
type list struct {
	cfg     config.Controller
	version string
	store   *identity.Store
	log     *consensus.Log
	loop    *loop.Loop
	states  *machine
	client  *wire.Client
	logger  *zap.Logger
}

// Leading tells whether raft considers this controller the leader.
func (l *list) Leading() bool { return l.log.IsLeader() }

// Leader names the leader this controller knows of.
func (l *list) Leader() (name, address string) {
	id, address := l.log.Leader()
	servers, err := l.log.Servers(context.Background()) // does not wait
	if err != nil {
		return id, address
	}
	for _, s := range servers {
		if s.ID == id {
			return s.Name, s.Address
		}
	}
	return id, address
}

// Identity is the identity of this controller.
func (l *list) Identity() wire.Identity {
	servers, err := l.log.Servers(context.Background())
	name, address := l.Leader()
	return wire.Identity{
		Name: l.cfg.Name, RaftID: l.log.ID(), Address: l.cfg.Advertise, Site: l.cfg.Site, Version: l.version,
		ProtocolMin: wire.ProtocolMin, ProtocolMax: wire.ProtocolMax, Initialised: err != nil || len(servers) > 0,
		PlatformID: l.states.State().PlatformID, Leader: name, LeaderAddr: address,
		CertificateExpires: l.store.Expiry().UTC().Format(time.RFC3339), Programs: l.cfg.Programs,
	}
}

// ask asks a controller for its identity.
func (l *list) ask(ctx context.Context, address string) (wire.Identity, error) {
	if address == l.cfg.Advertise {
		return l.Identity(), nil
	}
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	var id wire.Identity
	err := l.client.DoAt(ctx, address, "GET", "/v1/controller", nil, &id)
	return id, err
}

// List asks all listed controllers at once for their identities.
func (l *list) List(ctx context.Context) (wire.Controllers, error) {
	servers, err := l.log.Servers(ctx)
	if err != nil {
		return wire.Controllers{}, err
	}
	if len(servers) == 0 {
		servers = []consensus.Server{{ID: l.log.ID(), Name: l.cfg.Name, Address: l.cfg.Advertise}}
	}
	leader, _ := l.log.Leader()
	out := wire.Controllers{Members: make([]wire.Controller, len(servers))}
	out.Leader, _ = l.Leader()
	var wg sync.WaitGroup
	for i, s := range servers {
		wg.Go(func() {
			out.Members[i] = l.member(ctx, s)
			out.Members[i].Leader = s.ID == leader
		})
	}
	wg.Wait()
	return out, nil
}

func (l *list) member(ctx context.Context, s consensus.Server) wire.Controller {
	m := wire.Controller{RaftID: s.ID, Name: s.Name, Address: s.Address}
	id, err := l.ask(ctx, s.Address)
	switch {
	case err != nil:
		m.Error = wire.Why(err)
	case id.RaftID != s.ID:
		m.Error = fmt.Sprintf("%s answers there, with an empty or another folder; `mainstay controllers remove %s`, then add it again",
			id.RaftID, s.ID)
	default:
		m.Reached, m.Version, m.CertificateEnds, m.Programs = true, id.Version, endsSoon(id.CertificateExpires), id.Programs
	}
	return m
}

// endsSoon returns a certificate's end if that is near or past, else "".
func endsSoon(end string) string {
	if at, err := time.Parse(time.RFC3339, end); err != nil || !identity.EndsSoon(at, time.Now()) {
		return ""
	}
	return end
}

// Add asks a new controller for its identity and adds it: first without a vote, until it has the state, so that the majority is
// never harder to reach than before.
func (l *list) Add(ctx context.Context, address string) error {
	id, err := l.ask(ctx, address)
	if err != nil {
		return refuse("controller at %s: %s", address, wire.Why(err))
	}
	servers, err := l.log.Servers(ctx)
	if err != nil {
		return err
	}
	mine := l.states.State().PlatformID
	switch {
	case slices.ContainsFunc(servers, func(s consensus.Server) bool { return s.ID == id.RaftID && !s.Learner }):
		return refuse("controller %s is already on the list", id.Name)
	case mine == "":
		return refuse("the controllers are not initialised; run `mainstay controllers init`")
	case slices.Contains(l.states.State().Lost, id.Name):
		return refuse("a controller %s was given up when the controllers were recovered, and may come back with its old log: "+
			"give this one a new name and a new certificate", id.Name)
	case id.PlatformID != "" && id.PlatformID != mine:
		return refuse("controller %s belongs to platform %s, these to %s; give it an empty data folder first", id.Name, id.PlatformID, mine)
	case id.Initialised && !slices.ContainsFunc(servers, func(s consensus.Server) bool { return s.ID == id.RaftID }):
		return refuse("controller %s has the log of other controllers, or of an earlier membership; give it an empty data folder first", id.Name)
	}
	if err := speaks(id); err != nil {
		return err
	}
	if id.Address != address {
		if again, err := l.ask(ctx, id.Address); err != nil || again.RaftID != id.RaftID {
			return refuse("controller %s advertises %s, where it does not answer (%v); correct advertise: in its file", id.Name, id.Address, err)
		}
	}
	return l.takeIn(ctx, consensus.Server{ID: id.RaftID, Name: id.Name, Address: id.Address})
}

func (l *list) takeIn(ctx context.Context, s consensus.Server) error {
	learner := s
	learner.Learner = true
	if err := l.log.Add(ctx, learner); err != nil {
		return err
	}
	mine := l.states.State().PlatformID
	for {
		id, err := l.ask(ctx, s.Address)
		if err == nil && id.PlatformID == mine {
			l.logger.Info("controller added", zap.String("name", s.Name), zap.String("raftID", s.ID), zap.String("address", s.Address))
			return l.log.Add(ctx, s)
		}
		if err := wakeup.Pause(ctx, 100*time.Millisecond); err != nil {
			return fmt.Errorf("controller %s is on the list without a vote, and has not received the state yet: add it again, or "+
				"`mainstay controllers remove %s`: %w", s.Name, s.Name, err)
		}
	}
}

// Remove removes a controller from the list. A majority of the remaining controllers must answer.
func (l *list) Remove(ctx context.Context, nameOrID string) error {
	all, err := l.List(ctx)
	if err != nil {
		return err
	}
	at := slices.IndexFunc(all.Members, func(m wire.Controller) bool { return m.RaftID == nameOrID || m.Name == nameOrID })
	if at < 0 {
		return refuse("there is no controller %s; `mainstay controllers list` shows them", nameOrID)
	}
	gone := all.Members[at]
	rest := slices.Delete(slices.Clone(all.Members), at, at+1)
	answering := 0
	for _, m := range rest {
		if m.Reached {
			answering++
		}
	}
	switch {
	case len(rest) == 0:
		return refuse("%s is the last controller", gone.Name)
	case answering <= len(rest)/2:
		return refuse("of the %d controllers that would remain, only %d answer, which is no majority; start another one first",
			len(rest), answering)
	case gone.RaftID == l.log.ID():
		return refuse("%s is the leader; run `mainstay controllers transfer` first", gone.Name)
	}
	l.logger.Info("controller removed", zap.String("name", gone.Name), zap.String("raftID", gone.RaftID))
	return l.log.Remove(ctx, gone.RaftID)
}

// Transfer hands leadership over, to a name or raft id, or to the most advanced controller.
func (l *list) Transfer(ctx context.Context, to string) error {
	servers, err := l.log.Servers(ctx)
	if err != nil {
		return err
	}
	if len(servers) < 2 {
		return refuse("there is no other controller to lead")
	}
	if to == "" {
		return l.log.Transfer(ctx, "")
	}
	for _, s := range servers {
		if s.Name != to && s.ID != to {
			continue
		}
		if s.ID == l.log.ID() {
			return refuse("%s is already the leader", s.Name)
		}
		return l.log.Transfer(ctx, s.ID)
	}
	return refuse("there is no controller %s; `mainstay controllers list` shows them", to)
}

func refuse(format string, args ...any) error {
	return &api.RefusedError{Err: fmt.Errorf(format, args...)}
}

// speaks tells whether a controller and this one share a version of the API.
func speaks(id wire.Identity) error {
	if id.ProtocolMin > wire.ProtocolMax || id.ProtocolMax < wire.ProtocolMin {
		return refuse("controller %s (%s) speaks versions %d to %d of the API, this one %d to %d; upgrade the older one first",
			id.Name, id.Version, id.ProtocolMin, id.ProtocolMax, wire.ProtocolMin, wire.ProtocolMax)
	}
	return nil
}
