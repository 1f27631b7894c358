package e2e

import (
	"bytes"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"mainstay/controller/state"
	"mainstay/controller/wire"
	"mainstay/health"
	"mainstay/test/damage"
	"mainstay/test/testbed"
)

// TestDamage: a page of a replica is damaged on its disk. A scan finds it; PostgreSQL does when it reads it. From then on the member is
// excluded, until it has a whole copy of the primary's data, and the damaged data is kept as evidence (S5).
func TestDamage(t *testing.T) { damaged(t, "") }

func damaged(t *testing.T, binaries string) {
	tr := begin(t, testbed.Options{Members: 3, Binaries: binaries})
	p := tr.primary(t)
	r := tr.replicaOf(p).Member
	const rows = 2000
	sql := func(member, text string) string {
		out, err := tr.SQL(tr.ctx, member, "postgres", text)
		tr.check(t, err)
		return out
	}
	sql(p, fmt.Sprintf("CREATE TABLE pages AS SELECT n, repeat('x', 200) FROM generate_series(1, %d) AS n", rows))
	sql(p, "CHECKPOINT")
	file := sql(p, "SELECT pg_relation_filepath('pages')")
	tr.check(t, tr.Wait(tr.ctx, r+" to have the table", func() (bool, string) {
		out, err := tr.SQL(tr.ctx, r, "postgres", "SELECT count(*) FROM pages")
		return out == fmt.Sprint(rows), fmt.Sprint(out, err)
	}))
	sql(r, "CHECKPOINT") // a restart replays from here, so it does not write the page again
	tr.says(t, 0, []string{"integrity", "scan", tr.Data(r)}, "no damage found")
	tr.says(t, 3, []string{"integrity", "clear", "feed", r, "--reason", "test", "--yes"}, "nothing is known against the data of "+r)
	flip(t, filepath.Join(tr.Data(r), file))
	tr.says(t, 1, []string{"integrity", "scan", tr.Data(r)}, file, "checksum", "damaged 1")

	tr.check(t, testbed.Signal(syscall.SIGKILL, tr.Postmaster(r))) // its cache is gone, so the page is read from its disk
	tr.check(t, tr.Wait(tr.ctx, "PostgreSQL on "+r+" to read the page, and the history to say so", func() (bool, string) {
		_, err := tr.SQL(tr.ctx, r, "postgres", "SELECT count(*) FROM pages")
		op, last := tr.Last(tr.ctx, state.Verdict)
		return last == nil && op.To == r, fmt.Sprint(err, last)
	}))
	tr.says(t, 0, []string{"history", "feed"}, "the data of "+r+" is damaged",
		"pages that do not match their checksums: "+file+" block 1 (checksum)")
	tr.check(t, tr.Wait(tr.ctx, r+" to have a copy of the primary's data", func() (bool, string) {
		op, err := tr.Last(tr.ctx, state.Rejoin)
		return err == nil && op.To == r && op.Result == state.Done, fmt.Sprint(op, err)
	}))
	tr.healthy(t)
	if out := sql(r, "SELECT count(*) FROM pages"); out != fmt.Sprint(rows) {
		t.Errorf("%s has %s of %d rows", r, out, rows)
	}
	piece := tr.onlyPiece(t, r)
	tr.says(t, 1, []string{"integrity", "scan", piece.Place}, file, "checksum", "damaged: 1 finding, 1 of them settled")
	tr.says(t, 0, []string{"integrity", "scan", tr.Data(r)}, "no damage found")
	tr.judge()
}

