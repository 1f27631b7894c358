package e2e

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"mainstay/controller/platform"
	"mainstay/fencing"
	"mainstay/test/testbed"
)

// TestRemove: under load a replica is removed, its PostgreSQL runs on and nothing is missing; a failover works without it;
// it is added again with its data in place; then the whole cluster is removed, and every PostgreSQL runs on.
func TestRemove(t *testing.T) {
	t.Parallel()
	tr := begin(t, testbed.Options{Settings: []string{"durability: {acks: 1}"}})
	p := tr.primary(t)
	var replicas []string
	for _, h := range tr.Of(false) {
		if h.Member != p {
			replicas = append(replicas, h.Member)
		}
	}
	gone := replicas[1]
	running := tr.postmasters()

	tr.insists(t, 3, []string{"apply", "-f", tr.without(t, gone)}, gone+" would be removed", "--remove "+gone)
	tr.insists(t, 3, []string{"apply", "-f", tr.without(t, p), "--remove", p, "--yes"}, p+" is the primary", "mainstay switchover feed")
	tr.insists(t, 1, []string{"apply", "-f", tr.without(t, replicas...), "--remove", strings.Join(replicas, ",")},
		"durability.acks: 1 asked for, but the cluster has 0 replicas")
	mark := tr.load.Mark()
	tr.insists(t, 0, []string{"apply", "-f", tr.without(t, gone), "--remove", gone, "--yes"}, "- clusters[feed].members["+gone+"]", "applied")
	tr.letGo(t, gone)
	tr.healthy(t)
	if now := tr.postmasters(); now[gone] != running[gone] || now[p] != running[p] {
		t.Errorf("the removal touched PostgreSQL: postmasters %v, now %v", running, now)
	}
	if got := tr.sql(t, gone,
		"SELECT pg_is_in_recovery(), current_setting('primary_conninfo') = '', count(*) FROM pg_replication_slots"); got != "t|t|0" {
		t.Errorf("%s stands there, streaming from nobody and without slots: %s", gone, got)
	}
	report, err := tr.load.Report(mark)
	tr.check(t, err)
	if report.Tally.Acked == 0 {
		t.Error("nothing was acknowledged during the removal")
	}
	tr.healthy(t) // a busy machine may have changed its leader
	tr.insists(t, 0, []string{"diff", "-f", tr.without(t, gone)}, "nothing to change")

	tr.check(t, testbed.Signal(syscall.SIGKILL, tr.Postmaster(p)))
	tr.failedOver(t, p, fencing.Stopped, fencing.QuorumSealed)
	tr.healthy(t)
	if tr.Postmaster(gone) != running[gone] {
		t.Errorf("%s was touched by a failover it has no part in", gone)
	}
	if n := len(tr.Guards(gone)); n != 2 {
		t.Errorf("%s runs with %d guards, whose child it is", gone, n)
	}
	tr.check(t, testbed.Signal(syscall.SIGINT, running[gone]))
	tr.check(t, tr.Wait(tr.ctx, "the guards to end with a PostgreSQL that they do not guard any more", func() (bool, string) {
		return len(tr.Guards(gone)) == 0 && len(tr.Tree(gone)) == 0, ""
	}))

	tr.insists(t, 0, []string{"apply", "-f", tr.without(t), "--yes"}, "+ clusters[feed].members["+gone+"]", "applied")
	tr.healthy(t)
	c, err := tr.Cluster(tr.ctx)
	tr.check(t, err)
	if len(c.Members) != 3 || len(c.Sets) != 1 || len(c.Sets[0].Names) != 2 {
		t.Errorf("back again: %d members, sets %v", len(c.Members), c.Sets)
	}
	tr.judge()
	tr.clusterRemoved(t)
}

