package consensus

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/raft"
	raftboltdb "github.com/hashicorp/raft-boltdb/v2"
	"go.uber.org/zap"
)

// held is the progress of a store, on which other controllers may rely. Its parts never decrease, except that raft itself removes
// uncommitted entries.
type held struct{ term, vote, index uint64 }

func (h held) covers(o held) bool { return h.term >= o.term && h.vote >= o.vote && h.index >= o.index }

func (h held) String() string {
	return fmt.Sprintf("entry %d, term %d and a vote in term %d", h.index, h.term, h.vote)
}

// The keys of raft's stable store.
const (
	termKey = "CurrentTerm"
	voteKey = "LastVoteTerm"
)

// heldBy is the progress of the checked store, whose last entry is index.
func heldBy(bolt *raftboltdb.BoltStore, index uint64) (h held, err error) {
	h.index = index
	for key, v := range map[string]*uint64{termKey: &h.term, voteKey: &h.vote} {
		if *v, err = bolt.GetUint64([]byte(key)); errors.Is(err, raftboltdb.ErrKeyNotFound) {
			err = nil
		}
		if err != nil {
			return h, err
		}
	}
	return h, nil
}

// lately records, outside the folder and in memory, the store's progress at its last write since the host was booted. A store whose old
// content was restored in place, under its id and its inodes (a volume's snapshot, files copied over it), has forgotten votes that it
// gave and entries that it confirmed (S3); lately detects that at the next start. A nil lately records nothing.
//
// It is written after the store, so it is never ahead of it, and before entries are removed. Where it cannot be written it is removed: a
// record behind the store is harmless, a record ahead of it is not.
type lately struct {
	path string

	mu   sync.Mutex // raft removes old entries concurrently with its other writes
	file *os.File   // nil: records nothing any more
	last held
}

const latelyFormat = "entry %020d term %020d vote %020d"

// recall is openLately, but continues without the file if it can: it fails only if an old file can be neither updated nor removed.
func recall(o Options, id string) (*lately, held, error) {
	l, was, err := openLately(o.Memory, id, o.Dir)
	if err == nil {
		return l, was, nil
	}
	if gone := os.Remove(latelyPath(o.Memory, id)); gone != nil && !errors.Is(gone, fs.ErrNotExist) {
		return nil, held{}, fmt.Errorf("open the log: its progress in memory: %w; %w; check that folder's space and owner", err, gone)
	}
	o.Logger.Warn("the log's progress is not kept in memory: if the folder is restored to an older state, only the other controllers notice",
		zap.Error(err))
	return nil, held{}, nil
}

// openLately opens the file of the log with that id in the folder memory ("" for none), and returns the progress that an earlier process
// of this boot left in it.
func openLately(memory, id, dir string) (*lately, held, error) {
	if memory == "" {
		return nil, held{}, nil
	}
	if err := os.MkdirAll(memory, 0o700); err != nil {
		return nil, held{}, err
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, held{}, err
	}
	clearLately(memory)
	was, err := readLately(memory, id)
	if err != nil {
		return nil, held{}, err
	}
	l := &lately{path: latelyPath(memory, id)}
	if l.file, err = os.OpenFile(l.path, os.O_CREATE|os.O_WRONLY, 0o600); err != nil {
		return nil, held{}, err
	}
	l.last = was
	line := append(l.line(), " of "+dir+"\n"...)
	_, err = l.file.WriteAt(line, 0)
	if err = errors.Join(err, l.file.Truncate(int64(len(line)))); err != nil {
		return nil, held{}, errors.Join(err, l.file.Close())
	}
	return l, was, nil
}

func latelyPath(memory, id string) string { return filepath.Join(memory, "raft-"+id) }

// readLately reads the progress that a process of this boot left; zero if the file is missing or empty.
func readLately(memory, id string) (was held, err error) {
	if memory == "" {
		return held{}, nil
	}
	b, err := os.ReadFile(latelyPath(memory, id))
	if errors.Is(err, fs.ErrNotExist) {
		return held{}, nil
	}
	if err != nil {
		return held{}, err
	}
	if _, err := fmt.Sscanf(string(b), latelyFormat, &was.index, &was.term, &was.vote); err != nil {
		return held{}, nil
	}
	return was, nil
}

// clearLately removes the files of folders that no longer exist.
func clearLately(memory string) {
	files, _ := filepath.Glob(filepath.Join(memory, "raft-*"))
	for _, path := range files {
		b, err := os.ReadFile(path)
		if err != nil {
			continue
		}
		if _, dir, ok := strings.Cut(strings.TrimSpace(string(b)), " of "); ok {
			if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
				_ = os.Remove(path)
			}
		}
	}
}

// line always has the same length, so that one write replaces the former line.
func (l *lately) line() []byte {
	return fmt.Appendf(nil, latelyFormat, l.last.index, l.last.term, l.last.vote)
}

func (l *lately) note(change func(*held)) {
	if l == nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	was := l.last
	if change(&l.last); l.last == was || l.file == nil {
		return
	}
	if _, err := l.file.WriteAt(l.line(), 0); err != nil {
		_ = os.Remove(l.path)
		_ = l.file.Close()
		l.file = nil
	}
}

func (l *lately) close() error {
	if l == nil {
		return nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.file == nil {
		return nil
	}
	err := l.file.Close()
	l.file = nil
	return err
}

// confirmedWithin is how long a starting controller asks the others which entry its log had before. Their silence does not matter (S8).
const confirmedWithin = time.Second

// checkHeld makes sure that the store holds all that it ever confirmed, as far as lately and the other controllers know. listed are the
// controllers of its latest configuration.
func checkHeld(o Options, id string, now, was held, listed []Server) error {
	path := filepath.Join(o.Dir, storeFile)
	if !now.covers(was) {
		return distrust(o, path, fmt.Sprintf("it was put back to an older state: since this host was booted it has held %s, but now it "+
			"holds %s", was, now), nil)
	}
	if o.Confirmed == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), confirmedWithin)
	defer cancel()
	others := listed[:0:0]
	for _, s := range listed {
		if s.ID != id {
			others = append(others, s)
		}
	}
	return putBack(o, now.index, o.Confirmed(ctx, id, others))
}

// putBack is an error if others know of an entry that this log had and no longer has.
func putBack(o Options, index, confirmed uint64) error {
	if confirmed <= index {
		return nil
	}
	return distrust(o, filepath.Join(o.Dir, storeFile),
		fmt.Sprintf("it was put back to an older state: another controller knows that it had entry %d, but it ended with entry %d when this "+
			"controller started", confirmed, index), nil)
}

// Confirmed compares the log's last entry at its opening with the entry that others know of; an error is a *StoreError. It is for the
// controllers that could not be asked at the start.
func (l *Log) Confirmed(entry uint64) error { return putBack(l.options, l.opened, entry) }

func serversOf(c raft.Configuration) (servers []Server) {
	for _, s := range c.Servers {
		servers = append(servers, Server{ID: string(s.ID), Name: nameOf(string(s.ID)), Address: string(s.Address),
			Learner: s.Suffrage != raft.Voter})
	}
	return servers
}
