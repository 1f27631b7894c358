package postgres

import (
	"database/sql"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// TestReadPages: the log names the damaged pages that a server has read, and one that is read again is no further one, also for an agent
// that begins later. Where the log does not name them the counts are left.
func TestReadPages(t *testing.T) {
	ca, ctx := newAuthority(t), testContext(t)
	a := newPrimary(t, ca, "feed-e1")
	check(t, a.exec(ctx, "CREATE TABLE public.pages AS SELECT n, repeat('x', 300) FROM generate_series(1, 200) AS n"))
	check(t, a.exec(ctx, "CHECKPOINT"))
	ask := func(query string) (value string) {
		t.Helper()
		check(t, a.with(ctx, func(c *sql.Conn) error { return c.QueryRowContext(ctx, query).Scan(&value) }))
		return value
	}
	file := ask("SELECT pg_relation_filepath('public.pages')::text")
	stop(t, a)
	for _, block := range []int64{1, 3} {
		f, err := os.OpenFile(filepath.Join(a.Data, file), os.O_RDWR, 0)
		check(t, err)
		_, err = f.WriteAt([]byte("damage"), block*8192+5000)
		check(t, err)
		check(t, f.Close())
	}
	start(t, a, true)
	read := func(block int) {
		t.Helper()
		if err := a.exec(ctx, fmt.Sprintf("SELECT count(*) FROM public.pages WHERE ctid = '(%d,1)'", block)); err == nil {
			t.Fatalf("block %d is read", block)
		}
	}
	pages := func(blocks ...int) (all []string) {
		for _, b := range blocks {
			all = append(all, fmt.Sprintf("%s block %d", file, b))
		}
		return all
	}
	var early ReadPages
	follow := func(r *ReadPages, counted int64, unnamed bool, want ...string) {
		t.Helper()
		var s Status
		eventually(t, "the count", func() bool { s = mustStatus(t, a); return s.Damaged == counted })
		r.Follow(a, &s)
		if r.Follow(a, &s); !slices.Equal(r.Pages, want) || (r.Unnamed != "") != unnamed {
			t.Errorf("after %d reads: %+v", counted, r)
		}
	}
	follow(&early, 0, false)
	read(3)
	follow(&early, 1, false, pages(3)...)
	read(3)
	read(3)
	follow(&early, 3, false, pages(3)...)
	follow(&ReadPages{}, 3, false, pages(3)...)
	read(1)
	follow(&early, 4, false, pages(1, 3)...)

	check(t, a.exec(ctx, "ALTER SYSTEM SET log_min_messages = 'panic'"))
	check(t, a.Reload(ctx))
	eventually(t, "a silent log", func() bool { return ask("SHOW log_min_messages") == "panic" })
	read(1)
	follow(&early, 5, true, pages(1, 3)...)
	said := early.Unnamed
	check(t, a.exec(ctx, "ALTER SYSTEM RESET log_min_messages"))
	check(t, a.Reload(ctx))
	eventually(t, "a log", func() bool { return ask("SHOW log_min_messages") != "panic" })
	read(3)
	if follow(&early, 6, true, pages(1, 3)...); early.Unnamed != said {
		t.Errorf("what the log does not name is %s, then %s", said, early.Unnamed)
	}
	check(t, os.Truncate(a.Log, 0))
	if follow(&ReadPages{}, 6, true); early.Unnamed == "" {
		t.Error("of an empty log")
	}
}

// TestReadPagesLate: a line that is written a moment after its read was counted, or before, is that of this read.
func TestReadPagesLate(t *testing.T) {
	i := &Server{Data: t.TempDir(), Log: filepath.Join(t.TempDir(), "log")}
	put(t, i.Log, "")
	var r ReadPages
	said := ""
	for n, step := range []struct {
		counted int64
		line    int // of that block; 0: none
		unnamed bool
	}{{0, 0, false}, {1, 0, false}, {1, 3, false}, {1, 3, false}, {2, 0, false}, {2, 0, false}, {3, 0, false}, {3, 0, true}, {4, 3, true},
		{2, 0, true}} {
		if step.line > 0 {
			said += fmt.Sprintf("ERROR:  invalid page in block %d of relation \"base/5/7\"\n", step.line)
		}
		put(t, i.Log, said)
		s := Status{Damaged: step.counted}
		if step.counted > 0 {
			s.Damage = fmt.Sprint(step.counted, " in database a")
		}
		if r.Follow(i, &s); (r.Unnamed != "") != step.unnamed || len(r.Pages) > 1 {
			t.Errorf("step %d: %+v", n, r)
		}
	}
	if r.Unnamed != "3 in database a" || !slices.Equal(r.Pages, []string{"base/5/7 block 3"}) {
		t.Errorf("in the end: %+v", r)
	}
}
