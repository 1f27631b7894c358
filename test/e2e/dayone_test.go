package e2e

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"mainstay/fencing"
	"mainstay/health"
	"mainstay/test/platform/dualwriter"
	"mainstay/test/testbed"
)

// TestDayOne goes through deploy/guide/dayone.md on hosts of their own (network namespaces), by its own files and commands,
// and then cuts hosts off the network, which loopback cannot show: the agent and its PostgreSQL live on, and only the
// guard can end a primary that hears from nobody.
func TestDayOne(t *testing.T) {
	hosts := network(t, "db-e1", "db-e2", "db-w1", "ctl-e", "ctl-w", "ctl-n", spare)
	d := &dayOne{trial: byHand(t, hosts), net: hosts, blocks: guideBlocks(t)}
	for _, step := range []struct {
		name string
		do   func(*testing.T)
	}{
		{"certificates", d.certificates}, {"files", d.files}, {"controllers", d.controllers}, {"agents and apply", d.platform},
		{"first looks", d.looks},
	} {
		if !t.Run(step.name, step.do) {
			t.FailNow() // every later step needs it
		}
	}
	d.clients()
	d.localClients(t)
	t.Run("primary's host cut off", func(t *testing.T) { d.cutOff(t, d.primary(t)) })
	t.Run("leader and primary's host cut off", func(t *testing.T) {
		leader, err := d.Leader(d.ctx)
		d.check(t, err)
		d.cutOff(t, d.primary(t), leader)
	})
	t.Run("a controller lost for good", d.replaced)
	d.judge()
	d.local.Stop()
	if o := d.local.Overlaps(); len(o) > 0 {
		t.Errorf("two members acknowledged writes of clients on their own hosts at once: %v", o)
	}
}

// spare is the host of the controller that takes a lost one's place.
const spare = "ctl-x"

type dayOne struct {
	*trial
	net    *testbed.Netns
	blocks map[string]string  // of the guides
	local  *dualwriter.Tester // clients on each host, which the network does not cut off
}

// byHand is a trial whose testbed has neither certificates nor files, and runs nothing yet.
func byHand(t *testing.T, network testbed.Network) *trial {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), testLimit)
	t.Cleanup(cancel)
	dir, err := os.MkdirTemp("", "ms-")
	if err != nil {
		t.Fatal(err)
	}
	s, err := testbed.New(testbed.Options{Dir: dir, Binary: binary, Network: network, ByHand: true})
	if err != nil {
		os.RemoveAll(dir)
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(s.Logs(60))
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return &trial{Testbed: s, t: t, ctx: ctx}
}

// run runs a block of the guides in a shell on the operator's machine, line by line, and wants these words in what the
// commands said together.
func (d *dayOne) run(t *testing.T, block string, want ...string) (said string) {
	t.Helper()
	text := d.blocks[block]
	if text == "" {
		t.Fatalf("the guides have no block %q", block)
	}
	cmd := exec.CommandContext(d.ctx, "sh", "-e", "-x", "-c", d.addressed(text))
	cmd.Dir = d.Dir
	cmd.Env = append(os.Environ(), "HOME="+filepath.Join(d.Dir, "home"), "PATH="+filepath.Join(d.Dir, "bin")+":"+os.Getenv("PATH"))
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("block %s of the guides: %v\n%s", block, err, out)
	}
	t.Logf("%s", out)
	for _, w := range want {
		if !strings.Contains(string(out), d.addressed(w)) {
			t.Errorf("block %s of the guides does not say %q:\n%s", block, w, out)
		}
	}
	return string(out)
}

// addressed knows the spare host as well.
func (d *dayOne) addressed(text string) string {
	return strings.ReplaceAll(d.trial.addressed(text), "10.0.3.34", d.net.Address(spare))
}

func (d *dayOne) write(t *testing.T, path, text string) {
	t.Helper()
	path = filepath.Join(d.Dir, path)
	d.check(t, os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text), 0o644))
}

func (d *dayOne) certificates(t *testing.T) {
	d.run(t, "certificates", "wrote pki/ca.crt", "wrote pki/controller-c3.key", "wrote pki/postgres-db-w1.crt", "wrote pki/operator-alice.crt")
	d.check(t, d.Identify())
}

