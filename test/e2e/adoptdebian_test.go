package e2e

import (
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"mainstay/controller/postgres"
	"mainstay/fencing"
	"mainstay/test/testbed"
)

// TestAdoptDebian takes over what Debian's postgresql-common made: the configuration lies outside of the data directory, its
// own tools start the cluster, and the local socket asks the superuser for a password. Members are cloned, rebuilt and
// rewound; a host without any configuration joins.
func TestAdoptDebian(t *testing.T) {
	for _, program := range []string{"pg_createcluster", "pg_ctlcluster"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skip("this is no Debian with postgresql-common: ", err)
		}
	}
	dir := folder(t)
	t.Setenv("PG_CLUSTER_CONF_ROOT", filepath.Join(dir, "own", "etc"))
	t.Setenv("PGPASSFILE", filepath.Join(dir, "super")) // for psql; the agent reads its own file only
	super := "superuser: {passfile: " + filepath.Join(dir, "super") + "}, "
	own := map[string]testbed.Own{"feed-w1": {Agent: "{" + super + ownReplication(dir) + "}"}}
	for _, m := range []string{"feed-e1", "feed-e2"} {
		o := ownPaths(dir, m)
		o.Agent = fmt.Sprintf("{data: %s, adopt: true, socket: %s, %s%s}", o.Data, o.Socket, super, ownReplication(dir))
		own[m] = o
	}
	tr := build(t, testbed.Options{Dir: dir, Own: own})
	d := &debian{ownUser: newOwnUser(t, tr)}
	d.write(t, filepath.Join(dir, "super"), "*:*:*:postgres:"+ownPassword+"\n")
	d.create(t, "feed-e1")
	d.ctl(t, "start", "feed-e1")
	d.sql(t, "feed-e1", "ALTER ROLE postgres PASSWORD '"+ownPassword+"'")
	d.role(t, "feed-e1")
	d.write(t, d.etc("feed-e1", "pg_hba.conf"), debianRules)
	d.ctl(t, "reload", "feed-e1")
	d.create(t, "feed-e2")
	d.check(t, os.RemoveAll(d.Data("feed-e2")))
	d.check(t, os.Chmod(d.folder(t, "feed-e2", "data"), 0o700))
	d.run(t, "pg_basebackup", "-h", d.Host("feed-e1").Address, "-U", "repl", "-w", "-D", d.Data("feed-e2"), "-R", "-X", "stream", "-c", "fast")
	d.write(t, d.etc("feed-e2", "pg_hba.conf"), debianRules)
	d.ctl(t, "start", "feed-e2")
	d.sql(t, "feed-e2", "ALTER SYSTEM SET restore_command = 'test -z %f'")
	d.before = d.tree(t)
	tr.steps(t, []step{
		{"without a restart", d.taken}, {"its service is masked", d.masked}, {"a host without a configuration joins", d.joined},
		{"crash of the primary", d.crashed}, {"a member whose data is lost is cloned", d.rebuilt}, {"crash of the clone", d.cloneCrashed},
	})
	tr.judge()
}

// debianRules ask everybody for a password, the superuser on the socket too.
const debianRules = "local all all scram-sha-256\nhost all feed all scram-sha-256\n" + ownRules

// debian is what the steps of TestAdoptDebian share.
type debian struct {
	*ownUser
	before map[string]string // everything below etc
}

func (d *debian) major() string {
	b, err := postgres.Find("")
	d.must(err)
	return strconv.Itoa(b.Major)
}

// etc is a path below the cluster's configuration; the cluster is named like the host.
func (d *debian) etc(member string, parts ...string) string {
	return filepath.Join(append([]string{d.Dir, "own", "etc", d.major(), d.cluster(member)}, parts...)...)
}

func (d *debian) cluster(member string) string { return strings.TrimPrefix(member, "feed-") }

func (d *debian) create(t *testing.T, member string) {
	t.Helper()
	d.folder(t, "etc")
	run := d.folder(t, member, "run")
	d.tool(t, "pg_createcluster", "-u", testbed.Owner(), "-d", d.Data(member), "-s", run, "-p", "5432", "-l",
		filepath.Join(d.Dir, "own", member, "log"),
		"--start-conf=auto", d.major(), d.cluster(member), "--", "--locale=C", "-E", "UTF8", "-k")
	for _, kind := range []string{"crt", "key"} {
		b, err := os.ReadFile(filepath.Join(d.Dir, "pki", "postgres-"+d.Host(member).Name+"."+kind))
		d.check(t, err)
		d.write(t, d.etc(member, "server."+kind), string(b))
	}
	d.write(t, d.etc(member, "conf.d", "mine.conf"), strings.Join([]string{"listen_addresses = '" + d.Host(member).Address + "'", "ssl = on",
		"ssl_cert_file = '" + d.etc(member, "server.crt") + "'", "ssl_key_file = '" + d.etc(member, "server.key") + "'", "external_pid_file = ''",
		"max_wal_senders = 20", "max_connections = 60", "shared_buffers = 32MB", "work_mem = 5MB"}, "\n")+"\n")
}

