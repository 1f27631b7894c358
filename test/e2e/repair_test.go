package e2e

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"mainstay/controller/state"
	"mainstay/test/damage"
	"mainstay/test/testbed"
)

// TestRepair: the disk of a replica has lost a write, which it serves once its PostgreSQL was killed. An operator has the page replaced by
// the primary's; what does not fit is refused, and nothing is changed by that.
func TestRepair(t *testing.T) {
	t.Parallel()
	tr := begin(t, testbed.Options{Members: 3, Settings: []string{"durability: {acks: 1}"}})
	p := tr.primary(t)
	r := tr.replicaOf(p).Member
	sql := func(member, text string) string {
		t.Helper()
		out, err := tr.SQL(tr.ctx, member, "postgres", text)
		tr.check(t, err)
		return out
	}
	tr.loseWrite(t, p, r)
	sql(p, "CREATE INDEX pages_n ON pages (n)")
	tr.check(t, testbed.Signal(syscall.SIGKILL, tr.Postmaster(r))) // its cache is gone, so it reads the page from its disk
	tr.check(t, tr.Wait(tr.ctx, r+" to serve the old page", func() (bool, string) {
		out, err := tr.SQL(tr.ctx, r, "postgres", "SELECT count(*) > 0 FROM pages WHERE v = 1")
		return out == "t", fmt.Sprint(out, err)
	}))
	tr.healthy(t)
	file := filepath.Join(tr.Data(r), sql(r, "SELECT pg_relation_filepath('pages')"))
	old := block(t, file)

	repair := func(more ...string) []string {
		return append([]string{"integrity", "repair", r, "--relation", "postgres.public.pages", "--block", "1"}, more...)
	}
	tr.says(t, 3, []string{"integrity", "repair", p, "--relation", "postgres.public.pages", "--block", "1", "--yes"}, p+" is the primary",
		"mainstay switchover feed")
	tr.says(t, 3, []string{"integrity", "repair", r, "--relation", "pages_n", "--block", "1", "--yes"}, "REINDEX INDEX on the primary")
	tr.says(t, 3, []string{"integrity", "repair", r, "--relation", "nothing", "--block", "1", "--yes"}, "no relation nothing is known")
	tr.says(t, 3, []string{"integrity", "repair", r, "--relation", "pages", "--block", "99999", "--yes"}, "the page is not there")
	sql(p, "UPDATE pages SET v = 3")
	sql(p, "CHECKPOINT")
	tr.says(t, 3, repair("--yes"), "would replay from", "Run CHECKPOINT on the primary, then on "+r)
	tr.check(t, tr.Wait(tr.ctx, r+" to have written out that change", func() (bool, string) {
		_, err := tr.SQL(tr.ctx, p, "postgres", "CHECKPOINT")
		for _, m := range feed {
			if err == nil {
				_, err = tr.SQL(tr.ctx, m, "postgres", "CHECKPOINT")
			}
		}
		out, fails := tr.CLI(tr.ctx, repair("--dry-run")...)
		return err == nil && fails == nil && strings.Contains(out, "nothing was changed"), fmt.Sprint(out, err, fails)
	}))
	tr.rotten(t, file, old) // that change has mended the page
	tr.says(t, 0, repair("--dry-run"), "is of postgres.public.pages", "ask the agent of "+p, r+" has another one", "nothing was changed")
	if !bytes.Equal(old, block(t, file)) {
		t.Fatal("a plan has changed the page")
	}
	tr.says(t, 0, repair("--yes"), "is the page of "+p+" now", "compared again, it has the page of "+p)
	tr.healthy(t)
	if out := sql(r, "SELECT count(*) FROM pages WHERE v <> 3"); out != "0" {
		t.Errorf("%s has %s rows of before", r, out)
	}
	if bytes.Equal(old, block(t, file)) {
		t.Error("the old page is still there")
	}
	op, err := tr.Last(tr.ctx, state.Mending)
	if tr.check(t, err); op.Result != state.Done || op.To != r || op.From != p {
		t.Errorf("the history says %+v", op)
	}
	piece := tr.onlyPiece(t, r)
	kept, err := filepath.Glob(filepath.Join(piece.Place, "base_*"))
	if tr.check(t, err); len(kept) != 1 {
		t.Fatalf("the quarantine has %v", kept)
	}
	if was, err := os.ReadFile(kept[0]); err != nil || !bytes.Equal(was, old) {
		t.Errorf("the old page was not kept: %v", err)
	}
	tr.says(t, 0, repair("--yes"), "has the page of "+p+" already")
	tr.says(t, 0, repair("--fork", "fsm", "--yes"), "PostgreSQL makes it anew")
	tr.healthy(t)
	tr.judge()
}