// files copies to every host what the guide says belongs there, and lets validate judge it.
func (d *dayOne) files(t *testing.T) {
	entries, err := os.ReadDir(filepath.Join(d.Dir, "pki"))
	d.check(t, err)
	for _, e := range entries {
		if e.Name() == "ca.key" {
			continue // it stays where certificates are issued
		}
		d.copy(t, filepath.Join("pki", e.Name()), filepath.Join("etc", e.Name()))
	}
	for _, h := range d.Hosts {
		name, text := "agent-"+h.Name, d.trial.local(t, d.blocks["agent"], "db-e1", h.Name)
		if h.Controller != "" {
			name, text = "controller-"+h.Controller, d.trial.local(t, d.blocks["controller"], "ctl-e", h.Name)
		}
		d.check(t, os.MkdirAll(filepath.Join(d.Dir, name), 0o755))
		d.write(t, "etc/"+name+".yaml", text)
		if out, err := d.CLI(d.ctx, "validate", "-f", filepath.Join(d.Dir, "etc", name+".yaml")); err != nil ||
			!strings.Contains(out, "no mistakes") {
			t.Errorf("validate %s: %v\n%s\n%s", name, err, out, text)
		}
	}
	d.write(t, "platform.yaml", d.addressed(d.blocks["platform"]))
	d.write(t, "home/.config/mainstay/config.yaml", d.addressed(d.blocks["contexts"]))
	for _, name := range []string{"ca.crt", "operator-alice.crt", "operator-alice.key"} {
		d.copy(t, filepath.Join("pki", name), filepath.Join("home/.config/mainstay", name))
	}
}

func (d *dayOne) copy(t *testing.T, from, to string) {
	t.Helper()
	in, err := os.Open(filepath.Join(d.Dir, from))
	d.check(t, err)
	defer in.Close()
	d.check(t, os.MkdirAll(filepath.Dir(filepath.Join(d.Dir, to)), 0o755))
	out, err := os.OpenFile(filepath.Join(d.Dir, to), os.O_CREATE|os.O_WRONLY, 0o600)
	d.check(t, err)
	_, err = io.Copy(out, in)
	d.check(t, err, out.Close())
}

func (d *dayOne) controllers(t *testing.T) {
	for _, h := range d.Of(true) {
		d.check(t, d.StartController(h.Controller))
	}
	d.check(t, d.Wait(d.ctx, "the controllers to listen", func() (bool, string) {
		out, _ := d.CLI(d.ctx, "controllers", "list") // exit code 1: they are no group yet
		return strings.Count(out, "not part of a group yet") == 3, out
	}))
	d.run(t, "init", "3 controllers now form one group", "leader")
}

func (d *dayOne) platform(t *testing.T) {
	for _, h := range d.Of(false) {
		d.check(t, d.StartAgent(h.Name))
	}
	d.run(t, "apply", "no mistakes", "the leader would accept this; nothing was changed (--dry-run)", "applied: the platform is at version 1")
	d.healthy(t)
}

func (d *dayOne) looks(t *testing.T) {
	d.check(t, d.Wait(d.ctx, "members that are busy with nothing", func() (bool, string) {
		c, err := d.Cluster(d.ctx)
		if err != nil {
			return false, err.Error()
		}
		for _, m := range c.Members {
			if m.Seen == nil || m.Seen.Doing != "" {
				return false, m.Name
			}
		}
		return true, ""
	}))
	said := d.run(t, "looks",
		"platform social", "primary feed-e1", "writable", "streaming", // status
		"if the primary failed now", "by proof quorum-sealed, losing at most: no acknowledged commit", // explain
		"target: feed-e2", "nothing was changed (--dry-run)", // switchover --dry-run
		"host=10.0.1.11,10.0.1.12,10.0.2.21 port=5432,5432,5432 user=app dbname=social target_session_attrs=read-write", // dsn
	)
	if !strings.Contains(said, "no problems") && !strings.Contains(said, string(health.HostBusy)) { // which may be true of this one
		t.Errorf("status knows problems:\n%s", said)
	}
}

