package e2e

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"mainstay/controller/state"
	"mainstay/fencing"
	"mainstay/health"
	"mainstay/test/testbed"
)

// TestFenceDevice: with acks 0 and a long lease, the quickest proof for a host that stands still is its fence device. The
// devices are the platform file's, driven by the leader; afterwards the host gets its power back and its member returns. Then
// an operator fences a host, and gives it back.
func TestFenceDevice(t *testing.T) {
	if _, err := exec.LookPath("ipmi_sim"); err != nil && os.Getenv("MAINSTAY_NEED_FENCE") == "" {
		t.Skip(testbed.ErrNoBMC)
	}
	tr := begin(t, testbed.Options{Members: 2, Settings: []string{"lease: 15s"}})
	p := tr.primary(t)
	h := tr.Host(p)
	bmc := newBMC(t, func(ctx context.Context) (*testbed.BMC, error) { return tr.BMC(ctx, h.Name, "127.0.0.1") })
	tr.device(t, h.Name, bmc)

	stopped, err := testbed.Stop(func() []int { return tr.Everything(h) })
	t.Cleanup(func() { _ = testbed.Continue(stopped) }) // those without power are gone
	tr.check(t, err)
	tr.failedOver(t, p, fencing.PoweredOff)
	tr.check(t, tr.Wait(tr.ctx, "the host to get its power back", func() (bool, string) {
		on, err := bmc.Powered()
		return on && err == nil, ""
	}))
	tr.healthy(t)

	op, err := tr.Last(tr.ctx, state.Failover)
	tr.check(t, err)
	said := tr.verb(t, "fence", h.Name, "--reason", "its disk controller lies", "--yes")
	if on, _ := bmc.Powered(); on || !strings.Contains(said, "is off") || len(tr.Everything(h)) > 0 {
		t.Errorf("mainstay fence said %q, power %v, still there: %v", said, on, tr.Everything(h))
	}
	tr.check(t, tr.Wait(tr.ctx, "status to show the fence", func() (bool, string) {
		s, err := tr.Status(tr.ctx)
		for _, problem := range s.Problems {
			if problem.Kind == health.HostFenced && strings.Contains(problem.Evidence, "mainstay unfence "+h.Name) {
				return true, ""
			}
		}
		return false, errText(err)
	}))
	if said = tr.verb(t, "unfence", h.Name); !strings.Contains(said, "has its power back") {
		t.Errorf("mainstay unfence said %q", said)
	}
	tr.healthy(t)
	if last, err := tr.Last(tr.ctx, state.Failover); err != nil || last.ID != op.ID {
		t.Errorf("fencing a replica's host changed the primary: %+v, %v", last, err)
	}
	tr.dual.Stop()
	if o := tr.dual.Overlaps(); len(o) > 0 {
		t.Errorf("two members acknowledged writes at once: %v", o)
	}
}

// device names a host's BMC in the platform file, as an operator would: export, edit, apply.
func (tr *trial) device(t *testing.T, host string, bmc *testbed.BMC) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "platform.yaml")
	lines := strings.Split(tr.verb(t, "export"), "\n")
	for i, line := range lines {
		if strings.Contains(line, "name: "+host+",") && strings.HasSuffix(line, "}") {
			lines[i] = strings.TrimSuffix(line, "}") + ", fence: [" + bmc.Fence() + "]}"
		}
	}
	tr.check(t, os.WriteFile(file, []byte(strings.Join(lines, "\n")), 0o600))
	if said := tr.verb(t, "apply", "-f", file, "--yes"); !strings.Contains(tr.verb(t, "export"), "fence_ipmilan") {
		t.Fatalf("the device is not in the platform: %s", said)
	}
}

// verb runs a verb that must succeed.
func (tr *trial) verb(t *testing.T, args ...string) string {
	t.Helper()
	out, err := tr.CLI(tr.ctx, args...)
	if err != nil {
		t.Fatalf("mainstay %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return out
}

func errText(err error) string {
	if err != nil {
		return err.Error()
	}
	return ""
}
