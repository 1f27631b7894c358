package consensus

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"
	"time"

	"github.com/hashicorp/raft"
	raftboltdb "github.com/hashicorp/raft-boltdb/v2"
	"go.etcd.io/bbolt"

	"mainstay/controller/durable"
	"mainstay/controller/platform"
)

// Survey describes a stopped controller's folder.
type Survey struct {
	ID      string   // its raft id; the new one after a recovery
	Servers []Server // of the latest configuration that it knows, including this one
	Index   uint64   // of the last entry
}

// Look applies the content of a stopped controller's folder to m, and changes nothing. It treats every entry as committed. The errors are
// those of Open.
func Look(o Options, m Machine) (Survey, error) {
	return withFolder(o, m, func(f *folder) error {
		first := f.applied() + 1
		for index := first; index <= f.survey.Index; index++ {
			var entry raft.Log
			if err := f.bolt.GetLog(index, &entry); err != nil {
				return err
			}
			if entry.Type == raft.LogCommand {
				f.fsm.Apply(&entry)
			}
		}
		return nil
	})
}

// Recover makes a stopped controller the only one of its group, under a new raft id, after the majority was lost for good. It treats every
// entry in its folder as committed. m applies them, and the group continues with m's Snapshot. It may be interrupted at any point and run
// again. The errors are those of Open.
func Recover(o Options, m Machine) (Survey, error) {
	if err := o.checkFolder(); err != nil {
		return Survey{}, fmt.Errorf("open the log: %w", err)
	}
	old := ""
	s, err := withFolder(o, m, func(f *folder) error {
		old, f.survey.ID = f.survey.ID, newID(o)
		f.config.LocalID = raft.ServerID(f.survey.ID)
		return f.alone(o)
	})
	if err != nil {
		return s, err
	}
	path := filepath.Join(o.Dir, storeFile)
	err = withBolt(path, func(db *bbolt.DB) error {
		inode, err := inodeOf(path)
		if err != nil {
			return err
		}
		return remember(o, db, s.ID, inode, old)
	})
	if err != nil {
		return s, openError(o, path, err)
	}
	return s, nil
}

// folder is a controller's folder, opened without running raft.
type folder struct {
	bolt      *raftboltdb.BoltStore
	snapshots *raft.FileSnapshotStore
	config    *raft.Config
	nowhere   raft.Transport // reaches no controller
	fsm       *fsm
	failed    error // of the Machine
	survey    Survey
}

// aloneRounds bounds the attempts of alone: one more than the snapshots that earlier recoveries may have left.
const aloneRounds = keepSnapshots + 2

// alone (S7) writes a snapshot in which this controller, under its new id, is the only one, and makes sure that the next start takes it.
// raft names a snapshot by its last entry and the millisecond, and takes the latest: a snapshot of an earlier recovery that was interrupted
// may have the same name, or a later one if the wall clock was set back since. It has the same content but names an id that no controller
// has any more, so this controller would never lead.
func (f *folder) alone(o Options) error {
	only := []raft.Server{{Suffrage: raft.Voter, ID: f.config.LocalID, Address: raft.ServerAddress(o.Address)}}
	for range aloneRounds {
		err := raft.RecoverCluster(f.config, f.fsm, f.bolt, f.bolt, f.snapshots, f.nowhere, raft.Configuration{Servers: only})
		if err != nil {
			return err
		}
		found, err := f.snapshots.List() // the latest first
		if err != nil {
			return err
		}
		ours := slices.IndexFunc(found, func(m *raft.SnapshotMeta) bool { return slices.Equal(m.Configuration.Servers, only) })
		if ours == 0 {
			return nil
		}
		stale := found[:max(ours, 0)]
		if ours < 0 && len(found) > 1 && found[1].Index == found[0].Index {
			stale = found[:1] // the other one has the content
		}
		for _, m := range stale {
			if err := os.RemoveAll(filepath.Join(o.Dir, snapshotDir, m.ID)); err != nil {
				return err
			}
		}
		if ours > 0 {
			return durable.SyncDir(filepath.Join(o.Dir, snapshotDir))
		}
		<-time.After(2 * time.Millisecond) // for another name
	}
	return errors.New("no snapshot of this recovery could be written: snapshots of other recoveries, with a later time, are in its place; " +
		"check this host's clock, and recover again")
}

// applied is the index of the snapshot from which the machine was restored, 0 without one.
func (f *folder) applied() uint64 { return f.fsm.applied.Load() }

func withFolder(o Options, m Machine, do func(*folder) error) (s Survey, err error) {
	if err := o.checkFolder(); err != nil {
		return s, fmt.Errorf("open the log: %w", err)
	}
	path := filepath.Join(o.Dir, storeFile)
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return s, fmt.Errorf("%s does not exist: this controller has no log, so there is nothing to recover from; recover a controller "+
			"that has one", path)
	}
	f := &folder{fsm: &fsm{machine: m}}
	f.fsm.fail = func(err error) { f.failed = err }
	if f.survey.ID, err = openDir(o); err != nil {
		return s, err
	}
	if f.bolt, err = raftboltdb.New(raftboltdb.Options{Path: path, BoltOptions: boltOptions()}); err != nil {
		return s, openError(o, path, err)
	}
	err = f.look(o)
	if err == nil {
		err = errors.Join(do(f), f.failed)
		if err != nil {
			err = distrust(o, o.Dir, "the log cannot be replayed", err)
		}
	}
	return f.survey, errors.Join(err, f.bolt.Close())
}

// look checks the folder, reads the latest configuration, and restores the machine from the latest snapshot.
func (f *folder) look(o Options) (err error) {
	quiet := new(atomic.Bool)
	quiet.Store(true)
	o.Heartbeat, o.Election, o.Lease = platform.RaftHeartbeat, platform.RaftElection, platform.RaftLease
	f.config = raftConfig(o, f.survey.ID, nil)
	f.config.Logger = raftLogger(o.Logger, quiet)
	_, f.nowhere = raft.NewInmemTransport(raft.ServerAddress(o.Address))
	if f.snapshots, err = raft.NewFileSnapshotStoreWithLogger(o.Dir, keepSnapshots, f.config.Logger); err != nil {
		return distrust(o, filepath.Join(o.Dir, snapshotDir), "the folder of snapshots cannot be used", err)
	}
	found, err := checkContent(o, f.bolt, f.snapshots)
	if err != nil {
		return err
	}
	now, err := heldBy(f.bolt, found.index)
	if err != nil {
		return err
	}
	was, err := readLately(o.Memory, f.survey.ID)
	if err != nil {
		return err
	}
	if err := checkHeld(o, f.survey.ID, now, was, nil); err != nil { // no other controller is asked: they are lost
		return err
	}
	latest, err := raft.GetConfiguration(f.config, f.fsm, f.bolt, f.bolt, f.snapshots, f.nowhere)
	if err = errors.Join(err, f.failed); err != nil {
		return distrust(o, o.Dir, "the log cannot be replayed", err)
	}
	f.survey.Servers = serversOf(latest)
	last, err := f.bolt.LastIndex()
	f.survey.Index = max(last, f.applied())
	return err
}