// TestDamageFoundByScan: a page of a replica is damaged on its disk, and no client asks for it. The agent's scan reads it: the member is
// excluded, and rebuilt.
func TestDamageFoundByScan(t *testing.T) {
	tr := begin(t, testbed.Options{Members: 3, AgentLines: []string{"integrity: {every: 2s, rate: 200}"}})
	p := tr.primary(t)
	r := tr.replicaOf(p).Member
	sql := func(member, text string) string {
		out, err := tr.SQL(tr.ctx, member, "postgres", text)
		tr.check(t, err)
		return out
	}
	sql(p, "CREATE TABLE pages AS SELECT n, repeat('x', 200) FROM generate_series(1, 2000) AS n")
	sql(p, "CHECKPOINT")
	file := sql(p, "SELECT pg_relation_filepath('pages')")
	tr.check(t, tr.Wait(tr.ctx, r+" to have the table", func() (bool, string) {
		out, err := tr.SQL(tr.ctx, r, "postgres", "SELECT to_regclass('pages') IS NOT NULL")
		return out == "t", fmt.Sprint(out, err)
	}))
	sql(r, "CHECKPOINT")
	tr.check(t, tr.Wait(tr.ctx, "a scan of every member", func() (bool, string) {
		out, err := tr.CLI(tr.ctx, "integrity", "show", "feed")
		return err == nil && strings.Count(out, "no damage found") == 3, fmt.Sprint(out, err)
	}))

	flip(t, filepath.Join(tr.Data(r), file))
	tr.check(t, tr.Wait(tr.ctx, "the verdict on "+r, func() (bool, string) {
		for _, member := range []string{p, r} { // what was found is settled by a restartpoint
			if _, err := tr.SQL(tr.ctx, member, "postgres", "CHECKPOINT"); err != nil {
				break // it is being rebuilt
			}
		}
		op, err := tr.Last(tr.ctx, state.Verdict)
		return err == nil && op.To == r, fmt.Sprint(op, err)
	}))
	tr.says(t, 0, []string{"history", "feed"}, "the data of "+r+" is damaged: a scan found damage: "+file+" block 1 (checksum)")
	shown := false
	tr.check(t, tr.Wait(tr.ctx, r+" to have a copy of the primary's data", func() (bool, string) {
		out, err := tr.CLI(tr.ctx, "integrity", "show", "feed")
		shown = shown || err == nil && strings.Contains(out, "damaged (excluded)")
		op, err := tr.Last(tr.ctx, state.Rejoin)
		return err == nil && op.To == r && op.Result == state.Done, fmt.Sprint(op, err)
	}))
	if !shown {
		t.Error("integrity show did not say that it is excluded")
	}
	tr.healthy(t)
	tr.check(t, tr.Wait(tr.ctx, "a scan of the copy", func() (bool, string) {
		out, err := tr.CLI(tr.ctx, "integrity", "show", "feed")
		return err == nil && strings.Count(out, "no damage found") == 3, fmt.Sprint(out, err)
	}))
	tr.says(t, 1, []string{"integrity", "scan", tr.onlyPiece(t, r).Place}, file, "checksum")
	tr.judge()
}

// TestDamagedPrimaryIsLeft: a page of the primary is damaged on its disk. Where the platform file says so, its role moves to a replica
// whose files were all read since without a finding; it is then rebuilt from that one (S5).
func TestDamagedPrimaryIsLeft(t *testing.T) {
	t.Parallel()
	tr := begin(t, testbed.Options{Members: 3, AgentLines: []string{"integrity: {every: 2s, rate: 200}"},
		Settings: []string{"durability: {acks: 1}", "failover: {on-corruption: automatic}"}})
	p := tr.primary(t)
	sql := func(member, text string) string {
		out, err := tr.SQL(tr.ctx, member, "postgres", text)
		tr.check(t, err)
		return out
	}
	sql(p, "CREATE TABLE pages AS SELECT n, repeat('x', 200) FROM generate_series(1, 2000) AS n")
	sql(p, "VACUUM (FREEZE, ANALYZE) pages") // nothing changes them any more
	sql(p, "CHECKPOINT")
	flip(t, filepath.Join(tr.Data(p), sql(p, "SELECT pg_relation_filepath('pages')")))
	tr.check(t, tr.Wait(tr.ctx, "a switchover away from "+p, func() (bool, string) {
		for _, m := range []string{"feed-e1", "feed-e2", "feed-w1"} { // a checkpoint settles what a scan has found
			_, _ = tr.SQL(tr.ctx, m, "postgres", "CHECKPOINT")
		}
		op, err := tr.Last(tr.ctx, state.Switchover)
		return err == nil && op.Result == state.Done && op.From == p && op.By == "mainstay", fmt.Sprint(op, err)
	}))
	tr.says(t, 0, []string{"history", "feed"}, "PrimaryCorrupt: the data of "+p+" is damaged, and all files of ")
	tr.check(t, tr.Wait(tr.ctx, p+" to have a copy of the new primary's data", func() (bool, string) {
		op, err := tr.Last(tr.ctx, state.Rejoin)
		return err == nil && op.To == p && op.Result == state.Done, fmt.Sprint(op, err)
	}))
	tr.healthy(t)
	if now := tr.primary(t); now == p {
		t.Errorf("%s still leads", p)
	}
	if out := sql(p, "SELECT count(*) FROM pages"); out != "2000" {
		t.Errorf("%s has %s rows", p, out)
	}
	tr.says(t, 0, []string{"integrity", "scan", tr.Data(p)}, "no damage found")
	tr.says(t, 1, []string{"integrity", "scan", tr.onlyPiece(t, p).Place}, "checksum")
	tr.judge()
}

