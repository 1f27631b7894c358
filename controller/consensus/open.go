package consensus

import (
	"errors"
	"fmt"
	"path/filepath"
	"runtime/debug"
	"time"

	"github.com/hashicorp/raft"
	raftboltdb "github.com/hashicorp/raft-boltdb/v2"
	"go.etcd.io/bbolt"
	"go.uber.org/zap"
)

const (
	defaultThreshold = 4096
	keepSnapshots    = 2
	// lockWait is how long to wait for the file lock of an earlier process that is ending.
	lockWait = time.Second
)

// Open opens the log in Options.Dir, checks all of it, and takes part in raft. The errors are *StoreError (with the remedy), ErrInUse,
// or about the options. On an error the Listener may already be closed.
func Open(o Options, m Machine) (*Log, error) {
	if err := o.check(); err != nil {
		return nil, fmt.Errorf("open the log: %w", err)
	}
	id, err := openDir(o)
	if err != nil {
		return nil, err
	}
	l := &Log{
		id: id, dir: o.Dir, options: o, logger: o.Logger,
		leading: make(chan bool, 1), notify: make(chan bool), failed: make(chan struct{}),
		stop: make(chan struct{}), done: make(chan struct{}),
		pending: map[*pending]bool{}, queue: make(chan *pending, maxPending), pace: pace{timeout: o.Heartbeat},
	}
	l.fsm = &fsm{machine: m, fail: l.fail}
	if err := l.start(o); err != nil {
		return nil, err
	}
	l.wg.Go(l.feed)
	l.wg.Go(l.follow)
	go l.supervise() // closes done, for which Close waits
	return l, nil
}

func (o *Options) check() error {
	if o.Listener == nil || o.Dial == nil {
		return errors.New("a listener and a dial function are required")
	}
	return o.checkFolder()
}

// checkFolder checks the options that even a stopped log needs, and fills in the others.
func (o *Options) checkFolder() error {
	if o.Dir == "" || o.Name == "" || o.Address == "" {
		return errors.New("the folder, the name and the address are required")
	}
	if o.Logger == nil {
		o.Logger = zap.NewNop()
	}
	if o.SnapshotThreshold == 0 {
		o.SnapshotThreshold = defaultThreshold
	}
	return nil
}

func (l *Log) start(o Options) (err error) {
	path := filepath.Join(o.Dir, storeFile)
	bolt, err := raftboltdb.New(raftboltdb.Options{Path: path, BoltOptions: boltOptions()})
	if err != nil {
		return openError(o, path, err)
	}
	defer func() {
		if err != nil {
			bolt.Close()
		}
	}()
	config := raftConfig(o, l.id, l.notify)
	config.Logger = raftLogger(o.Logger, &l.quiet)
	if err := raft.ValidateConfig(config); err != nil {
		return fmt.Errorf("open the log: the timings do not fit: %w", err)
	}
	files, err := raft.NewFileSnapshotStoreWithLogger(o.Dir, keepSnapshots, config.Logger)
	if err != nil {
		return distrust(o, filepath.Join(o.Dir, snapshotDir), "the folder of snapshots cannot be used", err)
	}
	found, err := checkContent(o, bolt, files)
	if err != nil {
		return err
	}
	now, err := heldBy(bolt, found.index)
	if err != nil {
		return openError(o, path, err)
	}
	memory, was, err := recall(o, l.id)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = memory.close()
		}
	}()
	if err := checkHeld(o, l.id, now, was, serversOf(found.configuration)); err != nil {
		return err
	}
	memory.note(func(h *held) { *h = now })
	l.opened = found.index
	l.store = &store{BoltStore: bolt, path: path, fail: l.fail, lately: memory}
	return l.replay(o, config, files)
}

// replay hands the checked store to raft, which restores the latest snapshot and begins.
func (l *Log) replay(o Options, config *raft.Config, files *raft.FileSnapshotStore) error {
	logs, err := raft.NewLogCache(512, l.store)
	if err != nil {
		return err
	}
	l.trans = raft.NewNetworkTransportWithConfig(&raft.NetworkTransportConfig{
		Stream: newStream(o), MaxPool: 3, Timeout: max(4*o.Heartbeat, time.Second), Logger: config.Logger,
	})
	l.store.mayFail.Store(true)
	l.raft, err = newRaft(config, l.fsm, logs, l.store, &snapshots{files, l.fsm}, l.trans)
	l.store.mayFail.Store(false)
	if err == nil && l.Err() == nil {
		return nil
	}
	l.quiet.Store(true)
	l.trans.Close()
	if err == nil { // raft began with an older snapshot than the one the Machine refused
		err = l.raft.Shutdown().Error()
	}
	err = errors.Join(l.Err(), err)
	if we := new(WriteError); errors.As(err, &we) {
		return fmt.Errorf("open the log: %w", we)
	}
	return distrust(o, o.Dir, "the log cannot be replayed", err)
}

// newRaft is raft.NewRaft, which panics on an entry it cannot read.
func newRaft(c *raft.Config, f raft.FSM, logs raft.LogStore, stable raft.StableStore, snaps raft.SnapshotStore,
	t raft.Transport) (r *raft.Raft, err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if p := recover(); p != nil {
			r, err = nil, fmt.Errorf("%v", p)
		}
	}()
	return raft.NewRaft(c, f, logs, stable, snaps, t)
}

func raftConfig(o Options, id string, notify chan<- bool) *raft.Config {
	c := raft.DefaultConfig()
	c.LocalID = raft.ServerID(id)
	c.HeartbeatTimeout = o.Heartbeat
	c.ElectionTimeout = o.Election
	c.LeaderLeaseTimeout = o.Lease
	// By default each follower is told the commit index thirteen times a second, beside the heartbeats. That is not needed: only the leader
	// acts on its state, and each of its barriers carries the index too.
	c.CommitTimeout = o.Heartbeat
	c.SnapshotThreshold = o.SnapshotThreshold
	c.TrailingLogs = 2 * o.SnapshotThreshold
	c.SnapshotInterval = 30 * time.Second // how often the threshold is checked
	c.NotifyCh = notify
	c.ShutdownOnRemove = false // a removed controller keeps running, to report that it was removed
	c.NoLegacyTelemetry = true
	return c
}

func boltOptions() *bbolt.Options {
	return &bbolt.Options{Timeout: lockWait, FreelistType: bbolt.FreelistMapType}
}
