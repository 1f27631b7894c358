package postgres

import (
	"database/sql"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// archiveWith lets a stopped server archive to a folder, in which nothing is overwritten, while its file up is there.
func archiveWith(t *testing.T, i *Server, archive, up string) {
	t.Helper()
	check(t, os.MkdirAll(archive, 0o777))
	check(t, os.Chmod(archive, 0o777))
	before := content(t, i.userConfig())
	put(t, i.userConfig(), before+fmt.Sprintf("\narchive_mode = on\narchive_command = 'test -e %[2]s && test ! -e %[1]s/%%f && "+
		"cp %%p %[1]s/%%f.part && mv %[1]s/%%f.part %[1]s/%%f'\nrestore_command = 'cp %[1]s/%%f %%p'\n", archive, up))
}

// TestUnarchived: what a lost primary had not archived is archived by the standby that takes its place, although the archive already has
// a segment that the former primary was not yet known to have archived, and refuses that. A restore gets past the failover.
func TestUnarchived(t *testing.T) {
	ca, ctx := newAuthority(t), testContext(t)
	a := newPrimary(t, ca, "feed-e1")
	stop(t, a)
	dir := filepath.Dir(a.Data)
	archive, up := filepath.Join(dir, "archive"), filepath.Join(dir, "up")
	put(t, up, "")
	archiveWith(t, a, archive, up)
	start(t, a, true)
	c, _ := newStandby(t, ca, "feed-w1", a) // restored from its archive later
	kill(t, c)
	b, s := newStandby(t, ca, "feed-e2", a)
	if got := mustStatus(t, b).Archiver; got != nil {
		t.Fatalf("a standby archives: %+v", got)
	}
	archived := func() []string { return entries(t, archive) }
	next := 2
	segment := func() string { // writes one
		t.Helper()
		name := ""
		check(t, a.with(ctx, func(c *sql.Conn) error {
			return c.QueryRowContext(ctx, "SELECT pg_walfile_name(pg_current_wal_insert_lsn())").Scan(&name)
		}))
		insert(t, a, next)
		next++
		check(t, a.exec(ctx, "SELECT pg_switch_wal()"))
		return name
	}
	first := segment()
	eventually(t, "the archive", func() bool { return slices.Contains(archived(), first) })
	eventually(t, "a report of that", func() bool { at := mustStatus(t, a).Archiver; return at.Archived == first && at.Waiting == 0 })
	until := mustStatus(t, a).Archiver.Until
	since := segment() // archived, and not reported any more
	eventually(t, "the archive", func() bool { return slices.Contains(archived(), since) })
	check(t, os.Remove(up))
	lost := []string{segment(), segment()}
	insert(t, a, next)
	end := mustStatus(t, a)
	if at := end.Archiver; at.Waiting < 2 || at.Until <= until {
		t.Errorf("first it had archived up to %s, then %+v", until, at)
	}
	eventually(t, "the replay", func() bool { return mustStatus(t, b).Replay >= end.Flush })
	kill(t, a)
	_, _, err := b.Seal(ctx, s)
	check(t, err)
	for _, name := range lost {
		if !exists(filepath.Join(b.wal().archiveStatus(), name+done)) {
			t.Errorf("the standby does not take %s for archived", name)
		}
	}
	put(t, up, "")
	var u Unarchived
	_, err = b.Promote(ctx, Promotion{Timeline: 4, Archived: until, Unarchived: func(told Unarchived) error { u = told; return nil },
		Arm: func() error { return nil }})
	check(t, err)
	gaps := []string{"00000002.history", "00000003.history"} // of attempts that ended before they promoted
	if want := slices.Concat([]string{since}, lost, gaps); !slices.Equal(u.Marked, want) || len(u.Missing) > 0 {
		t.Errorf("%+v, want %v", u, want)
	}
	_, err = b.Open(ctx, 4, true) // with a checkpoint, which removes WAL that is not needed
	check(t, err)
	var settled []string
	eventually(t, "the rest of the archive", func() bool {
		at := mustStatus(t, b).Archiver
		more, _, err := b.Archived(&u, *at)
		check(t, err)
		settled = append(settled, more...)
		return u.Empty() && at.Waiting == 0
	})
	if !slices.Equal(settled, []string{since}) {
		t.Errorf("refused in the end: %v, want %s", settled, since)
	}
	for _, name := range slices.Concat(lost, gaps) {
		if !slices.Contains(archived(), name) {
			t.Errorf("%s is not archived: %v", name, archived())
		}
	}
	insert(t, b, 99)
	check(t, b.exec(ctx, "SELECT pg_switch_wal()"))

	// The restore: from what it was before, by the archive alone.
	removePidFile(t, c)
	check(t, c.WriteSettings(ctx, Settings{}))
	start(t, c, false)
	eventually(t, "the restore of what was written after the failover", func() bool { return rows(t, c, 99) == 1 })
	for n := range next {
		if got := rows(t, c, n+1); got != 1 {
			t.Errorf("row %d: %d times", n+1, got)
		}
	}
}

// TestArchivedLater: what becomes of segments that the archive refuses: it may have them, or take nothing at that moment.
func TestArchivedLater(t *testing.T) {
	i, _ := bare(t)
	s := []string{"000000010000000000000004", "000000010000000000000005", "000000010000000000000006"}
	put(t, filepath.Join(i.wal().archiveStatus(), s[0]+ready), "")
	put(t, filepath.Join(i.wal().archiveStatus(), s[1]+done), "") // as a standby leaves it; the third has no mark
	for _, name := range s {
		put(t, filepath.Join(i.wal().dir(), name), "")
	}
	check(t, i.wal().mark(s, false))
	u := Unarchived{Marked: slices.Clone(s), Failures: 7}
	if _, changed, err := i.Archived(&u, Archiver{Failed: s[0], Failures: 7}); err != nil || changed || len(u.Refused) > 0 {
		t.Fatalf("a failure from before the promotion: %+v, %v, %v", u, changed, err)
	}
	later := "000000020000000000000007"
	for n, step := range []struct {
		failed          string
		archives        string // the archiver takes this one before
		marked, refused int
		settled         int
		changed         bool
	}{
		{failed: "", marked: 3},
		{failed: "00000002.history", marked: 3}, // the archive is away: nothing is known of these
		{failed: s[0], marked: 2, refused: 1, changed: true},
		{failed: s[0], marked: 2, refused: 1}, // the same failure
		{failed: s[1], marked: 1, refused: 2, changed: true},
		{failed: later, marked: 1, refused: 2, changed: true}, // it takes nothing
		{failed: later, marked: 1, refused: 2},
		{failed: "", marked: 3, changed: true}, // it does again
		{failed: s[0], marked: 2, refused: 1, changed: true},
		{failed: "", archives: s[1], marked: 1, settled: 1, changed: true}, // and others, so it has this one
		{failed: "", archives: s[2], changed: true},
	} {
		if step.archives != "" {
			check(t, i.wal().mark([]string{step.archives}, true))
		}
		settled, changed, err := i.Archived(&u, Archiver{Failed: step.failed, Failures: 8})
		check(t, err)
		if len(u.Marked) != step.marked || len(u.Refused) != step.refused || len(settled) != step.settled || changed != step.changed {
			t.Fatalf("step %d: %+v, settled %v, changed %v; want %+v", n, u, settled, changed, step)
		}
		status := entries(t, i.wal().archiveStatus())
		for _, name := range s {
			if want := slices.Contains(u.Marked, name); slices.Contains(status, name+ready) != want || slices.Contains(status, name+done) == want {
				t.Fatalf("step %d: %v in the folder, %+v", n, status, u)
			}
		}
	}
	if !u.Empty() {
		t.Errorf("left: %+v", u)
	}
}