// clusterRemoved: paused first; then nobody renews a lease any more, and nothing happens to anybody.
func (tr *trial) clusterRemoved(t *testing.T) {
	t.Helper()
	p, none := tr.primary(t), strings.Split(tr.PlatformFile(), "clusters:")[0]
	file := filepath.Join(tr.Dir, "none.yaml")
	tr.check(t, os.WriteFile(file, []byte(none), 0o644))
	running := tr.postmasters()
	tr.insists(t, 3, []string{"apply", "-f", file, "--remove", "feed", "--yes"}, "mainstay pause feed")
	tr.insists(t, 0, []string{"pause", "feed", "--reason", "to be removed"})
	tr.check(t, tr.Wait(tr.ctx, "the guards to let go", func() (bool, string) {
		out, err := tr.CLI(tr.ctx, "apply", "-f", file, "--remove", "feed", "--yes")
		return err == nil, out
	}))
	var all []string
	for _, h := range tr.Of(false) {
		all = append(all, h.Member)
	}
	tr.letGo(t, all...)
	over := time.Now().Add(platform.CountOut(platform.DefaultLease))
	tr.check(t, tr.Wait(tr.ctx, "every lease to be over", func() (bool, string) {
		tr.sql(t, p, "CREATE TABLE IF NOT EXISTS after_all AS SELECT 1") // waits for an acknowledgement: replication goes on
		return time.Now().After(over), ""
	}))
	if now := tr.postmasters(); !maps.Equal(now, running) {
		t.Errorf("the removal touched PostgreSQL: postmasters %v, now %v", running, now)
	}
	if got := tr.sql(t, p, "SELECT count(*), bool_and(active) FROM pg_replication_slots"); got != "2|t" {
		t.Errorf("the primary keeps the slots that are used, and no other: %s", got)
	}
	for _, m := range slices.DeleteFunc(all, func(m string) bool { return m == p }) {
		if got := tr.sql(t, m, "SELECT count(*), current_setting('synchronous_standby_names') FROM pg_replication_slots"); got != "0|" {
			t.Errorf("%s keeps no slots, and would wait for nobody if it were promoted by hand: %s", m, got)
		}
	}
	if st, err := tr.Status(tr.ctx); err != nil || len(st.Clusters) != 0 {
		t.Errorf("%d clusters (%v)", len(st.Clusters), err)
	}
	tr.clusterBack(t, p, running)
}

// clusterBack: the same file again takes it in where it runs, under numbers that were never used.
func (tr *trial) clusterBack(t *testing.T, primary string, running map[string]int) {
	t.Helper()
	tr.insists(t, 0, []string{"apply", "-f", tr.without(t), "--yes"}, "+ clusters[feed]", "applied")
	tr.healthy(t)
	c, err := tr.Cluster(tr.ctx)
	tr.check(t, err)
	if now := tr.postmasters(); c.Primary != primary || c.Epoch.Number < 3 || !maps.Equal(now, running) {
		t.Errorf("primary %s (%s before), epoch %s, postmasters %v, now %v", c.Primary, primary, c.Epoch, running, now)
	}
	tr.sql(t, primary, "DROP TABLE after_all")
}

// insists asks again while a busy machine has no leader: `says`, of one that has.
func (tr *trial) insists(t *testing.T, code int, args []string, words ...string) {
	t.Helper()
	tr.check(t, tr.Wait(tr.ctx, "a leader", func() (bool, string) {
		_, err := tr.Status(tr.ctx)
		return err == nil, ""
	}))
	tr.says(t, code, args, words...)
}

// letGo waits until the agents of members have forgotten them, and no other member keeps a slot for them.
func (tr *trial) letGo(t *testing.T, members ...string) {
	t.Helper()
	for _, m := range members {
		kept := filepath.Join(tr.Dir, "agent-"+tr.Host(m).Name, "members", m+".json")
		tr.check(t, tr.Wait(tr.ctx, m+" to be let go of", func() (bool, string) {
			_, err := os.Stat(kept)
			return os.IsNotExist(err), kept + " is there"
		}))
	}
	if len(members) > 1 {
		return
	}
	slot := "mainstay_" + strings.ReplaceAll(members[0], "-", "_")
	for _, h := range tr.Of(false) {
		tr.check(t, tr.Wait(tr.ctx, "the slot to go", func() (bool, string) {
			return tr.sql(t, h.Member, "SELECT count(*) FROM pg_replication_slots WHERE slot_name = '"+slot+"'") == "0", h.Member + " has " + slot
		}))
	}
}

// without writes the platform file without some members, and returns its name.
func (tr *trial) without(t *testing.T, members ...string) string {
	t.Helper()
	var lines []string
	for line := range strings.Lines(tr.PlatformFile()) {
		if !slices.ContainsFunc(members, func(m string) bool { return strings.Contains(line, "{name: "+m+",") }) {
			lines = append(lines, line)
		}
	}
	file := filepath.Join(tr.Dir, "without-"+strings.Join(members, "-")+".yaml")
	tr.check(t, os.WriteFile(file, []byte(strings.Join(lines, "")), 0o644))
	return file
}

func (tr *trial) postmasters() map[string]int {
	pids := map[string]int{}
	for _, h := range tr.Of(false) {
		pids[h.Member] = tr.Postmaster(h.Member)
	}
	return pids
}

func (tr *trial) sql(t *testing.T, member, statement string) string {
	t.Helper()
	out, err := tr.SQL(tr.ctx, member, "postgres", statement)
	tr.check(t, err)
	return out
}