// TestLostWriteFoundByComparison: the disk of a replica has lost a write, behind a right checksum. A comparison of the members names it,
// and it is rebuilt (S5).
func TestLostWriteFoundByComparison(t *testing.T) {
	t.Parallel()
	tr := begin(t, testbed.Options{Members: 3, AgentLines: []string{"integrity: {every: 2s, rate: 200}"}})
	p := tr.primary(t)
	r := tr.replicaOf(p).Member
	tr.loseWrite(t, p, r)
	tr.says(t, 0, []string{"integrity", "scan", tr.Data(r)}, "no damage found") // its checksum is right

	said, done := "", make(chan struct{})
	go func() {
		defer close(done)
		said, _ = tr.CLI(tr.ctx, "integrity", "check", "feed", "--depth", "compare", "--wait", "3m")
	}()
	tr.check(t, tr.Wait(tr.ctx, "the verdict on "+r, func() (bool, string) {
		for _, m := range feed { // a difference counts once checkpoints have passed
			if _, err := tr.SQL(tr.ctx, m, "postgres", "CHECKPOINT"); err != nil {
				break // it is being rebuilt
			}
		}
		op, err := tr.Last(tr.ctx, state.Verdict)
		return err == nil && op.To == r, fmt.Sprint(op, err)
	}))
	<-done
	if !strings.Contains(said, "lost write") || !strings.Contains(said, r) {
		t.Errorf("the check says:\n%s", said)
	}
	tr.says(t, 0, []string{"history", "feed"}, "the data of "+r+" is damaged: a comparison of the members found damage: ",
		"block 1 (lost write)")
	tr.check(t, tr.Wait(tr.ctx, r+" to have a copy of the primary's data", func() (bool, string) {
		op, err := tr.Last(tr.ctx, state.Rejoin)
		return err == nil && op.To == r && op.Result == state.Done, fmt.Sprint(op, err)
	}))
	tr.healthy(t)
	tr.judge()
}

