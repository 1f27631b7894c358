package main

import (
	"context"
	"crypto/tls"
	"errors"
	"io/fs"
	"net/http"
	"path/filepath"
	"time"

	"mainstay/controller/config"
	"mainstay/controller/identity"
	"mainstay/controller/wire"
)

// caller is the part of *wire.Client that the verbs use.
type caller interface {
	// Do asks the leader, wherever it is among the addresses.
	Do(ctx context.Context, method, path string, in, out any) error
	// DoAt asks the process at one address.
	DoAt(ctx context.Context, address, method, path string, in, out any) error
	Close()
}

// dialer makes a caller without connecting.
type dialer func(addresses []string, conf *tls.Config) caller

func dialWire(addresses []string, conf *tls.Config) caller { return wire.NewClient(addresses, conf) }

// target is the controllers to connect to, and the identity to use.
type target struct {
	name        string // for the cache: the context, or the first address
	controllers []string
	files       identity.Files
}

// target finds the controllers and the identity in flags, variables and the contexts file.
func (p *program) target() (target, error) {
	t := target{name: "direct", controllers: p.global.controllers}
	g := &p.global
	complete := g.controllersFromFlags && g.ca != "" && g.cert != "" && g.key != ""
	if g.controllersFromFlags {
		t.name = g.controllers[0]
	}
	if !complete || g.context != "" {
		ctx, name, err := p.pickContext()
		if err != nil {
			return t, err
		}
		if !g.controllersFromFlags {
			t.controllers, t.name = ctx.Controllers, name
		}
		t.files = identity.Files{CA: ctx.TLS.CA, Cert: ctx.TLS.Cert, Key: ctx.TLS.Key}
	}
	for _, f := range []struct {
		dst  *string
		flag string
	}{{&t.files.CA, g.ca}, {&t.files.Cert, g.cert}, {&t.files.Key, g.key}} {
		if f.flag != "" {
			*f.dst = f.flag
		}
	}
	return t, nil
}

func (p *program) pickContext() (config.Context, string, error) {
	path, err := p.contextsFile()
	if err != nil {
		return config.Context{}, "", err
	}
	all, err := config.LoadContext(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return config.Context{}, "", usagef("contexts file %s does not exist; write it, or give --controllers, --ca, --cert and --key", path)
	case err != nil:
		return config.Context{}, "", usageError{err}
	}
	c, err := all.Pick(p.global.context)
	if err != nil {
		return config.Context{}, "", usageError{err}
	}
	name := p.global.context
	if name == "" {
		name = all.Current
	}
	return c, name, nil
}

func (p *program) contextsFile() (string, error) {
	if p.global.config != "" {
		return p.global.config, nil
	}
	dir, err := p.folder("XDG_CONFIG_HOME", ".config")
	if err != nil {
		return "", err
	}
	return filepath.Join(dir, "config.yaml"), nil
}

// folder is Mainstay's own folder of one kind in the operator's home, after the XDG base directory specification.
func (p *program) folder(xdg, inHome string) (string, error) {
	if dir := p.env(xdg); filepath.IsAbs(dir) {
		return filepath.Join(dir, "mainstay"), nil
	}
	home := p.env("HOME")
	if home == "" {
		return "", usagef("HOME is not set; give --config, or --controllers, --ca, --cert and --key")
	}
	return filepath.Join(home, inHome, "mainstay"), nil
}

// session is a client of the controllers with their addresses.
type session struct {
	caller
	target
	store *identity.Store
}

// connect loads the identity; the caller closes the session.
func (p *program) connect() (*session, error) {
	t, err := p.target()
	if err != nil {
		return nil, err
	}
	store, err := identity.Load(t.files)
	if err != nil {
		return nil, err
	}
	c := p.dial(t.controllers, store.ClientConfig(identity.RoleController, "", identity.ProtoHTTP))
	return &session{caller: c, target: t, store: store}, nil
}

// connected runs work with a session, and closes it.
func (p *program) connected(ctx context.Context, work func(context.Context, *session) error) error {
	s, err := p.connect()
	if err != nil {
		return err
	}
	defer s.Close()
	return work(ctx, s)
}

// ask does one exchange with the leader, bounded by --timeout.
func (p *program) ask(ctx context.Context, s *session, method, path string, in, out any) error {
	ctx, cancel := p.request(ctx)
	defer cancel()
	err := s.Do(ctx, method, path, in, out)
	if method == http.MethodGet || !errors.Is(err, wire.ErrNoLeader) {
		return err
	}
	// Without a leader nothing was carried out, and an election takes a second or two, so the request is repeated.
	waiting, stop := context.WithTimeout(ctx, electionWait)
	defer stop()
	for errors.Is(err, wire.ErrNoLeader) {
		select {
		case <-waiting.Done():
			return err
		case <-time.After(electionWait / 16):
		}
		err = s.Do(ctx, method, path, in, out)
	}
	return err
}

// electionWait is how long a change waits for the controllers to elect a leader.
const electionWait = 5 * time.Second

// withLeader connects and does one exchange with the leader.
func (p *program) withLeader(ctx context.Context, method, path string, in, out any) error {
	return p.connected(ctx, func(ctx context.Context, s *session) error { return p.ask(ctx, s, method, path, in, out) })
}

// clusterPath is a path of the API below a cluster; the parts were checked as names.
func clusterPath(cluster string, parts ...string) string {
	path := "/v1/clusters/" + cluster
	for _, part := range parts {
		path += "/" + part
	}
	return path
}
