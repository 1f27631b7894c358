package load

import (
	"context"
	"fmt"
	"time"
)

const (
	verifyBatch = 1000
	verifyPause = 100 * time.Millisecond
)

// Verification is the result of reading the acknowledged posts back.
type Verification struct {
	Checked int      `json:"checked"` // all posts of the ledger when it began
	Missing []string `json:"missing"` // acknowledged, and not on the primary: S2 is broken
}

// String is one line: missing=0 checked=1234.
func (v Verification) String() string {
	return fmt.Sprintf("missing=%d checked=%d", len(v.Missing), v.Checked)
}

// Verify reads every acknowledged post back from the present primary, and repeats what fails until ctx ends: an error says
// that nothing is known, never that something is missing. ctx should have a deadline.
func (c *Client) Verify(ctx context.Context) (Verification, error) {
	return Verify(ctx, c.o.Target, c.o.Ledger)
}

// Verify checks a ledger without a run, for instance one that an earlier process left.
func Verify(ctx context.Context, t Target, l *Ledger) (Verification, error) {
	ids := l.IDs()
	v := Verification{Checked: len(ids), Missing: []string{}}
	for len(ids) > 0 {
		n := min(len(ids), verifyBatch)
		missing, err := t.Missing(ctx, ids[:n])
		if err == nil {
			v.Missing = append(v.Missing, missing...)
			ids = ids[n:]
			continue
		}
		select {
		case <-ctx.Done():
			return Verification{}, fmt.Errorf("read back the acknowledged posts, %d of %d still unread: %w", len(ids), v.Checked, err)
		case <-time.After(verifyPause):
		}
	}
	return v, nil
}

// without returns the ids that are not among the present ones.
func without(ids, present []string) (missing []string) {
	have := make(map[string]bool, len(present))
	for _, id := range present {
		have[id] = true
	}
	for _, id := range ids {
		if !have[id] {
			missing = append(missing, id)
		}
	}
	return missing
}