// TestIncrementalComparison: a comparison of what has changed finds the write that a disk has lost since the last one, and not what has
// happened to a page at rest: it says that such pages were not read again. A comparison of all pages finds both.
func TestIncrementalComparison(t *testing.T) {
	t.Parallel()
	tr := begin(t, testbed.Options{Members: 2, AgentLines: []string{"integrity: {every: off, rate: 1000}"}})
	p := tr.primary(t)
	r := tr.replicaOf(p).Member
	sql := func(member, text string) string {
		t.Helper()
		out, err := tr.SQL(tr.ctx, member, "postgres", text)
		tr.check(t, err)
		return out
	}
	written := func() {
		t.Helper()
		sql(p, "CHECKPOINT")
		end := sql(p, "SELECT pg_current_wal_flush_lsn()")
		tr.check(t, tr.Wait(tr.ctx, r+" to have everything", func() (bool, string) {
			out, err := tr.SQL(tr.ctx, r, "postgres", "SELECT pg_last_wal_replay_lsn() >= '"+end+"'")
			return out == "t", fmt.Sprint(out, err)
		}))
		sql(r, "CHECKPOINT")
	}
	compare := func(more ...string) (said string) {
		t.Helper()
		done := make(chan struct{})
		go func() {
			defer close(done)
			said, _ = tr.CLI(tr.ctx, append([]string{"integrity", "check", "feed", "--wait", "3m"}, more...)...)
		}()
		tr.check(t, tr.Wait(tr.ctx, "the comparison", func() (bool, string) {
			for _, m := range []string{p, r} { // a difference counts once checkpoints have passed
				_, err := tr.SQL(tr.ctx, m, "postgres", "CHECKPOINT")
				tr.check(t, err)
			}
			select {
			case <-done:
				return true, ""
			default:
				return false, "it runs"
			}
		}))
		return said
	}
	for _, table := range []string{"pages", "calm"} {
		sql(p, "CREATE TABLE "+table+" AS SELECT n, repeat('x', 200) AS v FROM generate_series(1, 2000) AS n")
		sql(p, "VACUUM (FREEZE, ANALYZE) "+table)
	}
	pages, calm := sql(p, "SELECT pg_relation_filepath('pages')"), sql(p, "SELECT pg_relation_filepath('calm')")
	written()
	if said := compare(); !strings.Contains(said, "no difference found") || strings.Contains(said, "not read again") {
		t.Fatalf("the first comparison says:\n%s", said)
	}
	data, err := damage.Open(tr.Data(r))
	tr.check(t, err)
	before, err := data.Page(pages, 1)
	tr.check(t, err)
	sql(p, "UPDATE pages SET v = repeat('y', 200) WHERE ctid = '(1,1)'")
	written()
	tr.check(t, data.Edit(pages, 1, false, func(page []byte) { copy(page, before) }))
	tr.check(t, data.Edit(calm, 1, true, func(page []byte) { page[len(page)-20] ^= 1 }))
	said := compare("--incremental")
	if !strings.Contains(said, "lost write") || !strings.Contains(said, pages) || strings.Contains(said, calm) ||
		!strings.Contains(said, "not read again, since no WAL has changed them") || !strings.Contains(said, "last read up to") {
		t.Errorf("the incremental comparison says:\n%s", said)
	}
	said = compare()
	if !strings.Contains(said, "lost write") || !strings.Contains(said, calm) || strings.Contains(said, "not read again") {
		t.Errorf("the last comparison says:\n%s", said)
	}
	tr.judge()
}

// feed are the members of a testbed of three.
var feed = []string{"feed-e1", "feed-e2", "feed-w1"}

// loseWrite makes a table on primary p, and gives a member's file of it the second page back that was there before the last change, with
// its checksum. All members have written out that change.
func (tr *trial) loseWrite(t *testing.T, p, member string) {
	t.Helper()
	sql := func(member, text string) string {
		t.Helper()
		out, err := tr.SQL(tr.ctx, member, "postgres", text)
		tr.check(t, err)
		return out
	}
	same := func(want string) {
		t.Helper()
		for _, m := range feed {
			tr.check(t, tr.Wait(tr.ctx, m+" to have "+want, func() (bool, string) {
				out, err := tr.SQL(tr.ctx, m, "postgres", "SELECT max(v) FROM pages")
				return out == want, fmt.Sprint(out, err)
			}))
			sql(m, "CHECKPOINT")
		}
	}
	sql(p, "CREATE TABLE pages AS SELECT n, 1 AS v, repeat('x', 200) FROM generate_series(1, 2000) AS n")
	sql(p, "ALTER TABLE pages SET (fillfactor = 50, autovacuum_enabled = off)")
	sql(p, "VACUUM FULL pages")
	sql(p, "CHECKPOINT")
	same("1")
	file := filepath.Join(tr.Data(member), sql(member, "SELECT pg_relation_filepath('pages')"))
	before := block(t, file)
	sql(p, "UPDATE pages SET v = 2")
	sql(p, "CHECKPOINT")
	same("2")
	if bytes.Equal(before, block(t, file)) {
		t.Fatal("the update has changed nothing in the page")
	}
	tr.rotten(t, file, before)
}

// rotten gives a file its second page of before. What a server has in its cache stays as it is.
func (tr *trial) rotten(t *testing.T, file string, page []byte) {
	t.Helper()
	f, err := os.OpenFile(file, os.O_WRONLY, 0)
	tr.check(t, err)
	_, err = f.WriteAt(page, damagedAt)
	tr.check(t, err, f.Sync(), f.Close())
}

// damagedAt is where the second page of a file begins.
const damagedAt = 8192

func block(t *testing.T, path string) []byte {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	b := make([]byte, 8192)
	if _, err := f.ReadAt(b, damagedAt); err != nil {
		t.Fatal(err)
	}
	return b
}