// TestRepairEndsEvidence: comparisons by two agents have named a replica for another content, which excludes it from nothing and is a
// problem. Once the page was mended, neither is evidence any more: the replica becomes the primary, and no replay is frozen for it.
func TestRepairEndsEvidence(t *testing.T) {
	tr := begin(t, testbed.Options{Members: 3, Settings: []string{"durability: {acks: 1}"}})
	p := tr.primary(t)
	r := tr.replicaOf(p).Member
	checkpoint := func() {
		for _, m := range append([]string{p}, feed...) { // a replica's comes after the primary's
			_, _ = tr.SQL(tr.ctx, m, "postgres", "CHECKPOINT")
		}
	}
	_, err := tr.SQL(tr.ctx, p, "postgres", "CREATE TABLE pages AS SELECT n, repeat('x', 200) FROM generate_series(1, 2000) AS n")
	tr.check(t, err)
	_, err = tr.SQL(tr.ctx, p, "postgres", "VACUUM (FREEZE, ANALYZE) pages")
	tr.check(t, err)
	file, err := tr.SQL(tr.ctx, p, "postgres", "SELECT pg_relation_filepath('pages')")
	tr.check(t, err)
	tr.check(t, tr.Wait(tr.ctx, "a page that fits on "+r, func() (bool, string) {
		checkpoint()
		out, err := tr.CLI(tr.ctx, "integrity", "repair", r, "--relation", file, "--block", "1", "--dry-run")
		return err == nil, fmt.Sprint(out, err)
	}))
	data, err := damage.Open(tr.Data(r))
	tr.check(t, err, data.Edit(file, 1, true, func(p []byte) { p[len(p)-1] ^= 1 }))
	for _, by := range feed {
		if by == p {
			continue
		}
		done := make(chan struct{})
		go func() {
			defer close(done)
			_, _ = tr.CLI(tr.ctx, "integrity", "check", by, "--wait", "2m")
		}()
		tr.check(t, tr.Wait(tr.ctx, by+" to have compared", func() (bool, string) {
			checkpoint() // a difference counts once checkpoints have passed
			select {
			case <-done:
				return true, ""
			default:
				return false, ""
			}
		}))
	}
	suspect := file + " block 1 (content of " + r + ")"
	tr.check(t, tr.Wait(tr.ctx, "the problem", func() (bool, string) {
		out, err := tr.CLI(tr.ctx, "status")
		return strings.Contains(out, "DataSuspect") && strings.Contains(out, suspect), fmt.Sprint(out, err)
	}))
	tr.says(t, 0, []string{"integrity", "repair", r, "--relation", file, "--block", "1", "--yes"}, "compared again, it has the page of "+p)
	tr.check(t, tr.Wait(tr.ctx, "no evidence against "+r, func() (bool, string) {
		out, err := tr.CLI(tr.ctx, "status")
		shown, fails := tr.CLI(tr.ctx, "integrity", "show", "feed")
		return err == nil && fails == nil && !strings.Contains(out, "DataSuspect") && !strings.Contains(shown, "by comparison"),
			fmt.Sprint(out, shown, err, fails)
	}))
	tr.says(t, 0, []string{"switchover", "feed", "--to", r, "--yes"}, "switchover done")
	tr.healthy(t)
	if f := tr.frozen(t); f.Name != "" {
		t.Errorf("%s is frozen for a page that was mended: %+v", f.Name, f.Frozen)
	}
	tr.judge()
}
