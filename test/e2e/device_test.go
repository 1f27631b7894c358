package e2e

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"mainstay/controller/platform"
	"mainstay/fencing"
	"mainstay/fencing/device"
	"mainstay/test/testbed"
)

// TestIPMI cuts the power of a process through fence_ipmilan and a simulated BMC, and gives it back.
func TestIPMI(t *testing.T) {
	victim := exec.Command("sleep", "1000")
	if err := victim.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() { _ = victim.Wait(); close(ended) }()
	t.Cleanup(func() { _ = victim.Process.Kill(); <-ended })
	started := 0
	bmc := newBMC(t, func(ctx context.Context) (*testbed.BMC, error) {
		return testbed.NewBMC(ctx, t.TempDir(), "127.0.0.1", func() error {
			err := victim.Process.Kill()
			<-ended
			return err
		}, func() error { started++; return nil })
	})
	var agents device.Agents
	host := behind(bmc, bmc.Secret())
	if found := agents.Check(t.Context(), host); len(found) > 0 {
		t.Fatal(found)
	}
	ladder := agents.Ladder(host)
	if s := ladder.Status(t.Context()); s[0].Power != fencing.PowerOn {
		t.Fatalf("got %+v", s)
	}
	r := ladder.Off(t.Context())
	select {
	case <-ended:
	default:
		t.Errorf("%s, but the process runs on", r)
	}
	if on, err := bmc.Powered(); r.Verdict != fencing.Fenced || on || err != nil {
		t.Fatalf("got %+v; power %v, %v", r, on, err)
	}
	t.Logf("%s in %s", r, r.Answers[0].Took)
	if again := ladder.Off(t.Context()); again.Verdict != fencing.Fenced {
		t.Errorf("a host that is off already: %+v", again)
	}
	if _, err := ladder.On(t.Context()); err != nil || started != 1 {
		t.Errorf("got %v, started %d times", err, started)
	}
}

// TestIPMIRefuses: what goes wrong with a BMC is said, and proves nothing.
func TestIPMIRefuses(t *testing.T) {
	bmc := newBMC(t, func(ctx context.Context) (*testbed.BMC, error) {
		return testbed.NewBMC(ctx, t.TempDir(), "127.0.0.1", nil, nil)
	})
	wrong := filepath.Join(t.TempDir(), "wrong")
	if err := os.WriteFile(wrong, []byte("Wr0ng-Wr0ng\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	var agents device.Agents
	host := behind(bmc, wrong)
	r := agents.Ladder(host).Off(t.Context())
	if on, _ := bmc.Powered(); r.Verdict != fencing.Unproven || !on || strings.Contains(r.String(), "Wr0ng") ||
		!strings.Contains(r.String(), "off exited 1: Failed") {
		t.Errorf("got %s, %+v; power %v", r, r, on)
	}
	delete(host.Fence[0].Parameters, "ip")
	found := agents.Check(t.Context(), host)
	if len(found) != 1 || !strings.Contains(found[0].Error(), "You have to enter fence address") {
		t.Errorf("got %v", found)
	}
}

// TestPowerCut: the device of the primary's host ends all of it, and another member takes over.
func TestPowerCut(t *testing.T) {
	if _, err := exec.LookPath("ipmi_sim"); err != nil && os.Getenv("MAINSTAY_NEED_FENCE") == "" {
		t.Skip(testbed.ErrNoBMC)
	}
	tr := begin(t, testbed.Options{})
	p := tr.primary(t)
	h := tr.Host(p)
	bmc := newBMC(t, func(ctx context.Context) (*testbed.BMC, error) { return tr.BMC(ctx, h.Name, "127.0.0.1") })
	var agents device.Agents
	ladder := agents.Ladder(behind(bmc, bmc.Secret()))
	if r := ladder.Off(tr.ctx); r.Verdict != fencing.Fenced {
		t.Fatalf("got %+v", r)
	}
	if left := tr.Everything(h); len(left) > 0 || tr.Postmaster(p) != 0 {
		t.Errorf("without power, but processes %v run", left)
	}
	tr.failedOver(t, p, fencing.QuorumSealed, fencing.LeaseExpired, fencing.PoweredOff)
	_, err := ladder.On(tr.ctx)
	tr.check(t, err)
	tr.healthy(t)
	tr.judge()
}

// behind is a host with that BMC.
func behind(b *testbed.BMC, secret string) platform.Host {
	return platform.Host{Name: "db-e1", Fence: []platform.FenceDevice{{Agent: "fence_ipmilan", Parameters: b.Parameters(),
		Secrets: map[string]string{"password": secret}, Timeout: time.Minute, Level: 1}}}
}

func newBMC(t *testing.T, make func(ctx context.Context) (*testbed.BMC, error)) *testbed.BMC {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	b, err := make(ctx)
	if errors.Is(err, testbed.ErrNoBMC) && os.Getenv("MAINSTAY_NEED_FENCE") == "" {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.Close() })
	return b
}
