package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"mainstay/health"
	"mainstay/test/kit"
)

// work is what the members' servers have had to do so far. Base backups are counted from logged on.
func (tr *trial) work(t *testing.T) kit.Work {
	t.Helper()
	var logs []string
	for _, h := range tr.Of(false) {
		logs = append(logs, filepath.Join(filepath.Dir(tr.Data(h.Member)), "postgresql.log"))
	}
	return kit.WorkOf(t, logs...)
}

// logged makes every member's server log what WorkOf counts, so long as it is not rewound or copied.
func (tr *trial) logged(t *testing.T) {
	t.Helper()
	for _, h := range tr.Of(false) {
		for _, statement := range []string{"ALTER SYSTEM SET log_replication_commands = on", "SELECT pg_reload_conf()"} {
			_, err := tr.SQL(tr.ctx, h.Member, "postgres", statement)
			tr.check(t, err)
		}
	}
}

// took says what work a situation may have taken.
func (tr *trial) took(t *testing.T, before, want kit.Work) {
	t.Helper()
	if got := tr.work(t).Since(before); got != want {
		t.Errorf("it took %+v, want %+v", got, want)
	}
}

// problems waits until exactly these kinds of those that it knows are problems, and returns their evidence.
func (tr *trial) problems(t *testing.T, what string, known []health.Kind, all bool) (evidence map[health.Kind]string) {
	t.Helper()
	tr.check(t, tr.Wait(tr.ctx, what, func() (bool, string) {
		s, err := tr.Status(tr.ctx)
		if err != nil {
			return false, err.Error()
		}
		evidence = map[health.Kind]string{}
		for _, p := range s.Problems {
			for _, k := range known {
				if p.Kind == k {
					evidence[k] = p.Member + ": " + p.Evidence
				}
			}
		}
		return len(evidence) == len(known) == all && (all || len(evidence) == 0), ""
	}))
	return evidence
}

// harmful: a tablespace on a path that the members of this machine share, and a managed setting that ALTER SYSTEM overrides, are problems
// soon, which the statements that they name end.
func (tr *trial) harmful(t *testing.T) {
	p := tr.primary(t)
	tr.logged(t)
	before := tr.work(t)
	run := func(statement string) {
		t.Helper()
		_, err := tr.SQL(tr.ctx, p, "postgres", statement)
		tr.check(t, err)
	}
	fast := filepath.Join(tr.Dir, "fast")
	owner, err := os.Stat(tr.Data(p))
	tr.check(t, err, os.Mkdir(fast, 0o700))
	tr.check(t, os.Lchown(fast, int(owner.Sys().(*syscall.Stat_t).Uid), -1))
	run("ALTER SYSTEM SET max_slot_wal_keep_size = '5GB'")
	run("SELECT pg_reload_conf()")
	run("CREATE TABLESPACE fast LOCATION '" + fast + "'")
	known, from := []health.Kind{health.TablespaceShared, health.SettingOverridden}, time.Now()
	said := tr.problems(t, "both problems", known, true)
	t.Logf("named after %s", time.Since(from).Round(time.Second))
	for kind, parts := range map[health.Kind][]string{
		health.TablespaceShared: {fast, p, "On " + p + ", move", "DROP TABLESPACE"},
		health.SettingOverridden: {p + ": ", "max_slot_wal_keep_size is 5GB and should be 10240MB",
			"ALTER SYSTEM RESET max_slot_wal_keep_size; SELECT pg_reload_conf();"},
	} {
		for _, part := range parts {
			if !strings.Contains(said[kind], part) {
				t.Errorf("%s says %q, without %q", kind, said[kind], part)
			}
		}
	}
	run("ALTER SYSTEM RESET max_slot_wal_keep_size")
	run("SELECT pg_reload_conf()")
	run("DROP TABLESPACE fast")
	tr.problems(t, "no such problem", known, false)
	// What commits wait for is Mainstay's: the agent removes another list without a start.
	run("ALTER SYSTEM SET synchronous_standby_names = ''")
	run("SELECT pg_reload_conf()")
	kit.Eventually(t, "the list of synchronous standbys to be Mainstay's again", func() bool {
		raw, err := os.ReadFile(filepath.Join(tr.Data(p), "postgresql.auto.conf"))
		tr.check(t, err)
		shown, err := tr.SQL(tr.ctx, p, "postgres", "SHOW synchronous_standby_names")
		tr.check(t, err)
		return !strings.Contains(string(raw), "synchronous_standby_names") && strings.Contains(shown, "ANY")
	})
	tr.healthy(t)
	tr.took(t, before, kit.Work{})
}
