package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"mainstay/controller/state"
	"mainstay/controller/wire"
	"mainstay/fencing"
	"mainstay/health"
	"mainstay/test/testbed"
)

// TestAdopt takes over a PostgreSQL that a user made and runs: without a restart, and without a change of the user's files.
// A third, empty host becomes a replica. Then everything works as on a cluster of our own.
func TestAdopt(t *testing.T) {
	t.Parallel()
	adopt(t, "")
}

func adopt(t *testing.T, binaries string) {
	dir := folder(t)
	own := map[string]testbed.Own{"feed-w1": {Agent: "{" + ownReplication(dir) + "}"}}
	for _, m := range []string{"feed-e1", "feed-e2"} {
		o := ownPaths(dir, m)
		o.Agent = ownAgent(dir, o, true)
		own[m] = o
	}
	tr := build(t, testbed.Options{Dir: dir, Own: own, Binaries: binaries})
	a := &adoption{ownUser: newOwnUser(t, tr)}
	a.initdb(t, "feed-e1", ownRules, nil, "-k")
	a.start(t, "feed-e1")
	a.role(t, "feed-e1")
	a.sql(t, "feed-e1", "CREATE TABLE mine AS SELECT generate_series(1, 1000) AS n")
	a.sql(t, "feed-e1", "ALTER SYSTEM SET work_mem = '6MB'")
	a.standby(t, "feed-e1", "feed-e2")
	a.before = a.files(t, "feed-e1", "feed-e2")
	tr.steps(t, []step{
		{"without a restart", a.taken}, {"what waits for the restart", a.waits},
		{"switchover to a member that was not restarted yet", a.handedOver}, {"first restart under us", a.restarted},
		{"crash of a primary that was not restarted yet", a.crashed}, {"switchover to the clone", a.toClone},
	})
	a.unchanged(t, a.before)
	if n := a.sql(t, "feed-w1", "SELECT count(*) FROM mine"); n != "1000" {
		t.Errorf("the user's table has %s rows, want 1000", n)
	}
	tr.judge()
}

// adoption is what the steps of TestAdopt share.
type adoption struct {
	*ownUser
	before map[string]string // the user's files
}

func (a *adoption) taken(t *testing.T) {
	pids := map[string]int{"feed-e1": a.Postmaster("feed-e1"), "feed-e2": a.Postmaster("feed-e2")}
	a.check(t, a.Start(a.ctx))
	for member, pid := range pids {
		if now := a.Postmaster(member); pid == 0 || now != pid {
			t.Errorf("postmaster of %s was %d and is %d: it was restarted", member, pid, now)
		}
	}
	a.unchanged(t, a.before)
	c, err := a.Cluster(a.ctx)
	a.check(t, err)
	if c.Primary != "feed-e1" || len(c.Sets) != 1 || c.Sets[0].Acks != 1 || len(c.Sets[0].Names) != 2 {
		t.Errorf("primary %s, durability sets %+v; want feed-e1 and one settled set of two", c.Primary, c.Sets)
	}
	op, err := a.Last(a.ctx, state.Adoption)
	a.check(t, err)
	if op.To != "feed-e1" || op.Result != state.Done {
		t.Errorf("history of the adoption: %+v", op)
	}
	a.clients()
}

// waits: what a running instance cannot be given is said, until its restart.
func (a *adoption) waits(t *testing.T) {
	c, err := a.Cluster(a.ctx)
	a.check(t, err)
	if c.Guarded {
		t.Error("the epoch of the adoption counts as guarded: the end of its lease would prove something")
	}
	for _, m := range c.Members {
		if waits := strings.Join(m.Seen.PendingRestart, " "); m.Name != "feed-w1" && !strings.Contains(waits, "cluster_name") {
			t.Errorf("%s: settings that wait for a restart: %q, want cluster_name among them", m.Name, waits)
		}
	}
	a.sees(t, "PendingRestart", "it needs a restart for ", "cluster_name, wal_log_hints")
	if out, err := a.CLI(a.ctx, "status"); err != nil || !strings.Contains(out, "no guard covered the start of this epoch") {
		t.Errorf("status: %v\n%s", err, out)
	}
}

// handedOver: feed-e2 still runs as the user started it.
func (a *adoption) handedOver(t *testing.T) {
	pid := a.Postmaster("feed-e2")
	a.move(t, "feed-e2")
	if now := a.Postmaster("feed-e2"); now != pid {
		t.Errorf("feed-e2 was restarted for its promotion: postmaster %d, now %d", pid, now)
	}
	c, err := a.Cluster(a.ctx)
	a.check(t, err)
	if !c.Guarded {
		t.Error("an epoch begun under a complete guard does not count as guarded")
	}
}

