package load

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"sync"
	"time"
)

// Ack is one acknowledged post.
type Ack struct {
	ID      string    `json:"id"`
	Writer  int       `json:"writer"`
	Started time.Time `json:"started"` // just before the request was sent
	Acked   time.Time `json:"acked"`   // just after the answer was read
}

// Ledger is the list of all acknowledged posts: a file of JSON lines that is only ever appended to, and its ids in memory.
// It survives the death of the process, not that of its host (it is not synced: it must not compete with the platform for
// the disk). One process uses a file at a time.
type Ledger struct {
	mu   sync.Mutex
	file *os.File
	ids  []string
}

// OpenLedger creates or continues a ledger. A last line cut short by a crash is removed: the process that wrote it had not
// counted it yet. Any other bad line is an error that names it.
func OpenLedger(path string) (*Ledger, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR|os.O_APPEND, 0o644)
	if err != nil {
		return nil, fmt.Errorf("open the ledger: %w", err)
	}
	l := &Ledger{file: f}
	if err := l.load(path); err != nil {
		f.Close()
		return nil, err
	}
	return l, nil
}

func (l *Ledger) load(path string) error {
	all, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("read the ledger: %w", err)
	}
	whole := all[:bytes.LastIndexByte(all, '\n')+1]
	for n, line := range bytes.Split(whole, []byte("\n")) {
		if len(line) == 0 {
			continue
		}
		var a Ack
		if err := json.Unmarshal(line, &a); err != nil || a.ID == "" {
			return fmt.Errorf("ledger %s, line %d, is not an acknowledgement: move the file away or repair the line", path, n+1)
		}
		l.ids = append(l.ids, a.ID)
	}
	if len(whole) < len(all) {
		if err := l.file.Truncate(int64(len(whole))); err != nil {
			return fmt.Errorf("cut the torn last line of ledger %s: %w", path, err)
		}
	}
	return nil
}

// Add records an acknowledgement; only after that does it count.
func (l *Ledger) Add(a Ack) error {
	line, err := json.Marshal(a)
	if err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, err := l.file.Write(append(line, '\n')); err != nil {
		return fmt.Errorf("write the ledger (check its disk's space): %w", err)
	}
	l.ids = append(l.ids, a.ID)
	return nil
}

// IDs returns the ids of all acknowledged posts so far, those of earlier runs included. The caller must not change it.
func (l *Ledger) IDs() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.ids[:len(l.ids):len(l.ids)]
}

// Close closes the file.
func (l *Ledger) Close() error { return l.file.Close() }