// tool runs a program of postgresql-common.
func (d *debian) tool(t *testing.T, program string, args ...string) {
	t.Helper()
	out, err := os.CreateTemp("", "own-") // no pipe: a server would hold it open
	d.check(t, err)
	defer os.Remove(out.Name())
	defer out.Close()
	cmd := exec.CommandContext(d.ctx, program, args...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = "/", out, out
	if err := cmd.Run(); err != nil {
		said, _ := os.ReadFile(out.Name())
		t.Fatalf("%s %v: %v\n%s", program, args, err, said)
	}
}

func (d *debian) ctl(t *testing.T, verb, member string) {
	t.Helper()
	d.tool(t, "pg_ctlcluster", d.major(), d.cluster(member), verb)
}

// tree reads every file below etc.
func (d *debian) tree(t *testing.T) map[string]string {
	t.Helper()
	found := map[string]string{}
	d.check(t, filepath.WalkDir(filepath.Join(d.Dir, "own", "etc"), func(path string, e fs.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() {
			return err
		}
		b, err := os.ReadFile(path)
		found[path] = string(b)
		return err
	}))
	return found
}

func (d *debian) taken(t *testing.T) {
	pid := d.Postmaster("feed-e1")
	d.check(t, d.Start(d.ctx))
	if now := d.Postmaster("feed-e1"); pid == 0 || now != pid {
		t.Errorf("postmaster was %d and is %d: it was restarted", pid, now)
	}
	if p := d.primary(t); p != "feed-e1" {
		t.Errorf("%s is primary", p)
	}
	d.unchanged(t, d.before)
	if log := d.agentLog(t, "feed-e1"); strings.Count(log, "Mainstay replaces these settings of the user") != 1 ||
		strings.Contains(log, ownPassword) {
		t.Errorf("what is replaced must be said once, and no password:\n%s", log)
	}
	d.clients()
}

func (d *debian) agentLog(t *testing.T, member string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(d.Dir, "log", "agent-"+d.Host(member).Name+".log"))
	d.check(t, err)
	return string(b)
}

// masked: what else would start the primary is named, with the command that ends it.
func (d *debian) masked(t *testing.T) {
	for _, m := range []string{"feed-e1", "feed-e2"} {
		unit := fmt.Sprintf("a mask on postgresql@%s-%s.service", d.major(), d.cluster(m))
		d.status(t, true, unit, "mainstay local mask "+m)
		file := filepath.Join(d.Dir, "etc", "agent-"+d.Host(m).Name+".yaml")
		if out, err := d.CLI(d.ctx, "local", "mask", m, "-f", file, "--dry-run"); err != nil || !strings.Contains(out, d.etc(m, "start.conf")) {
			t.Fatalf("dry run: %v\n%s", err, out)
		}
		if out, err := d.CLI(d.ctx, "local", "mask", m, "-f", file, "--yes"); err != nil {
			t.Fatalf("mask: %v\n%s", err, out)
		}
		d.status(t, false, unit)
	}
	out, err := exec.CommandContext(d.ctx, "pg_ctlcluster", d.major(), "e1", "restart").CombinedOutput()
	if err == nil || !strings.Contains(string(out), "Cluster is disabled") {
		t.Errorf("pg_ctlcluster still touches the cluster: %v %s", err, out)
	}
	for _, m := range []string{"feed-e1", "feed-e2"} {
		start := d.etc(m, "start.conf")
		if kept, err := os.ReadFile(start + ".mainstay"); err != nil || string(kept) != d.before[start] {
			t.Errorf("the former start.conf of %s: %v\n%s", m, err, kept)
		}
		delete(d.before, start)
	}
	d.unchanged(t, d.before)
}

// status waits until the screen says all of it, or none.
func (d *debian) status(t *testing.T, says bool, words ...string) {
	t.Helper()
	d.check(t, d.Wait(d.ctx, "status", func() (bool, string) {
		out, err := d.CLI(d.ctx, "status")
		for _, w := range words {
			if strings.Contains(out, w) != says {
				return false, out
			}
		}
		return err == nil, out
	}))
}

