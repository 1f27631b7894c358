package controller

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"sync/atomic"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"mainstay/controller/api"
	"mainstay/controller/boottime"
	"mainstay/controller/config"
	"mainstay/controller/consensus"
	"mainstay/controller/crowd"
	"mainstay/controller/identity"
	"mainstay/controller/loop"
	"mainstay/controller/operate"
	"mainstay/controller/platform"
	"mainstay/controller/publish"
	"mainstay/controller/wire"
	"mainstay/fencing/device"
	"mainstay/fencing/program"
	"mainstay/health/probe"
)

// Options are given by the process around a controller.
type Options struct {
	Version string
	Logger  *zap.Logger // nil is none
	// Reload, if set, has Run call Reload at each value (HUP).
	Reload <-chan struct{}
}

// Controller is one controller of the control plane.
type Controller struct {
	cfg    config.Controller
	opts   Options
	logger *zap.Logger

	store     *identity.Store
	mux       *identity.Mux
	plain     net.Listener // nil without `metrics`
	client    *wire.Client // to the other controllers
	machine   *machine
	loop      *loop.Loop
	effects   *operate.Runner
	log       *consensus.Log
	list      *list
	prober    *probe.Prober
	asked     chan struct{}      // by the loop, to hand leadership over; capacity 1
	publisher *publish.Publisher // nil without `etcd`
	etcd      *publish.Etcd      // nil without `etcd`
	etcdEnds  identity.End       // of the certificate that this process shows to etcd; zero without one
	api       *api.API

	abrupt bool // for tests: end without handing leadership over, like a crash
}

// Run opens a controller and runs it until ctx ends; it then returns nil, or else the reason why the process must exit.
func Run(ctx context.Context, cfg config.Controller, opts Options) error {
	c, err := Open(cfg, opts)
	if err != nil {
		return err
	}
	return c.Run(ctx)
}

// Open loads, listens and opens the log. On an error nothing is left open. The caller must call Run of the Controller.
func Open(cfg config.Controller, opts Options) (_ *Controller, err error) {
	c := &Controller{cfg: cfg, opts: opts, logger: opts.Logger}
	if c.logger == nil {
		c.logger = zap.NewNop()
	}
	if err := c.identify(); err != nil {
		return nil, err
	}
	if err := c.listen(); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			c.closeListeners()
		}
	}()
	if c.etcd, err = publish.NewEtcd(cfg.Etcd, c.logger); err != nil {
		return nil, err
	}
	if cfg.Etcd != nil && cfg.Etcd.TLS != nil {
		if c.etcdEnds, err = identity.EndOf(cfg.Etcd.TLS.Cert); err != nil {
			return nil, err
		}
	}
	c.client = wire.NewClient(nil, c.store.ClientConfig(identity.RoleController, "", identity.ProtoHTTP))
	if err := c.openLog(); err != nil {
		return nil, err
	}
	c.list = &list{cfg: cfg, version: opts.Version, store: c.store, log: c.log, loop: c.loop, states: c.machine, client: c.client,
		logger: c.logger}
	c.prober = probe.New(c.store.ClientConfig(identity.RolePostgres, ""), program.Allowed(cfg.Programs), boottime.Now)
	agents := &device.Agents{Allowed: cfg.Programs}
	c.effects = operate.New(func(h platform.Host) operate.Switch { return agents.Ladder(h) }, cfg.Programs, c.loop.Submit, c.logger)
	c.loop.Effects = c.effects
	c.api = api.New(api.Options{Name: cfg.Name, Loop: c.loop, States: c.machine, Controllers: c.list, Log: c.log, Confirmed: &confirmed{},
		Identify: c.store.IDOf, Certificates: c.certificates, Logger: c.logger})
	if c.etcd != nil {
		c.publisher = publish.New(c.etcd, cfg.Etcd.Lease/3, c.logger)
	}
	return c, nil
}

// identify loads the certificate, which must be that of this controller.
func (c *Controller) identify() (err error) {
	c.store, err = identity.Load(identity.Files{CA: c.cfg.TLS.CA, Cert: c.cfg.TLS.Cert, Key: c.cfg.TLS.Key})
	if err != nil {
		return err
	}
	if id := c.store.ID(); id.Role != identity.RoleController || id.Name != c.cfg.Name {
		return fmt.Errorf("%s is the certificate of %s %s, but this is controller %s; correct name: or tls: in the controller's file",
			c.cfg.TLS.Cert, id.Role, id.Name, c.cfg.Name)
	}
	return nil
}

// certificates are the certificates that this process uses.
func (c *Controller) certificates() []identity.End {
	ends := c.store.Ends()
	if !c.etcdEnds.At.IsZero() {
		ends = append(ends, c.etcdEnds)
	}
	return ends
}

