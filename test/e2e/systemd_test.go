package e2e

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"mainstay/fencing/process"
	"mainstay/test/testbed"
)

// TestSystemd runs the agent of one host by its real unit under a systemd of its own: a restart of the agent passes
// PostgreSQL by, and when agent and guards are killed at once the unit's sweep ends what the kernel left.
func TestSystemd(t *testing.T) {
	requireSystemd(t)
	tr := begin(t, testbed.Options{Members: 2})
	tr.led(t, "feed-e1")
	h := tr.Host("feed-e2")
	tr.check(t, testbed.Signal(syscall.SIGKILL, tr.Everything(h)...))
	m := tr.boot(t, h)
	m.systemctl(t, "start", "mainstay-agent")
	tr.check(t, tr.Wait(tr.ctx, "PostgreSQL under the unit", func() (bool, string) { return m.postmaster() != 0, m.log(t) }))
	tr.healthy(t)
	if out, err := tr.CLI(tr.ctx, "switchover", "feed", "--to", h.Member, "--yes"); err != nil {
		t.Fatalf("switchover: %v\n%s", err, out)
	}
	tr.healthy(t)
	tr.kept(t)

	before, guards := m.postmaster(), m.find("lease-guard")
	for _, verbs := range [][]string{{"restart"}, {"stop", "start"}} {
		for _, verb := range verbs {
			m.systemctl(t, verb, "mainstay-agent")
		}
		tr.healthy(t)
		if now := m.postmaster(); now != before || tr.primary(t) != h.Member {
			t.Errorf("%v of the unit touched PostgreSQL: postmaster %d, now %d", verbs, before, now)
		}
		if now := m.find("lease-guard"); !slices.Equal(now, guards) {
			t.Errorf("%v of the unit touched the guards: %v, now %v", verbs, guards, now)
		}
	}
	if log := m.log(t); !strings.Contains(log, "no PostgreSQL of this host runs without a guard") {
		t.Errorf("the unit did not sweep at the agent's restart:\n%s", log)
	}

	m.busy(t, tr, h.Member)
	postgres := m.find("postgres")
	if !slices.Contains(postgres, m.postmaster()) {
		t.Fatalf("the postmaster %d is not among %v", m.postmaster(), postgres)
	}
	victims := append(m.find("lease-guard"), m.find(tr.Dir+"/bin/mainstay")...)
	// Stopped first, or a guard may see its peer's death and kill the tree before it dies itself.
	tr.check(t, testbed.Signal(syscall.SIGSTOP, victims...), testbed.Signal(syscall.SIGKILL, victims...))
	killed := time.Now()
	tr.check(t, tr.Wait(tr.ctx, "the sweep", func() (bool, string) {
		return strings.Contains(m.log(t), "PostgreSQL ran without any guard"), m.log(t)
	}))
	now := m.find("postgres")
	if left := slices.DeleteFunc(postgres, func(pid int) bool { return !slices.Contains(now, pid) }); len(left) > 0 {
		t.Errorf("%v are left after the sweep", left)
	}
	t.Logf("swept %s after the kill", time.Since(killed).Round(time.Millisecond))
	tr.healthy(t) // systemd starts the agent again
	tr.dual.Stop()
	if o := tr.dual.Overlaps(); len(o) > 0 {
		t.Errorf("two members acknowledged writes at once: %v", o)
	}
}

func requireSystemd(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("a systemd of its own needs root, for namespaces")
	}
	for _, program := range []string{"/lib/systemd/systemd", "/usr/bin/systemctl", "/usr/bin/nsenter"} {
		if _, err := os.Stat(program); err != nil {
			t.Skipf("%s is missing", program)
		}
	}
}

// machine is a systemd in namespaces of its own, on a copy of this host's files that goes away with it. It shares the
// network and the testbed's folder.
type machine struct {
	cgroup *process.Cgroup
	init   int // pid of its systemd, as seen from outside
	dir    string
}

// bootScript never lets the machine write to what is the host's: files are an overlay, /proc/sys and /sys are read-only.
const bootScript = `set -e
mount --make-rprivate /
R=$1/systemd; N=$R/root; mkdir -p $R; mount -t tmpfs tmpfs $R; mkdir $R/upper $R/work $N
mount -t overlay overlay -o lowerdir=/,upperdir=$R/upper,workdir=$R/work $N
mount -t proc proc $N/proc; mount --bind $N/proc/sys $N/proc/sys; mount -o remount,bind,ro $N/proc/sys
mount -t sysfs -o ro sysfs $N/sys; mount -t cgroup2 cgroup2 $N/sys/fs/cgroup
mount --rbind /dev $N/dev; mount -t tmpfs tmpfs $N/run; mount -t tmpfs tmpfs $N/tmp
mkdir -p $N$1; mount --bind $1 $N$1
rm -rf $N/etc/systemd/system; cp -r $1/units $N/etc/systemd/system; : >$N/etc/machine-id
exec env -i container=mainstay PATH="$PATH" unshare --root=$N /lib/systemd/systemd --system --unit=empty.target --log-target=console --show-status=no`

