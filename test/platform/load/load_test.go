package load_test

import (
	"context"
	"errors"
	"net"
	"net/http"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"mainstay/test/kit"
	"mainstay/test/platform/feed"
	"mainstay/test/platform/internal/pgtest"
	"mainstay/test/platform/load"
	"mainstay/test/platform/pgclient"
)

func within(t *testing.T, d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), d)
	t.Cleanup(cancel)
	return ctx
}

func openLedger(t *testing.T, path string) *load.Ledger {
	t.Helper()
	l, err := load.OpenLedger(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

func newDirect(t *testing.T, dsn string) *load.Direct {
	t.Helper()
	d, err := load.NewDirect(dsn, pgclient.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	if err := d.Setup(within(t, time.Minute)); err != nil {
		t.Fatal(err)
	}
	return d
}

func start(t *testing.T, o load.Options) *load.Client {
	t.Helper()
	if o.Ledger == nil {
		o.Ledger = openLedger(t, filepath.Join(t.TempDir(), "ledger.jsonl"))
	}
	c, err := load.Start(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Stop() })
	return c
}

func report(t *testing.T, c *load.Client, token string) load.Report {
	t.Helper()
	r, err := c.Report(token)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// acked waits until so many posts were acknowledged since the mark.
func acked(t *testing.T, c *load.Client, token string, n int) {
	t.Helper()
	kit.Within(t, time.Minute, "posts are acknowledged", func() bool { return report(t, c, token).Tally.Acked >= n })
}

func verify(t *testing.T, c *load.Client) load.Verification {
	t.Helper()
	v, err := c.Verify(within(t, time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func TestMissingPostsAreFound(t *testing.T) {
	s := pgtest.Start(t)
	path := filepath.Join(t.TempDir(), "ledger.jsonl")
	first := openLedger(t, path)
	c := start(t, load.Options{Target: newDirect(t, s.DSN()), Ledger: first, Writers: 2, Every: 2 * time.Millisecond})
	acked(t, c, "", 50)
	if v := verify(t, c); v.Checked < 50 || len(v.Missing) > 0 {
		t.Fatalf("before the loss: %v", v)
	}
	lost := slices.Clone(first.IDs()[7:9])
	s.SQL("DELETE FROM posts WHERE id = $1 OR id = $2", lost[0], lost[1])
	check := func(when string, v load.Verification) {
		t.Helper()
		if slices.Sort(v.Missing); !slices.Equal(v.Missing, sorted(lost)) {
			t.Errorf("%s: missing %q, want %q", when, v.Missing, lost)
		}
	}
	check("same run", verify(t, c))
	if err := c.Stop(); err != nil {
		t.Fatal(err)
	}
	first.Close()

	again := start(t, load.Options{Target: newDirect(t, s.DSN()), Ledger: openLedger(t, path)})
	acked(t, again, "", 1)
	check("next run, from the file", verify(t, again))
}

func sorted(s []string) []string { return slices.Sorted(slices.Values(s)) }

func TestOutageIsMeasured(t *testing.T) {
	s := pgtest.Start(t)
	c := start(t, load.Options{Target: newDirect(t, s.DSN()), Writers: 2, Threshold: 150 * time.Millisecond})
	acked(t, c, "", 20)
	mark := c.Mark()
	s.Stop()
	down := time.Now()
	kit.Within(t, time.Minute, "the open outage shows", func() bool {
		r := report(t, c, mark)
		return len(r.Outages) > 0 && r.Outages[len(r.Outages)-1].Open && r.Longest > 200*time.Millisecond
	})
	up := time.Now()
	s.Up()
	o, err := c.AwaitOutage(within(t, time.Minute), mark)
	if err != nil {
		t.Fatal(err)
	}
	if o.Open || o.Start.After(down) || o.End.Before(up) || o.Length != o.End.Sub(o.Start) {
		t.Errorf("outage %+v does not contain the time without a server, %v to %v", o, down, up)
	}
	acked(t, c, mark, 20)
	r := report(t, c, mark)
	if r.Longest != o.Length || len(r.Outages) == 0 || r.Tally.Unknown == 0 || r.Tally.LastError == "" {
		t.Errorf("report %v (last error %q), want an outage of %v and failed attempts", r, r.Tally.LastError, o.Length)
	}
	for n, w := range r.Writers {
		if w.Longest < o.Length {
			t.Errorf("writer %d was without an answer for %v only, all of them for %v", n, w.Longest, o.Length)
		}
	}
	if later := report(t, c, c.Mark()); later.Longest >= o.Length {
		t.Errorf("after the outage: %v", later)
	}
	if v := verify(t, c); len(v.Missing) > 0 {
		t.Errorf("a clean restart lost posts: %v", v)
	}
	var none *load.ErrNoMark
	if _, err := c.Report("m99"); !errors.As(err, &none) {
		t.Errorf("unknown mark: %v", err)
	}
}

// The primary crashes, its synchronous standby is promoted: the writers find it by themselves and nothing is missing.
func TestFailoverKeepsWhatWasAcknowledged(t *testing.T) {
	primary := pgtest.Start(t)
	standby := primary.Standby()
	primary.SQL("ALTER SYSTEM SET synchronous_standby_names = 'standby'")
	primary.SQL("SELECT pg_reload_conf()")
	c := start(t, load.Options{Target: newDirect(t, pgtest.DSN(primary, standby)), Writers: 2,
		Threshold: 25 * time.Millisecond}) // a promotion can be this fast
	acked(t, c, "", 20)
	mark := c.Mark()
	acked(t, c, mark, 20)
	primary.Kill()
	standby.Promote()
	o, err := c.AwaitOutage(within(t, time.Minute), mark)
	if err != nil {
		t.Fatal(err)
	}
	acked(t, c, c.Mark(), 20)
	if v := verify(t, c); len(v.Missing) > 0 || v.Checked < 40 {
		t.Errorf("after the failover: %v", v)
	}
	t.Logf("without an acknowledgement for %v", o.Length)
}

func TestFrozenServerIsAnOutage(t *testing.T) {
	s := pgtest.Start(t)
	c := start(t, load.Options{Target: newDirect(t, s.DSN()), Threshold: 300 * time.Millisecond})
	acked(t, c, "", 5)
	mark := c.Mark()
	if n := s.Freeze("loadclient"); n < 1 {
		t.Fatal("froze no session")
	}
	o, err := c.AwaitOutage(within(t, time.Minute), mark)
	if err != nil {
		t.Fatal(err)
	}
	if o.Length < pgclient.DefaultStatement*9/10 || o.Length > 10*pgclient.DefaultStatement {
		t.Errorf("outage of %v, want about the statement limit %v", o.Length, pgclient.DefaultStatement)
	}
}

func TestThroughAppServers(t *testing.T) {
	s := pgtest.Start(t)
	one, stopOne := appServer(t, s.DSN())
	two, _ := appServer(t, s.DSN())
	target, err := load.NewHTTP([]string{one, two + "/"}, 0)
	if err != nil {
		t.Fatal(err)
	}
	c := start(t, load.Options{Target: target, Writers: 2})
	acked(t, c, "", 20)
	mark := c.Mark()
	stopOne() // all writers are there: it was healthy from the start
	acked(t, c, mark, 40)
	if r := report(t, c, mark); r.Tally.Unknown == 0 {
		t.Errorf("no attempt met the app server that stopped: %v", r)
	}
	s.SQL("DELETE FROM posts WHERE id = (SELECT id FROM posts ORDER BY created LIMIT 1)")
	if v := verify(t, c); len(v.Missing) != 1 || v.Checked < 60 {
		t.Errorf("after one row was deleted: %v", v)
	}
}

func appServer(t *testing.T, dsn string) (url string, stop func()) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := (feed.Server{Name: "web", DSN: dsn, Logf: t.Logf}).Serve(ctx, l); err != nil {
			t.Errorf("app server: %v", err)
		}
	}()
	stop = func() { cancel(); <-done }
	t.Cleanup(stop)
	url = "http://" + l.Addr().String()
	kit.Within(t, time.Minute, "app server is ready", func() bool {
		resp, err := http.Get(url + "/ready")
		if err == nil {
			resp.Body.Close()
		}
		return err == nil && resp.StatusCode == http.StatusOK
	})
	return url, stop
}
