package postgres

import (
	"context"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"

	"mainstay/controller/postgres/ondisk"
)

var blockRef = regexp.MustCompile(`^\d+: rel (\d+/\d+/\d+) .*?blk (\d+)`)

// TestChanges: the blocks that the WAL of a running server names are those that pg_waldump shows; WAL that was removed is no error.
func TestChanges(t *testing.T) {
	i := newPrimary(t, newAuthority(t), "feed-e1")
	ctx := testContext(t)
	check(t, i.exec(ctx, "CHECKPOINT"))
	c := must(i.ControlData(ctx))
	for _, s := range []string{"CREATE TABLE public.c (id int PRIMARY KEY, v text) WITH (fillfactor = 50)",
		"INSERT INTO public.c SELECT n, repeat(md5(n::text), 20) FROM generate_series(1, 3000) n",
		"CREATE INDEX ON public.c USING gin (string_to_array(v, 'a'))", "CREATE INDEX ON public.c USING hash (v)",
		"CREATE INDEX ON public.c USING brin (id)", "CREATE SEQUENCE public.s", "SELECT nextval('public.s')",
		"UPDATE public.c SET v = v || 'x' WHERE id % 3 = 0", "DELETE FROM public.c WHERE id > 2000", "VACUUM public.c",
		"CREATE DATABASE copied", "CHECKPOINT", "UPDATE public.c SET v = 'y' WHERE id % 5 = 0", "SELECT pg_switch_wal()"} {
		check(t, i.exec(ctx, s))
	}
	until := must(i.ControlData(ctx)).Checkpoint
	found, reaches := map[string]bool{}, map[ondisk.Reach]int{}
	paced := 0
	f := must(i.Changes(ctx, c.Timeline, c.Redo, 0, func(_ context.Context, n int) error { paced += n; return nil }, func(c ondisk.Change) {
		if reaches[c.Reach]++; c.Reach == ondisk.OneBlock {
			found[fmt.Sprintf("%d/%d/%d %d", c.Space, c.Database, c.Node, c.Block)] = true
		}
	}))
	check(t, f.Reaches(until))
	if f.Bytes < int64(until-c.Redo) || paced < int(until-c.Redo) || reaches[ondisk.Onwards] == 0 || reaches[ondisk.Databases] != 1 {
		t.Errorf("%+v, %d bytes were paced, %v", f, paced, reaches)
	}
	shown := map[string]bool{}
	_, err := i.dump(ctx, c.Timeline, c.Redo, func(r record) {
		for _, part := range strings.Split(r.desc, "blkref #")[1:] {
			if m := blockRef.FindStringSubmatch(part); m != nil {
				shown[strings.Join(m[1:], " ")] = true
			}
		}
	}, "-e", f.End.String())
	check(t, err)
	if len(shown) < 100 || !maps.Equal(shown, found) {
		t.Errorf("%d blocks, and pg_waldump shows %d", len(found), len(shown))
		for _, at := range slices.Sorted(maps.Keys(shown)) {
			if !found[at] {
				t.Fatalf("not found: %s", at)
			}
		}
	}
	f = must(i.Changes(ctx, c.Timeline, 28, 0, nil, func(ondisk.Change) { t.Error("a change of WAL that is not there") }))
	if err := f.Reaches(until); err == nil {
		t.Error("WAL that is not there was read")
	}
	stop := func(context.Context, int) error { return context.Canceled }
	if _, err := i.Changes(ctx, c.Timeline, c.Redo, 0, stop, func(ondisk.Change) {}); err == nil {
		t.Error("it did not end with the pace")
	}
}