func (a *adoption) move(t *testing.T, to string) {
	t.Helper()
	if out, err := a.CLI(a.ctx, "switchover", "feed", "--to", to, "--yes"); err != nil {
		t.Fatalf("switchover: %v\n%s", err, out)
	}
	if p := a.primary(t); p != to {
		t.Errorf("%s is primary, want %s", p, to)
	}
}

// restarted: feed-e1 was stopped for the switchover, and was started by us.
func (a *adoption) restarted(t *testing.T) {
	a.underUs(t, "feed-e1")
	a.unchanged(t, a.before)
}

func (a *adoption) underUs(t *testing.T, member string) {
	t.Helper()
	cmdline, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", a.Postmaster(member)))
	a.check(t, err)
	conf := filepath.Join(a.Dir, "agent-"+a.Host(member).Name, "members", member, "conf", "postgresql.conf")
	if !strings.Contains(string(cmdline), "config_file="+conf) {
		t.Errorf("%s runs as %q, not on our configuration", member, cmdline)
	}
	auto, err := os.ReadFile(filepath.Join(a.Data(member), "postgresql.auto.conf"))
	a.check(t, err)
	for _, key := range postgresKeys {
		if strings.Contains(string(auto), key) {
			t.Errorf("postgresql.auto.conf of %s still sets %s", member, key)
		}
	}
	for name, want := range map[string]string{
		"hba_file": filepath.Join(a.Data(member), "pg_hba.conf"), "ident_file": filepath.Join(a.Data(member), "pg_ident.conf"),
		"listen_addresses": a.Host(member).Address, "unix_socket_directories": a.Socket(member), "cluster_name": member,
		"max_wal_senders": "20", "max_replication_slots": "24", "max_connections": "60", "work_mem": "6MB", "ssl": "on", "wal_log_hints": "on",
	} {
		if got := a.sql(t, member, "SHOW "+name); got != want {
			t.Errorf("%s of %s is %q, want %q", name, member, got, want)
		}
	}
	c, err := a.Cluster(a.ctx)
	a.check(t, err)
	for _, m := range c.Members {
		if m.Name == member && len(m.Seen.PendingRestart) > 0 {
			t.Errorf("%s still waits for a restart: %v", member, m.Seen.PendingRestart)
		}
	}
}

// postgresKeys stand in postgresql.auto.conf of an adopted instance until it is restarted.
var postgresKeys = []string{"synchronous_standby_names", "primary_conninfo", "primary_slot_name", "restart_after_crash",
	"wal_receiver_timeout", "max_slot_wal_keep_size"}

// crashed: feed-e2 leads and still runs as the user started it. It must come back as a replica by itself.
func (a *adoption) crashed(t *testing.T) {
	a.check(t, testbed.Signal(syscall.SIGKILL, a.Postmaster("feed-e2")))
	a.failedOver(t, "feed-e2", fencing.Stopped, fencing.QuorumSealed)
	a.healthy(t)
	a.underUs(t, "feed-e2")
	a.unchanged(t, a.before)
}

// toClone: the copy on the third host has the user's configuration and none of the places of its source.
func (a *adoption) toClone(t *testing.T) {
	if a.primary(t) != "feed-w1" {
		a.move(t, "feed-w1")
	}
	for name, want := range map[string]string{
		"listen_addresses": a.Host("feed-w1").Address, "data_directory": a.Data("feed-w1"), "unix_socket_directories": a.Socket("feed-w1"),
		"max_wal_senders": "20", "max_connections": "60", "work_mem": "6MB",
	} {
		if got := a.sql(t, "feed-w1", "SHOW "+name); got != want {
			t.Errorf("%s of the clone is %q, want %q", name, got, want)
		}
	}
	op, err := a.Last(a.ctx, state.Switchover)
	a.check(t, err)
	if op.Result != state.Done || op.Loss != "" {
		t.Errorf("the last switchover: %+v", op)
	}
}

// TestAdoptRefused goes through what speaks against an adoption, one after the other as a user would mend it. Each time
// status and explain say it, and nothing is changed; when all is mended the adoption follows by itself.
func TestAdoptRefused(t *testing.T) {
	dir := folder(t)
	own := map[string]testbed.Own{}
	for _, m := range []string{"feed-e1", "feed-e2"} {
		o := ownPaths(dir, m)
		o.Agent = ownAgent(dir, o, false)
		own[m] = o
	}
	tr := build(t, testbed.Options{Dir: dir, Own: own, Members: 2})
	r := &refusals{ownUser: newOwnUser(t, tr)}
	r.initdb(t, "feed-e1", "", nil)
	r.initdb(t, "feed-e2", ownRules, nil, "-k")
	r.start(t, "feed-e1")
	r.start(t, "feed-e2")
	r.before = r.files(t, "feed-e1", "feed-e2")
	tr.must(tr.Boot(tr.ctx))
	tr.must(tr.Apply(tr.ctx))
	tr.steps(t, []step{
		{"two primaries", r.twoPrimaries}, {"adopt is not set", r.notSet}, {"role, access, checksums", r.lacks},
		{"another system identifier", r.otherSystem}, {"foreign directory", r.foreign}, {"empty directory", r.empty}, {"all mended", r.mended},
	})
}

