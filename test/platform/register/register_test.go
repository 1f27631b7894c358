package register

import (
	"context"
	"strconv"
	"testing"
	"time"

	"mainstay/test/kit"
	"mainstay/test/platform/internal/pgtest"
)

func number(t *testing.T, text string) int64 {
	t.Helper()
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func duration(n int64) time.Duration { return time.Duration(n) }

// begin starts four clients that take whatever server dsn reaches first.
func begin(t *testing.T, dsn ...string) *Tester {
	t.Helper()
	r, err := Start(context.Background(), Options{Clients: dsn, Every: 5 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Stop)
	return r
}

// more waits for n more answers.
func (t *Tester) more(tb testing.TB, n int) {
	tb.Helper()
	was := t.Answered()
	kit.Within(tb, time.Minute, "answers", func() bool { return t.Answered() >= was+n })
}

// One server is a register, also when it crashes in the middle of it.
func TestOneServerIsLinearizable(t *testing.T) {
	s := pgtest.Start(t)
	if err := Setup(context.Background(), s.DSN()); err != nil {
		t.Fatal(err)
	}
	r := begin(t, s.DSN(), s.DSN(), s.DSN(), s.DSN())
	r.more(t, 400)
	s.Kill()
	s.Up()
	r.more(t, 100)
	r.Stop()
	v := r.Check()
	if v.Wrong != "" || v.Registers < 2 {
		t.Errorf("%d registers: %s", v.Registers, v)
	}
	t.Log(v)
}

// Two servers that both take writes are not.
func TestTwoServersAreNot(t *testing.T) {
	a := pgtest.Start(t)
	if err := Setup(context.Background(), a.DSN()); err != nil {
		t.Fatal(err)
	}
	b := a.Standby()
	b.Promote()
	r := begin(t, a.DSN(), b.DSN())
	r.more(t, 50)
	r.Stop()
	if v := r.Check(); v.Wrong == "" {
		t.Errorf("%s", v)
	}
}

// A server that never answers shows nothing, which is no good news.
func TestNothingAnsweredIsNotFine(t *testing.T) {
	r := begin(t, "host=127.0.0.1 port=9 user=nobody dbname=none sslmode=disable")
	kit.Within(t, time.Minute, "an attempt", func() bool {
		r.mu.Lock()
		defer r.mu.Unlock()
		return r.attempts > 0
	})
	r.Stop()
	if v := r.Check(); v.Wrong == "" {
		t.Errorf("%s", v)
	}
}