func (c *Controller) listen() (err error) {
	few := c.logger.WithOptions(zap.WrapCore(func(core zapcore.Core) zapcore.Core {
		return zapcore.NewSamplerWithOptions(core, time.Minute, 5, 0) // an unknown peer must not fill the log
	}))
	c.mux, err = identity.Listen(c.cfg.Listen, c.store, identity.OnRefused(func(remote net.Addr, err error) {
		few.Info("connection refused", zap.Stringer("from", remote), zap.Error(err))
	}))
	if err != nil || c.cfg.Metrics == "" {
		return err
	}
	plain, err := net.Listen("tcp", c.cfg.Metrics)
	if err != nil {
		c.mux.Close()
		return fmt.Errorf("listen on metrics: %w; correct the address, or remove the key", err)
	}
	c.plain = crowd.Plain(plain)
	return nil
}

func (c *Controller) closeListeners() error {
	var err error
	if c.plain != nil {
		err = c.plain.Close()
	}
	if errors.Is(err, net.ErrClosed) || errors.Is(err, http.ErrServerClosed) {
		err = nil
	}
	return errors.Join(c.mux.Close(), err)
}

// memoryName names a controller's folder in memory.
const memoryName = "mainstay-controller"

// openLog opens the log with the machine that feeds the loop.
func (c *Controller) openLog() (err error) {
	c.asked = make(chan struct{}, 1)
	propose := &proposer{asked: c.asked}
	c.machine = newMachine()
	c.loop = loop.New(c.cfg.Name, c.cfg.Site, propose, c.logger)
	c.machine.applied = c.loop.Applied
	var opened atomic.Pointer[consensus.Log] // connections arrive before Open returns
	c.log, err = consensus.Open(consensus.Options{
		Dir: c.cfg.Data, Name: c.cfg.Name, Address: c.cfg.Advertise, Logger: c.logger,
		Listener: c.mux.Raft(),
		Dial: func(ctx context.Context, address string) (net.Conn, error) {
			return identity.Dial(ctx, address, c.store, identity.ProtoRaft, identity.RoleController, nameAt(opened.Load(), address))
		},
		Admit:     func(conn net.Conn) error { return admit(opened.Load(), c.machine.State().Lost, conn) },
		Heartbeat: platform.RaftHeartbeat, Election: platform.RaftElection, Lease: platform.RaftLease,
		Memory: boottime.Memory(memoryName),
		Confirmed: func(ctx context.Context, id string, others []consensus.Server) uint64 {
			entry, _ := recollection{c.client, c.loop.Process()}.ask(ctx, id, others)
			return entry
		},
	}, c.machine)
	if err != nil {
		return err
	}
	opened.Store(c.log)
	propose.log = c.log
	return nil
}

// admit lets only listed controllers speak raft, as long as this one hears a leader. A controller that hears no leader may have missed the
// entry that listed the new one, and the two would wait for each other for ever. It never admits a controller that a recovery has given up:
// that one may lead the lost group, and would overwrite this log.
func admit(log *consensus.Log, lost []string, conn net.Conn) error {
	id, err := identity.IDOfConn(conn)
	if err != nil {
		return err
	}
	if slices.Contains(lost, id.Name) {
		return fmt.Errorf("controller %s was given up when the controllers were recovered: give it a new name, a new certificate and an "+
			"empty data folder, then add it", id.Name)
	}
	if log == nil {
		return errors.New("this controller is starting, and does not know the list of controllers yet")
	}
	leader, _ := log.Leader()
	servers, err := log.Servers(context.Background())
	if err != nil || leader == "" || len(servers) == 0 {
		return nil
	}
	for _, s := range servers {
		if s.Name == id.Name {
			return nil
		}
	}
	return fmt.Errorf("controller %s is not on the list; `mainstay controllers add` puts it there", id.Name)
}

// nameAt is the controller listed at an address, to which alone raft speaks there; "" for any.
func nameAt(log *consensus.Log, address string) string {
	if log == nil {
		return ""
	}
	servers, err := log.Servers(context.Background()) // does not wait
	if err != nil {
		return ""
	}
	for _, s := range servers {
		if s.Address == address {
			return s.Name
		}
	}
	return ""
}

// Reload reads the certificates again (HUP). On an error the old ones stay in use. Other changes of the file need a restart.
func (c *Controller) Reload() error {
	ended, err := c.store.Reload()
	if err != nil {
		c.logger.Error("reload: the old certificates stay in use", zap.Error(err))
		return err
	}
	c.logger.Info("certificates reloaded; changes of the controller's file need a restart", zap.Int("connectionsEnded", ended))
	return nil
}
