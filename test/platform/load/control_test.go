package load_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"mainstay/test/kit"
	"mainstay/test/platform/load"
)

// memory is a target without a database, that forgets what forget names.
type memory struct{ forget func(id string) bool }

func (m memory) Writer() load.Writer                 { return m }
func (m memory) Write(context.Context, string) error { return nil }
func (m memory) Close()                              {}
func (m memory) Missing(_ context.Context, ids []string) (missing []string, err error) {
	for _, id := range ids {
		if m.forget(id) {
			missing = append(missing, id)
		}
	}
	return missing, nil
}

func TestControl(t *testing.T) {
	dir := t.TempDir()
	socket := filepath.Join(dir, "s")
	ledger := openLedger(t, filepath.Join(dir, "ledger.jsonl"))
	c := start(t, load.Options{Ledger: ledger, Target: memory{func(id string) bool { return id == ledger.IDs()[0] }}})
	l, err := load.ListenControl(socket)
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- load.ServeControl(context.Background(), l, c) }()
	ask := func(q load.Request) load.Response {
		t.Helper()
		a, err := load.Ask(within(t, 10*time.Second), socket, q)
		if err != nil {
			t.Fatalf("%+v: %v", q, err)
		}
		return a
	}

	if _, err := load.ListenControl(socket); err == nil || !strings.Contains(err.Error(), "running") {
		t.Errorf("a second client on the same socket: %v", err)
	}
	if info, err := os.Stat(socket); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("socket: %v %v, want mode 0600", info.Mode(), err)
	}
	token := ask(load.Request{Verb: "mark"}).Token
	acked(t, c, token, 3)
	if r := ask(load.Request{Verb: "report", Since: token}).Report; r == nil || r.Tally.Acked < 3 || r.Longest <= 0 {
		t.Errorf("report since %q: %+v", token, r)
	}
	if v := ask(load.Request{Verb: "verify"}).Verification; v == nil || len(v.Missing) != 1 || v.Missing[0] != ledger.IDs()[0] {
		t.Errorf("verify: %+v, want the first id missing", v)
	}
	for _, q := range []load.Request{{Verb: "dance"}, {Verb: "report", Since: "m77"}} {
		if _, err := load.Ask(within(t, 10*time.Second), socket, q); err == nil {
			t.Errorf("%+v was answered", q)
		}
	}
	if r := ask(load.Request{Verb: "stop"}).Report; r == nil || r.Tally.Acked != len(ledger.IDs()) {
		t.Errorf("last report: %+v, ledger has %d", r, len(ledger.IDs()))
	}
	if err := <-served; err != nil {
		t.Errorf("control socket: %v", err)
	}
	if _, err := load.Ask(within(t, time.Second), socket, load.Request{Verb: "mark"}); err == nil {
		t.Error("the socket answers after the stop")
	}
}

// An acknowledgement that cannot be recorded is not counted, and ends the run.
func TestNoLedgerNoAcknowledgement(t *testing.T) {
	ledger := openLedger(t, filepath.Join(t.TempDir(), "ledger.jsonl"))
	ledger.Close()
	c := start(t, load.Options{Ledger: ledger, Target: memory{}})
	select {
	case <-c.Done():
	case <-time.After(time.Minute):
		t.Fatal("the run goes on")
	}
	if err := c.Stop(); !errors.Is(err, os.ErrClosed) {
		t.Errorf("stopped with %v, want the ledger's error", err)
	}
	if r := report(t, c, ""); r.Tally.Acked != 0 {
		t.Errorf("%d acknowledged without a record", r.Tally.Acked)
	}
}

// unreadable cannot be read back: that is no loss, but no answer either.
type unreadable struct{ memory }

func (unreadable) Missing(context.Context, []string) ([]string, error) {
	return nil, errors.New("no primary")
}

// broken fails while down is set.
type broken struct {
	memory
	down *atomic.Bool
}

func (b broken) Writer() load.Writer { return b }
func (b broken) Write(context.Context, string) error {
	if b.down.Load() {
		return errors.New("down")
	}
	return nil
}

func TestAwaitWrite(t *testing.T) {
	down := &atomic.Bool{}
	c := start(t, load.Options{Target: broken{memory{}, down}})
	acked(t, c, "", 2)
	mark := c.Mark()
	if o, err := c.AwaitWrite(within(t, 50*time.Millisecond), mark); err == nil {
		t.Errorf("nothing failed, and a write ended %+v", o)
	}
	down.Store(true)
	kit.Within(t, 10*time.Second, "an attempt to fail", func() bool { return report(t, c, mark).Tally.Unknown > 0 })
	if o, err := c.AwaitWrite(within(t, 50*time.Millisecond), mark); err == nil {
		t.Errorf("nothing is written again, and a write ended %+v", o)
	}
	up := time.Now()
	down.Store(false)
	o, err := c.AwaitWrite(within(t, 10*time.Second), mark)
	if err != nil || o.Open || o.End.Before(up) || o.Start.After(up) {
		t.Errorf("%+v, %v; want the outage from before %s to after it", o, err, up)
	}
	if o, err := c.AwaitWrite(within(t, 50*time.Millisecond), c.Mark()); err == nil {
		t.Errorf("nothing failed since the new mark, and a write ended %+v", o)
	}
}

func TestUnreadableIsNotMissing(t *testing.T) {
	c := start(t, load.Options{Target: unreadable{}})
	acked(t, c, "", 1)
	v, err := c.Verify(within(t, 50*time.Millisecond))
	if err == nil || !strings.Contains(err.Error(), "no primary") || v.Checked != 0 {
		t.Errorf("%v, %v: want the error of the target and no result", v, err)
	}
	kit.Within(t, time.Minute, "writing goes on", func() bool { return report(t, c, "").Tally.Acked > 1 })
}
