package postgres

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"mainstay/health"
)

// TestLacks: a host that lacks the folder of a tablespace is known before its replica's replay ends there, and afterwards, until there is
// such a folder.
func TestLacks(t *testing.T) {
	ca, ctx := newAuthority(t), testContext(t)
	a := newPrimary(t, ca, "feed-e1")
	b, _ := newStandby(t, ca, "feed-w1", a)
	check(t, b.exec(ctx, "SELECT pg_wal_replay_pause()"))
	eventually(t, "the pause", func() bool { return mustStatus(t, b).PauseState == "paused" })
	fast := filepath.Join(filepath.Dir(a.Data), "fast")
	away := fast + ".away"
	check(t, a.Owner.makeDir(fast, 0o700))
	check(t, a.exec(ctx, "CREATE TABLESPACE fast LOCATION '"+fast+"'"))
	all := must(a.Tablespaces(nil))
	if len(all) != 1 || all[0].Location != fast || all[0].OID < 16384 {
		t.Fatalf("the primary has %+v", all)
	}
	if got := must(b.Tablespaces(nil)); len(got) > 0 {
		t.Errorf("the replica has %+v", got)
	}
	if got := must(b.Tablespaces(all)); !slices.Equal(got, all) || all[0].Folder == "" { // both are on one host
		t.Errorf("the replica will have %+v", got)
	}
	lacks := func(want ...string) {
		t.Helper()
		if got := b.Lacks(all); !slices.Equal(got, want) {
			t.Errorf("%q, want %q", got, want)
		}
	}
	lacks()
	check(t, os.Rename(fast, away)) // as on another host
	missing := fast + " (it does not exist)"
	lacks(missing)
	check(t, os.WriteFile(fast, nil, 0o600))
	lacks(fast + " (it is no folder)")
	check(t, os.Remove(fast))
	if os.Geteuid() == 0 {
		check(t, os.Mkdir(fast, 0o755))
		lacks(fast + " (it belongs to user 0)")
		check(t, os.Remove(fast))
	}

	check(t, b.exec(ctx, "SELECT pg_wal_replay_resume()"))
	eventually(t, "the end of its replay", func() bool { _, _, ok := b.Running(); return !ok })
	lacks(missing)
	check(t, b.Owner.makeDir(fast, 0o700))
	lacks()
	start(t, b, false)
	end := mustStatus(t, a).Flush
	eventually(t, "its replay", func() bool { return mustStatus(t, b).Replay >= end })
	check(t, os.RemoveAll(fast))
	lacks(missing) // its link leads nowhere
	kill(t, b)
	check(t, os.Rename(away, fast)) // for the primary

	moved := []health.Tablespace{{OID: all[0].OID, Location: fmt.Sprint(fast, "/elsewhere")}}
	if got := b.Lacks(moved); len(got) > 0 {
		t.Errorf("it has it in another place: %q", got)
	}
	if got := a.Lacks(append(all, health.Tablespace{OID: 1, Location: "/"})); a.Owner.UID != 0 && len(got) != 1 {
		t.Errorf("a folder of another user: %q", got)
	}
}