// flip changes a byte in the middle of the second page of a file.
func flip(t *testing.T, path string) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	b := make([]byte, 1)
	const at = damagedAt + 5000
	if _, err := f.ReadAt(b, at); err != nil {
		t.Fatal(err)
	}
	b[0] ^= 0xff
	if _, err := f.WriteAt(b, at); err != nil {
		t.Fatal(err)
	}
	if err := f.Sync(); err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(filepath.Base(filepath.Dir(filepath.Dir(path))), "base") {
		t.Fatalf("%s is no table of a database", path)
	}
}

// TestScheduledChecks: the platform file's schedule has members compared and their structure checked, one check at a time; `integrity show`
// says when. The results outlive the agents' processes, and nothing begins while the cluster is paused.
func TestScheduledChecks(t *testing.T) {
	t.Parallel()
	tr := begin(t, testbed.Options{Members: 3, AgentLines: []string{"integrity: {every: off, rate: 400}"},
		Settings: []string{"integrity: {compare: {every: 2s, share: 90}, structure: {every: 4s, rate: 300}}"}})
	p := tr.primary(t)
	all := []string{"feed-e1", "feed-e2", "feed-w1"}
	planned := func() (checks []health.PlannedCheck, text string) {
		var st wire.Status
		if err := tr.Client().Do(tr.ctx, http.MethodGet, "/v1/status", nil, &st); err != nil || len(st.Clusters) != 1 {
			return nil, fmt.Sprint(err)
		}
		return st.Clusters[0].Checks, fmt.Sprintf("%+v", st.Clusters[0].Checks)
	}
	done := func(least int64) func() (bool, string) {
		return func() (bool, string) {
			for _, m := range all { // time passes, and with it checkpoints
				_, _ = tr.SQL(tr.ctx, m, "postgres", "CHECKPOINT")
			}
			checks, text := planned()
			running := 0
			for _, c := range checks {
				if c.Running {
					running++
				}
			}
			if running > 1 {
				t.Errorf("more than one check at a time: %s", text)
			}
			return len(checks) == 4 && !slices.ContainsFunc(checks, func(c health.PlannedCheck) bool {
				return c.DoneMS == 0 || least > 0 && c.DoneMS < least
			}), text
		}
	}
	tr.check(t, tr.Wait(tr.ctx, "each check to be made once", done(0)))
	checks, _ := planned()
	if checks[0].Depth != "compare" || checks[0].By == p || checks[3].Member != p {
		t.Errorf("the order, or who compares: %+v", checks)
	}
	tr.says(t, 0, []string{"integrity", "show", "feed"}, "all members", "compare", "structure", "(every 2s)", "were compared")
	tr.says(t, 0, []string{"pause", "feed", "--reason", "a test"}, "paused feed")
	tr.check(t, tr.Wait(tr.ctx, "no check to begin any more", func() (bool, string) {
		checks, text := planned()
		return len(checks) == 4 && strings.Contains(checks[0].Hold, "paused") && strings.Contains(checks[3].Hold, "paused"), text
	}))
	for _, h := range []string{"db-e1", "db-e2", "db-w1"} {
		tr.check(t, tr.Kill("agent "+h, syscall.SIGKILL), tr.StartAgent(h))
	}
	tr.check(t, tr.Wait(tr.ctx, "the agents to tell of what earlier ones have shown", func() (bool, string) {
		checks, text := planned()
		return len(checks) == 4 && !slices.ContainsFunc(checks, func(c health.PlannedCheck) bool { return c.DoneMS == 0 || c.Running }), text
	}))
	tr.says(t, 0, []string{"integrity", "show", "feed"}, "the cluster is paused", "were compared")
	tr.says(t, 0, []string{"resume", "feed"}, "resuming feed")
	before, _ := planned()
	tr.check(t, tr.Wait(tr.ctx, "a comparison after the pause", func() (bool, string) {
		for _, m := range all {
			_, _ = tr.SQL(tr.ctx, m, "postgres", "CHECKPOINT")
		}
		checks, text := planned()
		return len(checks) == 4 && checks[0].DoneMS > 0 && checks[0].DoneMS < before[0].DoneMS, text
	}))
	tr.healthy(t)
	tr.judge()
}
