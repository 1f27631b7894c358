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
