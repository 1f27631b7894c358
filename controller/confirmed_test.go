package controller

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"

	"mainstay/controller/boottime"
	"mainstay/controller/consensus"
	"mainstay/controller/identity"
	"mainstay/controller/wire"
)

func TestConfirmed(t *testing.T) {
	var c confirmed
	if got := c.Before("c1-1", "p"); got != 0 {
		t.Errorf("nothing is known: %d", got)
	}
	c.Note("c1-1", "p", 7)
	c.Note("c1-1", "p", 5) // late
	for _, q := range []struct {
		process string
		want    uint64
	}{{"p", 0}, {"q", 7}} {
		if got := c.Before("c1-1", q.process); got != q.want {
			t.Errorf("before %s: %d, want %d", q.process, got, q.want)
		}
	}
	c.Note("c1-1", "q", 3)
	c.Note("c2-2", "p", 1)
	for _, q := range []struct {
		process string
		want    uint64
	}{{"q", 7}, {"r", 7}} {
		if got := c.Before("c1-1", q.process); got != q.want {
			t.Errorf("after it was put back, before %s: %d, want %d", q.process, got, q.want)
		}
	}
	c.Note("c1-1", "q", 900)
	c.Note("c1-1", "p", 8) // late again, after its successor's: what that has had is not of a process before it
	if got := c.Before("c1-1", "q"); got != 8 {
		t.Errorf("before q: %d, want 8", got)
	}
	if got := c.Before("c1-1", "r"); got != 900 {
		t.Errorf("before r: %d, want 900", got)
	}
	for i := range 3 * formerKnown {
		c.Note("c3-3", fmt.Sprint(i), 1)
	}
	if n := len(c.logs["c3-3"].former); n != formerKnown {
		t.Errorf("%d processes are remembered", n)
	}
	for i := range 2 * logsKnown {
		c.Note(strings.Repeat("x", i), "p", 1)
	}
	if len(c.logs) != logsKnown || c.Before("c1-1", "r") != 900 {
		t.Errorf("%d logs are remembered, and of c1-1 entry %d", len(c.logs), c.Before("c1-1", "r"))
	}
}

// TestControllerPutBack: a controller whose data folder was put back to an older state in place does not start: the others know what
// it has confirmed (S3). A controller whose folder was not put back keeps running.
func TestControllerPutBack(t *testing.T) {
	b := newBed(t)
	nodes := b.three()
	jane := b.client(identity.RoleOperator, "jane")
	p := social()
	b.apply(jane, p)
	b.agents(p, nodes)
	b.awaitPrimary(jane, "feed-e1", 1)
	c3 := nodes[2]
	id, store := c3.log.ID(), filepath.Join(c3.cfg.Data, "raft.db")
	b.crash(c3)
	last := c3.log.Applied()
	old, err := os.ReadFile(store)
	if err != nil {
		t.Fatal(err)
	}
	c3 = b.start(c3.cfg) // as it was
	const enough = 10    // entries: barriers of the leader
	b.eventually("the others to know what c3 has had", 20*time.Second, func() bool {
		entry, answered := recollection{c3.client, "another process"}.ask(b.ctx(5*time.Second), id,
			[]consensus.Server{{ID: "1", Address: nodes[0].cfg.Advertise}, {ID: "2", Address: nodes[1].cfg.Advertise}})
		return len(answered) == 2 && entry > last+enough
	})
	b.crash(c3)
	if err := os.WriteFile(store, old, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(c3.cfg, Options{Version: "test", Logger: zap.NewNop()}); err == nil ||
		!strings.Contains(err.Error(), "it was put back to an older state: since this host was booted") {
		t.Errorf("the host remembers: %v", err)
	}
	if err := os.Remove(filepath.Join(boottime.Memory(memoryName), "raft-"+id)); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(c3.cfg, Options{Version: "test", Logger: zap.NewNop()}); err == nil ||
		!strings.Contains(err.Error(), "another controller knows that it had entry") {
		t.Errorf("the others remember: %v", err)
	}
}

// TestRecollectsLater: who could not ask at its start asks as soon as somebody answers, and ends with the reason.
func TestRecollectsLater(t *testing.T) {
	b := newBed(t)
	n := b.one()
	b.eventually("an entry", 10*time.Second, func() bool { return n.log.Applied() > 0 })
	if err := n.log.Confirmed(n.log.Applied() + 1000); !errors.As(err, new(*consensus.StoreError)) {
		t.Errorf("an entry that it does not have: %v", err)
	}
	unknown := recollection{n.client, "p"}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	if entry, answered := unknown.ask(ctx, n.log.ID(), []consensus.Server{{ID: "gone", Address: "127.0.0.1:1"}}); entry != 0 ||
		len(answered) != 0 {
		t.Errorf("an answer of no controller: %d, %v", entry, answered)
	}
	var a wire.Confirmed
	err := b.client(identity.RoleOperator, "jane").DoAt(b.ctx(5*time.Second), n.cfg.Advertise, "GET", "/v1/confirmed?log=x&process=p", nil, &a)
	if r := refusal(t, err); r.Status != http.StatusForbidden {
		t.Errorf("an operator asks: %v", err)
	}
}
