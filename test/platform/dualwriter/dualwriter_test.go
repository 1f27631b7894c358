package dualwriter_test

import (
	"context"
	"testing"
	"time"

	"mainstay/test/kit"
	"mainstay/test/platform/dualwriter"
	"mainstay/test/platform/internal/pgtest"
	"mainstay/test/platform/pgclient"
)

func start(t *testing.T, a, b *pgtest.Server) *dualwriter.Tester {
	t.Helper()
	w, err := dualwriter.Start(context.Background(), dualwriter.Options{Hosts: []dualwriter.Host{{"a", a.DSN()}, {"b", b.DSN()}}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.Stop)
	return w
}

// more waits until the host has acknowledged n more writes.
func more(t *testing.T, w *dualwriter.Tester, host string, n int) {
	t.Helper()
	count := func() (k int) {
		for _, r := range w.Reigns() {
			if r.Host == host {
				k += r.Acks
			}
		}
		return k
	}
	was := count()
	kit.Within(t, time.Minute, host+" acknowledges writes", func() bool { return count() >= was+n })
}

func TestTwoIndependentServersAreTwoPrimaries(t *testing.T) {
	w := start(t, pgtest.Start(t), pgtest.Start(t))
	more(t, w, "a", 5)
	more(t, w, "b", 5)
	more(t, w, "a", 5)
	w.Stop()
	if o := w.Overlaps(); len(o) == 0 {
		t.Errorf("none found in %v", w.Reigns())
	}
}

// A failover and a restart of the new primary are no overlap; the old primary, started again without a fence, is one.
func TestFailoverThenSplitBrain(t *testing.T) {
	a := pgtest.Start(t)
	b := a.Standby()
	w := start(t, a, b)
	more(t, w, "a", 5)
	if n, refusal := w.Tried("b"); n == 0 || refusal == nil {
		t.Errorf("the standby was tried %d times and refused with %v", n, refusal)
	}
	a.Kill()
	b.Promote()
	more(t, w, "b", 5)
	b.Kill()
	b.Up()
	more(t, w, "b", 5)
	if r := w.Reigns(); len(r) != 2 || r[0].Host != "a" || r[1].Host != "b" || r[0].Timeline >= r[1].Timeline {
		t.Errorf("reigns %v, want a, then b on a later timeline", r)
	}
	if o := w.Overlaps(); len(o) > 0 {
		t.Fatalf("a proper failover is taken for two primaries: %v", o)
	}
	a.Up()
	more(t, w, "a", 1)
	o := w.Overlaps() // the second pair, b around a, comes with b's next acknowledgement
	if len(o) == 0 || o[0].First.Host != "a" || o[0].Between.Host != "b" || o[0].Acks < 5 {
		t.Fatalf("split brain: %v", o)
	}
	t.Log(o[0])
}

// A replica that refuses is asked on one session, however often, and that session writes as soon as it is promoted.
func TestReplicaIsAskedOnOneSession(t *testing.T) {
	a := pgtest.Start(t)
	b := a.Standby()
	w := start(t, a, b)
	more(t, w, "a", 5)
	session := func() (pid int) {
		db, err := pgclient.Open(b.DSN(), pgclient.Options{AnyServer: true})
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		kit.Within(t, time.Minute, "one session on the replica", func() bool {
			var n int
			err := db.QueryRow("SELECT count(*), coalesce(min(pid), 0) FROM pg_stat_activity WHERE application_name = 'dualwriter'").Scan(&n, &pid)
			return err == nil && n == 1
		})
		return pid
	}
	tried := func(n int) {
		was, _ := w.Tried("b")
		kit.Within(t, time.Minute, "attempts on the replica", func() bool { now, _ := w.Tried("b"); return now >= was+n })
	}
	tried(1)
	before := session()
	tried(10)
	if now := session(); now != before {
		t.Errorf("the session of process %d was replaced by that of %d", before, now)
	}
	a.Kill()
	b.Promote()
	more(t, w, "b", 5)
	if now := session(); now != before {
		t.Errorf("the promotion replaced the session of process %d by that of %d", before, now)
	}
}

func TestHostNamesAreDistinct(t *testing.T) {
	_, err := dualwriter.Start(context.Background(), dualwriter.Options{Hosts: []dualwriter.Host{{"a", ""}, {"a", ""}}})
	if err == nil {
		t.Error("two hosts of one name were accepted")
	}
}