// refusals is what the steps of TestAdoptRefused share.
type refusals struct {
	*ownUser
	before map[string]string
}

// refused waits for the words, and makes sure that nothing was begun.
func (r *refusals) refused(t *testing.T, words ...string) {
	t.Helper()
	r.sees(t, append([]string{string(health.NotAdoptable)}, words...)...)
	c, err := r.Cluster(r.ctx)
	r.check(t, err)
	if c.Primary != "" {
		t.Fatalf("%s was adopted all the same", c.Primary)
	}
	var h wire.HistoryAnswer
	client := r.Client()
	defer client.Close()
	r.check(t, client.Do(r.ctx, "GET", "/v1/clusters/feed/history", nil, &h))
	if len(h.Operations) > 0 {
		t.Errorf("history has %+v", h.Operations)
	}
	r.unchanged(t, r.before)
	for _, m := range []string{"feed-e1", "feed-e2"} {
		if auto, err := os.ReadFile(filepath.Join(r.Data(m), "postgresql.auto.conf")); err == nil && strings.Contains(string(auto), "=") {
			t.Errorf("postgresql.auto.conf of %s was changed:\n%s", m, auto)
		}
		if _, err := os.Stat(filepath.Join(r.Data(m), "standby.signal")); err == nil {
			t.Errorf("%s has a standby.signal", m)
		}
	}
}

func (r *refusals) twoPrimaries(t *testing.T) {
	r.refused(t, "two primaries run: feed-e1, feed-e2; stop all but the right one")
}

func (r *refusals) notSet(t *testing.T) {
	r.stop(t, "feed-e2")
	r.refused(t, "feed-e1 cannot be adopted", "set members.feed-e1.adopt: true in the agent's file")
}

func (r *refusals) lacks(t *testing.T) {
	for _, m := range []string{"feed-e1", "feed-e2"} {
		o, host := r.Own[m], r.Host(m).Name
		o.Agent = ownAgent(r.Dir, o, true)
		r.Own[m] = o
		r.check(t, r.Rewrite(), r.Kill("agent "+host, syscall.SIGTERM), r.StartAgent(host))
	}
	r.refused(t, "role repl does not exist", "CREATE ROLE", "pg_hba.conf lets repl replicate from nowhere",
		"replication repl all scram-sha-256",
		"neither data checksums nor wal_log_hints are on")
}

// otherSystem: feed-e2 lies stopped, of a database of its own.
func (r *refusals) otherSystem(t *testing.T) {
	r.role(t, "feed-e1")
	r.stop(t, "feed-e1")
	r.configure(t, "feed-e1", "wal_log_hints = on")
	r.write(t, filepath.Join(r.Data("feed-e1"), "pg_hba.conf"), "local all all trust\nhost all feed all scram-sha-256\n"+ownRules)
	r.start(t, "feed-e1")
	r.before = r.files(t, "feed-e1", "feed-e2")
	r.refused(t, "feed-e2 has system identifier", "they are not copies of the same database")
}

func (r *refusals) foreign(t *testing.T) {
	r.check(t, os.RemoveAll(r.Data("feed-e2")))
	r.folder(t, "feed-e2", "data")
	r.before = r.files(t, "feed-e1")
	photo := filepath.Join(r.Data("feed-e2"), "holiday.jpg")
	r.write(t, photo, "sun")
	r.before[photo] = "sun"
	r.refused(t, "feed-e2: its data directory holds files that are not PostgreSQL data")
}

func (r *refusals) empty(t *testing.T) {
	r.check(t, os.RemoveAll(r.Data("feed-e2")))
	r.before = r.files(t, "feed-e1")
	r.refused(t, "feed-e2: there is nothing to adopt", "correct members.feed-e2.data")
}

func (r *refusals) mended(t *testing.T) {
	host := r.Host("feed-e2").Name
	r.check(t, r.Kill("agent "+host, syscall.SIGTERM)) // it might adopt the copy, and start it, before its user does
	r.standby(t, "feed-e1", "feed-e2", "wal_log_hints = on")
	r.check(t, r.StartAgent(host))
	r.before = r.files(t, "feed-e1", "feed-e2")
	pid := r.Postmaster("feed-e1")
	r.healthy(t)
	if now := r.Postmaster("feed-e1"); now != pid {
		t.Errorf("postmaster %d, now %d", pid, now)
	}
	r.unchanged(t, r.before)
}
