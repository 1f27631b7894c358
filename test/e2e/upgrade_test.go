package e2e

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"mainstay/controller/state"
	"mainstay/controller/wire"
	"mainstay/test/testbed"
)

// TestUpgrade goes from the previous commit's build to this one as deploy/guide/upgrade.md tells: controllers one by one, then agents
// one by one, under load. PostgreSQL is not touched, and nobody is promoted.
func TestUpgrade(t *testing.T) {
	old := previous(t)
	tr := begin(t, testbed.Options{Binary: old})
	pids := map[string]int{}
	for _, h := range tr.Of(false) {
		pids[h.Member] = tr.Postmaster(h.Member)
	}
	primary := tr.primary(t)
	tr.must(tr.Replace(binary))
	for _, h := range tr.Of(true) {
		tr.check(t, tr.Kill("controller "+h.Controller, syscall.SIGTERM), tr.StartController(h.Controller))
		tr.answers(t, h)
		tr.healthy(t)
	}
	for _, h := range tr.Of(false) {
		before := tr.report(t, h.Member)
		tr.check(t, tr.Kill("agent "+h.Name, syscall.SIGTERM), tr.StartAgent(h.Name))
		tr.check(t, tr.Wait(tr.ctx, "a report of the new agent of "+h.Name, func() (bool, string) {
			return tr.report(t, h.Member).After(before), ""
		}))
		tr.healthy(t)
	}
	if now := tr.primary(t); now != primary {
		t.Errorf("%s is primary after the upgrade, it was %s", now, primary)
	}
	for member, pid := range pids {
		if now := tr.Postmaster(member); now != pid || pid == 0 {
			t.Errorf("the upgrade touched PostgreSQL of %s: postmaster %d, now %d", member, pid, now)
		}
	}
	if op, err := tr.Last(tr.ctx, state.Failover); err == nil {
		t.Errorf("the upgrade caused %s: %s", op.ID, op.Reason)
	}
	tr.onlyNew(t)
	tr.judge()
}

// previous builds the program of the commit before this one, without touching the tree or the repository.
func previous(t *testing.T) string {
	t.Helper()
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	git := func(args ...string) (string, error) {
		// The tree may belong to another user than the one who tests.
		cmd := exec.CommandContext(ctx, "git", append([]string{"-c", "safe.directory=*", "-C", root}, args...)...)
		out, err := cmd.CombinedOutput()
		return strings.TrimSpace(string(out)), err
	}
	commit, err := git("rev-parse", "--verify", "--quiet", "HEAD~1^{commit}")
	if err != nil {
		t.Skip("there is no previous commit to upgrade from (no git, no .git, a shallow clone, or the first commit)")
	}
	dir := t.TempDir()
	archive := filepath.Join(dir, "old.tar")
	if out, err := git("archive", "-o", archive, commit); err != nil {
		t.Fatalf("git archive %s: %v\n%s", commit, err, out)
	}
	source := filepath.Join(dir, "source")
	if err := os.Mkdir(source, 0o755); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.CommandContext(ctx, "tar", "-x", "-f", archive, "-C", source).CombinedOutput(); err != nil {
		t.Fatalf("tar: %v\n%s", err, out)
	}
	built := filepath.Join(dir, "mainstay-old")
	cmd := exec.CommandContext(ctx, "go", "build", "-o", built, "./cmd/mainstay")
	cmd.Dir = source
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Skipf("the previous commit %s does not build, so there is nothing to upgrade from: %v\n%s", commit, err, out)
	}
	return built
}

// answers waits until a controller that was started again is part of the group.
func (tr *trial) answers(t *testing.T, h testbed.Host) {
	t.Helper()
	c := tr.Client()
	defer c.Close()
	tr.check(t, tr.Wait(tr.ctx, "all controllers", func() (bool, string) {
		var all wire.Controllers
		if err := c.Do(tr.ctx, "GET", "/v1/controllers", nil, &all); err != nil {
			return false, err.Error()
		}
		for _, m := range all.Members {
			if !m.Reached {
				return false, m.Name + " is not reached: " + m.Error
			}
		}
		return len(all.Members) == 3, h.Controller
	}))
}

// report is when the newest report of a member reached the leader.
func (tr *trial) report(t *testing.T, member string) time.Time {
	t.Helper()
	c, err := tr.Cluster(tr.ctx)
	if err != nil {
		return time.Time{} // no leader yet
	}
	for _, m := range c.Members {
		if m.Name == member && m.Seen != nil {
			return time.Now().Add(-m.Age)
		}
	}
	return time.Time{}
}

// onlyNew: every daemon runs the new build; else the test would have shown nothing.
func (tr *trial) onlyNew(t *testing.T) {
	t.Helper()
	daemons := map[string]bool{}
	for _, h := range tr.Hosts {
		if h.Controller != "" {
			daemons["controller "+h.Controller] = true
		} else {
			daemons["agent "+h.Name] = true
		}
	}
	for name := range daemons {
		exe, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", tr.Proc(name).PID()))
		if err != nil || strings.HasSuffix(exe, " (deleted)") {
			t.Errorf("%s still runs %s: %v", name, exe, err)
		}
	}
}
