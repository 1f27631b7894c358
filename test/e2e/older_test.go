package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"mainstay/controller/state"
	"mainstay/health"
	"mainstay/test/testbed"
)

// TestOlderDisk: a host is restored from a copy of its disk that was made before its last boot. It is told apart from one that was only
// restarted: what its data acknowledged does not count, until it has rejoined (L8).
func TestOlderDisk(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("another boot ID takes a mount namespace, and so root")
	}
	tr := begin(t, testbed.Options{Members: 3})
	p := tr.primary(t)
	h := tr.replicaOf(p)
	dir := tr.AgentDir(h.Name) // with its data
	fall := func() {
		t.Helper()
		tr.check(t, tr.Kill("agent "+h.Name, syscall.SIGKILL), tr.Wait(tr.ctx, h.Name+" to fall", func() (bool, string) {
			left := tr.Everything(h)
			_ = testbed.Signal(syscall.SIGKILL, left...) // those that end meanwhile are as good
			return len(left) == 0, fmt.Sprint(left)
		}), tr.Wait(tr.ctx, "the controllers to miss "+h.Name, func() (bool, string) {
			well, why := tr.Healthy(tr.ctx)
			return !well, why
		}))
	}
	problem := func(want bool) {
		t.Helper()
		tr.check(t, tr.Wait(tr.ctx, fmt.Sprintf("OlderDisk: %v", want), func() (bool, string) {
			st, err := tr.Status(tr.ctx)
			if err != nil {
				return false, err.Error()
			}
			for _, x := range st.Problems {
				if x.Kind == health.OlderDisk && x.Member == h.Member {
					return want, ""
				}
			}
			return !want, ""
		}))
	}
	note := "host " + h.Name + " came back with an older copy of its disk"
	fall()
	copied(t, dir, dir+".before")
	tr.check(t, tr.BootAgent(h.Name, 2))
	tr.healthy(t)
	if out := tr.verb(t, "history", "feed"); strings.Contains(out, note) {
		t.Fatalf("a restarted host was taken for a restored one:\n%s", out)
	}

	fall()
	tr.check(t, os.RemoveAll(dir), os.Rename(dir+".before", dir), tr.BootAgent(h.Name, 3))
	tr.check(t, tr.Wait(tr.ctx, "the history to tell of the older disk", func() (bool, string) {
		out, err := tr.CLI(tr.ctx, "history", "feed")
		return err == nil && strings.Contains(out, note), out
	}))
	tr.check(t, tr.Wait(tr.ctx, h.Member+" to rejoin", func() (bool, string) {
		op, err := tr.Last(tr.ctx, state.Rejoin)
		return err == nil && op.To == h.Member && op.Result == state.Done, fmt.Sprint(op, err)
	}))
	problem(false)
	tr.healthy(t)
	tr.judge()
}

// copied makes a copy of a folder.
func copied(t *testing.T, from, to string) {
	t.Helper()
	if out, err := exec.Command("cp", "-a", from, to).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
}