// boot starts a machine with the agent's unit for one host of the testbed.
func (tr *trial) boot(t *testing.T, h testbed.Host) *machine {
	t.Helper()
	tr.units(t, h)
	c, err := process.Create(fmt.Sprintf("mainstay-test-systemd-%d", os.Getpid()))
	if err != nil {
		t.Skip(err)
	}
	m := &machine{cgroup: c, dir: tr.Dir}
	f, err := c.OpenFD()
	tr.check(t, err)
	defer f.Close()
	cmd := exec.Command("unshare", "--pid", "--fork", "--mount", "--cgroup", "--uts", "--ipc", "--kill-child=SIGKILL", "sh", "-c", bootScript,
		"sh", tr.Dir)
	out, err := os.Create(filepath.Join(tr.Dir, "log", "systemd.log"))
	tr.check(t, err)
	defer out.Close()
	cmd.Stdout, cmd.Stderr = out, out
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, UseCgroupFD: true, CgroupFD: int(f.Fd())}
	tr.check(t, cmd.Start())
	t.Cleanup(func() {
		cmd.Process.Kill() // its child, the machine's process 1, goes with it, and the kernel ends the rest
		cmd.Wait()
		for deadline := time.Now().Add(time.Minute); c.Remove() != nil && time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
			c.Kill()
		}
	})
	ctx, cancel := context.WithTimeout(tr.ctx, 2*time.Minute)
	defer cancel()
	if err := tr.Wait(ctx, "systemd to answer", func() (bool, string) {
		if pids, err := process.Children(cmd.Process.Pid); err == nil && len(pids) == 1 {
			m.init = pids[0]
		}
		said, err := m.command(ctx, "systemctl", "is-active", "empty.target").CombinedOutput()
		return m.init != 0 && err == nil, string(said)
	}); err != nil {
		said, _ := os.ReadFile(out.Name())
		t.Skipf("no systemd can be run here: %v\n%s", err, said)
	}
	return m
}

// units are the real one, with the testbed's paths, and a drop-in that leaves out what only a whole machine has.
func (tr *trial) units(t *testing.T, h testbed.Host) {
	t.Helper()
	unit, err := os.ReadFile("../../deploy/units/mainstay-agent.service")
	tr.check(t, err)
	text := strings.NewReplacer("/usr/bin/mainstay", tr.Dir+"/bin/mainstay", "/etc/mainstay/agent.yaml",
		tr.Dir+"/etc/agent-"+h.Name+".yaml").Replace(string(unit))
	dir := filepath.Join(tr.Dir, "units")
	log := filepath.Join(tr.Dir, "log", "unit.log")
	tr.check(t, os.MkdirAll(filepath.Join(dir, "mainstay-agent.service.d"), 0o755))
	for name, content := range map[string]string{
		"mainstay-agent.service": text,
		"mainstay-agent.service.d/test.conf": "[Unit]\nDefaultDependencies=no\n[Service]\nStandardOutput=append:" + log +
			"\nStandardError=append:" + log + "\n",
		"empty.target": "[Unit]\nDefaultDependencies=no\n",
	} {
		tr.check(t, os.WriteFile(filepath.Join(dir, name), []byte(content), 0o644))
	}
}

func (m *machine) command(ctx context.Context, args ...string) *exec.Cmd {
	return exec.CommandContext(ctx, "nsenter", append([]string{"-t", fmt.Sprint(m.init), "-p", "-m", "-C", "-u", "-i", "-r", "-w"},
		args...)...)
}

func (m *machine) systemctl(t *testing.T, args ...string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 40*time.Second)
	defer cancel()
	if out, err := m.command(ctx, append([]string{"systemctl"}, args...)...).CombinedOutput(); err != nil {
		t.Fatalf("systemctl %v: %v\n%s\n%s", args, err, out, m.log(t))
	}
}

// log is what the unit's processes said.
func (m *machine) log(t *testing.T) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(m.dir, "log", "unit.log"))
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	return string(b)
}

// find lists the machine's processes, as seen from outside, whose command line or name begins so.
func (m *machine) find(begins string) (found []int) {
	pids, _ := m.cgroup.Pids()
	for _, pid := range pids {
		line, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
		name, _ := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid))
		if strings.HasPrefix(string(line), begins) || strings.HasPrefix(string(name), begins) {
			found = append(found, pid)
		}
	}
	return found
}

// postmaster is the launcher's only child, 0 without one.
func (m *machine) postmaster() int {
	for _, launcher := range m.find("lease-launcher") {
		if pids, err := process.Children(launcher); err == nil && len(pids) == 1 {
			return pids[0]
		}
	}
	return 0
}

// busy starts a statement that waits for nothing, so that it outlives the postmaster.
func (m *machine) busy(t *testing.T, tr *trial, member string) {
	t.Helper()
	ctx, cancel := context.WithCancel(tr.ctx)
	ended := make(chan struct{})
	t.Cleanup(func() { cancel(); <-ended })
	go func() {
		defer close(ended)
		_, _ = tr.SQL(ctx, member, "postgres", "/* busy */ DO $$ BEGIN LOOP END LOOP; END $$") // it is killed
	}()
	tr.check(t, tr.Wait(tr.ctx, "the busy statement", func() (bool, string) {
		out, err := tr.SQL(tr.ctx, member, "postgres", "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND query LIKE '/* busy%'")
		return err == nil && out == "1", out
	}))
}