// joined: feed-w1 has files like its primary's, in its data directory, and they are its user's.
func (d *debian) joined(t *testing.T) {
	for name, want := range map[string]string{
		"work_mem": "5MB", "max_connections": "60", "shared_buffers": "32MB", "cluster_name": "feed-w1",
		"listen_addresses": d.Host("feed-w1").Address,
		"hba_file":         filepath.Join(d.Data("feed-w1"), "pg_hba.conf"), "external_pid_file": "", "ssl": "on",
	} {
		if got := d.sql(t, "feed-w1", "SHOW "+name); got != want {
			t.Errorf("%s of feed-w1 is %q, want %q", name, got, want)
		}
	}
	if log := d.agentLog(t, "feed-w1"); !strings.Contains(log, "wrote "+filepath.Join(d.Data("feed-w1"), "pg_hba.conf")+
		" like the primary's") {
		t.Errorf("the agent did not say what it wrote:\n%s", log)
	}
	conf := filepath.Join(d.Data("feed-w1"), "postgresql.conf")
	b, err := os.ReadFile(conf)
	d.check(t, err)
	d.write(t, conf, string(b)+"work_mem = 9MB\n")
}

// crashed: each adopted member is started by us for the first time, on its own configuration and its user's ALTER SYSTEM.
func (d *debian) crashed(t *testing.T) {
	d.led(t, "feed-e1")
	d.check(t, testbed.Signal(syscall.SIGKILL, d.Postmaster("feed-e1")))
	d.failedOver(t, "feed-e1", fencing.Stopped, fencing.QuorumSealed)
	d.healthy(t)
	before := d.Postmaster("feed-e2")
	d.check(t, testbed.Signal(syscall.SIGKILL, d.Everything(d.Host("feed-e2"))...))
	d.check(t, d.StartAgent(d.Host("feed-e2").Name))
	d.startedAgain(t, "feed-e2", before)
	d.healthy(t)
	d.own(t, "feed-e1", "")
	d.own(t, "feed-e2", "test -z %f")
}

// own looks whether an adopted member runs on its own configuration.
func (d *debian) own(t *testing.T, member, restore string) {
	t.Helper()
	for name, want := range map[string]string{"cluster_name": member, "hba_file": d.etc(member, "pg_hba.conf"),
		"ssl_key_file": d.etc(member, "server.key"),
		"work_mem":     "5MB", "restore_command": restore} {
		if got := d.sql(t, member, "SHOW "+name); got != want {
			t.Errorf("%s of %s is %q, want %q", name, member, got, want)
		}
	}
	if _, err := os.Stat(filepath.Join(d.Data(member), "postgresql.conf")); err == nil {
		t.Errorf("%s has a second postgresql.conf in its data directory, which nothing reads", member)
	}
	d.unchanged(t, d.before)
}

func (d *debian) rebuilt(t *testing.T) {
	p := d.primary(t)
	member := "feed-e1"
	if p == member {
		member = "feed-e2"
	}
	before := d.Postmaster(member)
	d.check(t, d.Kill("agent "+d.Host(member).Name, syscall.SIGKILL))
	d.check(t, testbed.Signal(syscall.SIGKILL, d.Everything(d.Host(member))...))
	d.check(t, os.RemoveAll(d.Data(member)), d.StartAgent(d.Host(member).Name))
	d.startedAgain(t, member, before)
	d.healthy(t)
	restore := map[string]string{"feed-e1": "", "feed-e2": "test -z %f"}
	d.own(t, member, restore[member])
}

// startedAgain waits for another postmaster: the last report of the one before is fresh for a moment longer.
func (d *debian) startedAgain(t *testing.T, member string, before int) {
	t.Helper()
	d.check(t, d.Wait(d.ctx, member+" to be started again", func() (bool, string) {
		now := d.Postmaster(member)
		return now != 0 && now != before, ""
	}))
}

// cloneCrashed: the member that joined leads, crashes, and comes back with what its user wrote.
func (d *debian) cloneCrashed(t *testing.T) {
	if d.primary(t) != "feed-w1" {
		if out, err := d.CLI(d.ctx, "switchover", "feed", "--to", "feed-w1", "--yes"); err != nil {
			t.Fatalf("switchover: %v\n%s", err, out)
		}
	}
	d.healthy(t)
	d.check(t, testbed.Signal(syscall.SIGKILL, d.Postmaster("feed-w1")))
	d.failedOver(t, "feed-w1", fencing.Stopped, fencing.QuorumSealed)
	d.healthy(t)
	if got := d.sql(t, "feed-w1", "SHOW work_mem"); got != "9MB" {
		t.Errorf("feed-w1 came back with work_mem %s; its user wrote 9MB", got)
	}
	d.own(t, "feed-e1", "")
	d.own(t, "feed-e2", "test -z %f")
}
