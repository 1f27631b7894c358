package postgres

import (
	"database/sql"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// TestShortFiles: files that are missing or too short are named, also on a standby, and neither those of sound relations nor those of
// temporary, unlogged, empty and truncated ones.
func TestShortFiles(t *testing.T) {
	ca, ctx := newAuthority(t), testContext(t)
	a := newPrimary(t, ca, "feed-e1")
	for _, s := range []string{
		"CREATE TABLE public.gone AS SELECT 1 AS n", "CREATE TABLE public.short AS SELECT repeat('x', 300) AS x FROM generate_series(1, 200)",
		"CREATE TABLE public.cut AS SELECT repeat('x', 300) AS x FROM generate_series(1, 200)", "CREATE INDEX ON public.cut (x)",
		"CREATE UNLOGGED TABLE public.unlogged AS SELECT 1 AS n", "CREATE TABLE public.empty (n serial PRIMARY KEY, x text)",
		"ANALYZE", "TRUNCATE public.cut", "DELETE FROM public.t", "VACUUM public.t", "CREATE DATABASE other", "CHECKPOINT",
	} {
		check(t, a.exec(ctx, s))
	}
	b, _ := newStandby(t, ca, "feed-w1", a)
	for _, i := range []*Server{a, b} {
		if all, err := i.ShortFiles(ctx); err != nil || len(all) > 0 {
			t.Errorf("%s is sound: %v, %v", i.Member, all, err)
		}
		file := func(table string) (path string, pages int) {
			check(t, i.with(ctx, func(c *sql.Conn) error {
				return c.QueryRowContext(ctx, "SELECT pg_relation_filepath(oid)::text, relpages FROM pg_class WHERE oid = $1::text::regclass",
					"public."+table).Scan(&path, &pages)
			}))
			return path, pages
		}
		gone, _ := file("gone")
		short, pages := file("short")
		check(t, os.Remove(filepath.Join(i.Data, gone)))
		check(t, os.Truncate(filepath.Join(i.Data, short), 8192))
		want := []string{gone + " of public.gone in database postgres is not there",
			fmt.Sprintf("%s of public.short in database postgres has 1 of the %d pages that the catalog counted", short, pages)}
		slices.Sort(want)
		if all, err := i.ShortFiles(ctx); err != nil || !slices.Equal(all, want) {
			t.Errorf("%s: %q, %v, want %q", i.Member, all, err, want)
		}
	}
}
