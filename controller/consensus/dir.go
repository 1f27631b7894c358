package consensus

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"mainstay/controller/durable"

	berrors "go.etcd.io/bbolt/errors"

	"go.etcd.io/bbolt"
	"go.uber.org/zap"
)

// Files in the folder of a log.
const (
	storeFile   = "raft.db"
	idFile      = "id" // the raft id, and the inode of raft.db it was minted for
	snapshotDir = "snapshots"
)

var (
	ourBucket = []byte("mainstay") // beside raft's own, in raft.db
	idKey     = []byte("id")
)

// openDir checks the structure of raft.db and returns the raft id, a new one where none is stored (S3). The id is both in raft.db and
// beside it, with raft.db's inode: a store that was lost, emptied, exchanged, copied or restored from a backup does not match, and is
// not trusted.
func openDir(o Options) (id string, err error) {
	if err := os.MkdirAll(o.Dir, 0o700); err != nil {
		return "", fmt.Errorf("open the log: %w", err)
	}
	path := filepath.Join(o.Dir, storeFile)
	err = withBolt(path, func(db *bbolt.DB) error {
		if err := checkBolt(db); err != nil {
			return err
		}
		id, err = identify(o, db)
		return err
	})
	if err != nil {
		return "", openError(o, path, err)
	}
	return id, nil
}

// identify returns the folder's raft id, or mints one.
func identify(o Options, db *bbolt.DB) (string, error) {
	path := filepath.Join(o.Dir, storeFile)
	inside, begun, err := remembered(o.Dir, db)
	if err != nil {
		return "", err
	}
	inode, err := inodeOf(path)
	if err != nil {
		return "", err
	}
	beside, inodeThen := readID(filepath.Join(o.Dir, idFile))
	switch {
	case beside != "" && beside == inside && inodeThen == inode:
		if nameOf(beside) != o.Name {
			return "", distrust(o, filepath.Join(o.Dir, idFile), "this folder belongs to controller "+nameOf(beside), nil)
		}
		return beside, nil
	case !begun:
		return mint(o, db, inode, beside)
	case beside == "":
		return "", distrust(o, filepath.Join(o.Dir, idFile), "the file is missing or damaged, but the log has entries", nil)
	case beside != inside:
		return "", distrust(o, path, fmt.Sprintf("it belongs to raft id %q, the file %q says %q", inside, idFile, beside), nil)
	default:
		return "", distrust(o, path, "it was copied or restored: it may have forgotten votes and entries it once confirmed", nil)
	}
}

// remembered returns the id in raft.db, and whether the folder holds part of a log: entries, votes or snapshots.
func remembered(dir string, db *bbolt.DB) (id string, begun bool, err error) {
	err = db.View(func(tx *bbolt.Tx) error {
		if b := tx.Bucket(ourBucket); b != nil {
			id = string(b.Get(idKey))
		}
		for _, name := range []string{"logs", "conf"} { // raft-boltdb's
			if b := tx.Bucket([]byte(name)); b != nil {
				if k, _ := b.Cursor().First(); k != nil {
					begun = true
				}
			}
		}
		return nil
	})
	if err != nil {
		return "", false, err
	}
	snaps, err := os.ReadDir(filepath.Join(dir, snapshotDir))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", false, err
	}
	return id, begun || len(snaps) > 0, nil
}

// mint makes a new id. It writes into raft.db first: after a crash in between, the folder counts as new and gets another id.
func mint(o Options, db *bbolt.DB, inode uint64, old string) (string, error) {
	id := newID(o)
	return id, remember(o, db, id, inode, old)
}

func newID(o Options) string {
	var b [4]byte
	rand.Read(b[:]) // never fails
	return o.Name + "-" + hex.EncodeToString(b[:])
}

// remember writes an id into the store and beside it.
func remember(o Options, db *bbolt.DB, id string, inode uint64, old string) error {
	err := db.Update(func(tx *bbolt.Tx) error {
		bucket, err := tx.CreateBucketIfNotExists(ourBucket)
		if err != nil {
			return err
		}
		return bucket.Put(idKey, []byte(id))
	})
	if err != nil {
		return fmt.Errorf("mint a raft id: %w", err)
	}
	path := filepath.Join(o.Dir, idFile)
	if err := durable.Write(path, fmt.Appendf(nil, "%s\ninode %d\n", id, inode), 0o600); err != nil {
		return fmt.Errorf("mint a raft id: %w", err)
	}
	o.Logger.Info("new raft id: this controller joins as a new one", zap.String("id", id), zap.String("before", old))
	return nil
}

// readID returns "" where the file is missing or was not written by remember.
func readID(path string) (id string, inode uint64) {
	data, err := os.ReadFile(path)
	if err != nil {
		return "", 0
	}
	if n, err := fmt.Sscanf(string(data), "%s\ninode %d\n", &id, &inode); n != 2 || err != nil {
		return "", 0
	}
	return id, inode
}

// nameOf is the controller's name in a raft id.
func nameOf(id string) string {
	if i := strings.LastIndexByte(id, '-'); i > 0 {
		return id[:i]
	}
	return id
}

func inodeOf(path string) (uint64, error) {
	fi, err := os.Stat(path)
	if err != nil {
		return 0, err
	}
	st, ok := fi.Sys().(*syscall.Stat_t)
	if !ok {
		return 0, fmt.Errorf("%s: its inode is not known", path)
	}
	return st.Ino, nil
}

// distrust makes a StoreError of this log.
func distrust(o Options, path, problem string, err error) error {
	return &StoreError{Path: path, Problem: problem, Name: o.Name, Address: o.Address, Dir: o.Dir, Err: err}
}

// openError turns an error of bbolt into one with the next step for an operator.
func openError(o Options, path string, err error) error {
	var se *StoreError
	switch {
	case errors.As(err, &se):
		return err
	case errors.Is(err, berrors.ErrTimeout):
		return fmt.Errorf("open the log: %s is %w; check whether a second controller runs with the same folder", path, ErrInUse)
	case errors.Is(err, fs.ErrPermission), errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EROFS):
		return fmt.Errorf("open the log: %w; check the disk and the folder's owner, then start the controller again", err)
	}
	return distrust(o, path, "the store is damaged", err)
}
