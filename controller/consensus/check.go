package consensus

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"

	"github.com/hashicorp/raft"
	raftboltdb "github.com/hashicorp/raft-boltdb/v2"
	"go.etcd.io/bbolt"
)

// withBolt opens the file for f. Damaged pages make bbolt panic or fault only here, because raft opens the file after the check.
func withBolt(path string, f func(*bbolt.DB) error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	var file *os.File // after a panic too, to release its lock
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%v", p)
			if file != nil {
				file.Close()
			}
		}
	}()
	o := boltOptions()
	o.OpenFile = func(name string, flag int, mode os.FileMode) (*os.File, error) {
		var err error
		file, err = os.OpenFile(name, flag, mode)
		return file, err
	}
	db, err := bbolt.Open(path, 0o600, o)
	if err != nil {
		return err
	}
	if err := f(db); err != nil {
		return errors.Join(err, db.Close())
	}
	return db.Close()
}

// checkBolt reads every page. It walks all buckets first, because a fault can be caught there. bbolt's own check runs in its own goroutine:
// it then follows only pointers that were followed before, and checks the list of free pages.
func checkBolt(db *bbolt.DB) error {
	return db.View(func(tx *bbolt.Tx) error {
		if fi, err := os.Stat(db.Path()); err != nil {
			return err
		} else if fi.Size() < tx.Size() {
			return fmt.Errorf("it is truncated: %d bytes of %d", fi.Size(), tx.Size())
		}
		err := tx.ForEach(func(_ []byte, b *bbolt.Bucket) error {
			return b.ForEach(func(k, v []byte) error {
				if len(k) == 0 {
					return errors.New("an empty key")
				}
				return nil
			})
		})
		if err != nil {
			return err
		}
		var first error
		for err := range tx.Check() { // reads to the end, because its goroutine waits for a reader
			if first == nil {
				first = err
			}
		}
		return first
	})
}

// checkContent reads every entry and snapshot as raft does later, so that damage is reported by name now, and not by a panic during a
// failover. It also removes an unfinished snapshot that a crash left.
func checkContent(o Options, bolt *raftboltdb.BoltStore, snaps *raft.FileSnapshotStore) (content, error) {
	c, err := checkSnapshots(o, snaps)
	if err != nil {
		return c, err
	}
	if err := c.checkEntries(bolt); err != nil {
		return c, distrust(o, filepath.Join(o.Dir, storeFile), "the store is damaged", err)
	}
	return c, nil
}

// content is the result of a check: the last entry of the snapshots and the log, and the latest configuration in them.
type content struct {
	index         uint64
	configuration raft.Configuration
}

// checkSnapshots finds the latest snapshot. Raft would silently skip a damaged one and start from an older state.
func checkSnapshots(o Options, snaps *raft.FileSnapshotStore) (latest content, err error) {
	dir := filepath.Join(o.Dir, snapshotDir)
	entries, err := os.ReadDir(dir)
	if err != nil {
		return latest, distrust(o, dir, "cannot be read", err)
	}
	for _, e := range entries {
		path := filepath.Join(dir, e.Name())
		switch {
		case strings.HasSuffix(e.Name(), ".tmp"):
			if err := os.RemoveAll(path); err != nil {
				return latest, distrust(o, path, "an unfinished snapshot cannot be removed", err)
			}
		case e.IsDir():
			meta, r, err := snaps.Open(e.Name())
			if err != nil {
				return latest, distrust(o, path, "the snapshot is damaged", err)
			}
			r.Close()
			if meta.Index >= latest.index {
				latest = content{meta.Index, meta.Configuration}
			}
		}
	}
	return latest, nil
}

// checkEntries makes sure that the log follows the snapshot without a gap and that each entry can be read.
func (c *content) checkEntries(bolt *raftboltdb.BoltStore) (err error) {
	defer func() {
		if p := recover(); p != nil { // raft.DecodeConfiguration
			err = fmt.Errorf("%v", p)
		}
	}()
	first, err := bolt.FirstIndex()
	if err != nil {
		return err
	}
	last, err := bolt.LastIndex()
	if err != nil {
		return err
	}
	if last == 0 {
		return nil
	}
	if first > c.index+1 {
		return fmt.Errorf("entries %d to %d are missing", c.index+1, first-1)
	}
	var term uint64
	for i := first; i <= last; i++ {
		if term, err = c.checkEntry(bolt, i, term); err != nil {
			return fmt.Errorf("entry %d: %w", i, err)
		}
	}
	c.index = max(c.index, last)
	current, err := bolt.GetUint64([]byte(termKey))
	if err == nil && current < term {
		err = fmt.Errorf("its term %d is behind its entries' %d", current, term)
	}
	return err
}

// checkEntry returns the entry's term, which must not be lower than the term before it.
func (c *content) checkEntry(bolt *raftboltdb.BoltStore, i, term uint64) (uint64, error) {
	var l raft.Log
	if err := bolt.GetLog(i, &l); err != nil {
		return 0, err
	}
	switch {
	case l.Index != i:
		return 0, fmt.Errorf("it is recorded as entry %d", l.Index)
	case l.Term < term:
		return 0, fmt.Errorf("its term %d is behind the %d before it", l.Term, term)
	}
	switch l.Type {
	case raft.LogCommand:
		if _, err := unframe(l.Data); err != nil {
			return 0, err
		}
	case raft.LogConfiguration:
		if servers := raft.DecodeConfiguration(l.Data); i > c.index {
			c.configuration = servers
		}
	}
	return l.Term, nil
}
