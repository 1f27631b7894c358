package controller

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"go.uber.org/zap"

	"mainstay/controller/consensus"
	"mainstay/controller/loop"
	"mainstay/controller/state"
	"mainstay/controller/wire"
)

// Init begins the platform: it begins the log with all the controllers named, then has the leader commit the platform's id and
// generation 1 (S3). After an interruption at any point, the same request to the same controller finishes it (S7).
func (l *list) Init(ctx context.Context, addresses []string, forwarded bool) error {
	if id := l.states.State().PlatformID; id != "" {
		return refuse("already initialised as platform %s; to start again from nothing, use empty data folders on every controller", id)
	}
	if forwarded {
		if !l.Leading() {
			return loop.ErrNotLeader
		}
		return l.mint(ctx)
	}
	servers, err := l.founders(ctx, addresses)
	if err != nil {
		return err
	}
	switch err := l.log.Bootstrap(servers); {
	case errors.Is(err, consensus.ErrBootstrapped):
		if err := l.sameList(ctx, servers); err != nil {
			return err
		}
	case err != nil:
		return err
	}
	return l.awaitPlatform(ctx, addresses)
}

// founders asks every controller named for its identity, and whether it is free.
func (l *list) founders(ctx context.Context, addresses []string) ([]consensus.Server, error) {
	begun := l.Identity().Initialised
	var servers []consensus.Server
	for _, address := range addresses {
		id, err := l.ask(ctx, address)
		if err == nil && id.Address != address {
			id, err = l.askAgain(ctx, id)
		}
		switch {
		case err != nil:
			return nil, refuse("not initialised: controller at %s: %s", address, wire.Why(err))
		case id.PlatformID != "":
			return nil, refuse("not initialised: controller %s at %s already belongs to platform %s", id.Name, address, id.PlatformID)
		case id.Initialised && !begun:
			return nil, refuse("not initialised: controller %s at %s has begun an initialisation that did not finish; "+
				"run `mainstay controllers init` there, or give it an empty data folder", id.Name, address)
		case slices.ContainsFunc(servers, func(s consensus.Server) bool { return s.ID == id.RaftID || s.Name == id.Name }):
			return nil, refuse("not initialised: controller %s is named twice (%s)", id.Name, address)
		}
		if err := speaks(id); err != nil {
			return nil, err
		}
		servers = append(servers, consensus.Server{ID: id.RaftID, Name: id.Name, Address: id.Address})
	}
	if !slices.ContainsFunc(servers, func(s consensus.Server) bool { return s.ID == l.log.ID() }) {
		return nil, refuse("not initialised: the address of controller %s, which was asked, is missing (%s)", l.cfg.Name, l.cfg.Advertise)
	}
	// Sorted, so that two operators who ask two controllers at once begin the same log.
	slices.SortFunc(servers, func(a, b consensus.Server) int { return strings.Compare(a.ID, b.ID) })
	return servers, nil
}

// askAgain checks that a controller can be reached at the address that it advertises.
func (l *list) askAgain(ctx context.Context, id wire.Identity) (wire.Identity, error) {
	again, err := l.ask(ctx, id.Address)
	if err == nil && again.RaftID != id.RaftID {
		err = fmt.Errorf("it is controller %s and advertises %s, where %s answers; correct advertise: in its file",
			id.Name, id.Address, again.Name)
	}
	return again, err
}

// sameList refuses if an initialisation with other controllers has begun.
func (l *list) sameList(ctx context.Context, want []consensus.Server) error {
	have, err := l.log.Servers(ctx)
	if err != nil {
		return err
	}
	var a, b []string
	for _, s := range have {
		a = append(a, s.ID)
	}
	for _, s := range want {
		b = append(b, s.ID)
	}
	slices.Sort(a)
	slices.Sort(b)
	if !slices.Equal(a, b) {
		return refuse("an initialisation with %v has begun, but this request names %v; finish that one, or give all of them empty data folders",
			a, b)
	}
	return nil
}

// awaitPlatform keeps trying, here or at the leader, until the platform's id is committed.
func (l *list) awaitPlatform(ctx context.Context, addresses []string) error {
	var last error
	for {
		changed := l.states.Changed()
		if l.states.State().PlatformID != "" {
			l.logger.Info("initialised", zap.String("platformID", l.states.State().PlatformID))
			return nil
		}
		if _, address := l.Leader(); l.Leading() {
			last = l.mint(ctx)
		} else if address != "" {
			last = l.client.DoAt(ctx, address, "POST", "/v1/controllers/init", wire.InitRequest{Addresses: addresses}, nil)
		}
		wait, cancel := context.WithTimeout(ctx, 100*time.Millisecond)
		select {
		case <-changed:
		case <-wait.Done():
		}
		cancel()
		if ctx.Err() != nil {
			return fmt.Errorf("the initialisation has begun but is not finished: run it again (%w; last: %v)", ctx.Err(), last)
		}
	}
}

// mint proposes a random platform id.
func (l *list) mint(ctx context.Context) error {
	var b [16]byte
	rand.Read(b[:]) // never fails
	at := time.Now().UTC().Format("2006-01-02T15:04:05.000Z07:00")
	return l.loop.Submit(ctx, state.Command{At: at, By: "mainstay", Init: &state.Init{PlatformID: hex.EncodeToString(b[:])}})
}