// localClients write on every host through its own socket, so also on one that is cut off.
func (d *dayOne) localClients(t *testing.T) {
	t.Helper()
	p := d.primary(t)
	_, err := d.SQL(d.ctx, p, "postgres", "CREATE ROLE root LOGIN SUPERUSER") // whom a test as root is at the socket (peer)
	d.check(t, err)
	d.local, err = dualwriter.Start(d.ctx, dualwriter.Options{Hosts: d.onHosts(), Every: tryEvery, Limit: patience})
	d.check(t, err)
	t.Cleanup(func() { d.local.Stop() })
}

// cutOff takes the primary's host off the network, and those of controllers: another member is promoted, the guard ends
// the old primary at the end of its lease though nobody can tell it to, and once healed it comes back as a replica.
func (d *dayOne) cutOff(t *testing.T, primary string, controllers ...string) {
	host := d.Host(primary).Name
	t.Cleanup(func() { d.check(t, d.net.Heal(host)) })
	d.check(t, d.net.Cut(host))
	began := time.Now()
	for _, c := range controllers {
		t.Cleanup(func() { d.check(t, d.net.Heal(d.Host(c).Name)) })
		d.check(t, d.net.Cut(d.Host(c).Name))
	}
	d.check(t, d.Wait(d.ctx, "the guard to end PostgreSQL of "+primary, func() (bool, string) {
		return d.Postmaster(primary) == 0, "the lease is " + time.Since(began).String() + " old"
	}))
	t.Logf("%s was ended %s after its host was cut off", primary, time.Since(began).Round(10*time.Millisecond))
	d.failedOver(t, primary, fencing.QuorumSealed, fencing.LeaseExpired)
	d.acknowledged(t)
	d.check(t, d.net.Heal(host))
	for _, c := range controllers {
		d.check(t, d.net.Heal(d.Host(c).Name))
	}
	if now := d.primary(t); now == primary { // healthy: the old primary streams from the new one
		t.Errorf("%s is primary again after its host was healed", now)
	}
}

// acknowledged waits until the clients' posts are acknowledged while the host is still cut off.
func (d *dayOne) acknowledged(t *testing.T) {
	t.Helper()
	mark := d.load.Mark()
	d.check(t, d.Wait(d.ctx, "posts to be acknowledged by the new primary", func() (bool, string) {
		r, err := d.load.Report(mark)
		return err == nil && r.Tally.Acked > 10, ""
	}))
}

// replaced puts a controller in the place of a lost one, and lets it lead: agents must find it though their files do not
// list it, and the database does not notice.
func (d *dayOne) replaced(t *testing.T) {
	p := d.primary(t)
	pid := d.Postmaster(p)
	d.check(t, d.Kill("controller c3", syscall.SIGKILL))
	d.run(t, "replace-issue", "removed c3: stop its process", "wrote pki/controller-c4.crt")
	for _, ext := range []string{".crt", ".key"} {
		d.copy(t, "pki/controller-c4"+ext, "etc/controller-c4"+ext)
	}
	old, err := os.ReadFile(filepath.Join(d.Dir, "etc/controller-c3.yaml"))
	d.check(t, err, os.Mkdir(filepath.Join(d.Dir, "controller-c4"), 0o755))
	d.write(t, "etc/controller-c4.yaml", strings.NewReplacer("name: c3", "name: c4", "controller-c3", "controller-c4",
		d.Host("c3").Address, d.net.Address(spare)).Replace(string(old)))
	_, err = d.Run(spare, "controller c4", filepath.Join(d.Dir, "bin", "mainstay"), "controller", "-f",
		filepath.Join(d.Dir, "etc/controller-c4.yaml"))
	d.check(t, err, d.Wait(d.ctx, "the new controller to listen", func() (bool, string) {
		out, _ := d.CLI(d.ctx, "controllers", "list", "--controllers", net.JoinHostPort(d.net.Address(spare), "7101"))
		return strings.Contains(out, "not part of a group yet"), out
	}))
	d.run(t, "replace-add", "added 10.0.3.34:7101", "leadership was handed to c4")
	d.check(t, d.Wait(d.ctx, "c4 to lead", func() (bool, string) {
		leader, err := d.Leader(d.ctx)
		return leader == "c4", fmt.Sprint(leader, err)
	}))
	if now := d.primary(t); now != p || d.Postmaster(p) != pid {
		t.Errorf("the exchange of a controller had an effect on the database: primary %s, now %s", p, now)
	}
}
