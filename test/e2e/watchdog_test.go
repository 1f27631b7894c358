package e2e

import (
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"mainstay/controller/wire"
	"mainstay/test/testbed"
)

// noWatchdog is a device that no host has, whatever the tests run on: none may ever be armed by a test.
const noWatchdog = "watchdog: {device: /dev/mainstay-no-such-watchdog}"

// TestWatchdogRequired: without the watchdog that its host requires no member is made primary, and status names why; where it
// is automatic the cluster works, and says what is missing.
func TestWatchdogRequired(t *testing.T) {
	tr := build(t, testbed.Options{AgentLines: []string{noWatchdog}, HostSetting: "watchdog: required"})
	tr.must(tr.Boot(tr.ctx))
	tr.must(tr.Apply(tr.ctx))
	const missing = "watchdog: /dev/mainstay-no-such-watchdog: there is none: no such file or directory; load its driver (or softdog)"
	tr.must(tr.Wait(tr.ctx, "the member that is to be primary to wait for the watchdog", func() (bool, string) {
		c, err := tr.Cluster(tr.ctx)
		if err != nil || c.Primary == "" {
			return false, "no primary chosen"
		}
		m := memberOf(c, c.Primary)
		if c.Opened || m.Seen != nil && (m.Seen.LeaseLeft > 0 || m.Seen.Role != "") {
			t.Fatalf("%s leads without the watchdog that its host requires: %+v", m.Name, m.Seen)
		}
		if m.Seen == nil || !strings.Contains(m.Seen.Doing, "waiting for both guards: without them it gets no lease") {
			return false, "it does something else"
		}
		return strings.Contains(strings.Join(m.Protection.Missing, "; "), missing), strings.Join(m.Protection.Missing, "; ")
	}))
	out, err := tr.CLI(tr.ctx, "status")
	if err != nil || !strings.Contains(out, "missing: "+missing) {
		t.Errorf("status does not say what is missing: %v\n%s", err, out)
	}

	tr.HostSetting = "watchdog: automatic"
	tr.must(tr.Rewrite())
	tr.must(tr.Apply(tr.ctx))
	tr.must(tr.WaitHealthy(tr.ctx))
	out, err = tr.CLI(tr.ctx, "status")
	if want := "watchdog: none: " + strings.TrimPrefix(missing, "watchdog: "); err != nil || !strings.Contains(out, want) {
		t.Errorf("status does not say %q: %v\n%s", want, err, out)
	}
	tr.holderStays(t)
	tr.requiredIsRefused(t)

	tr.HostSetting = ""
	tr.must(tr.Rewrite())
	tr.must(tr.Apply(tr.ctx))
	tr.must(tr.Wait(tr.ctx, "the holders to end", func() (bool, string) {
		for _, h := range tr.Of(false) {
			if pid := tr.Holder(h); pid != 0 {
				return false, h.Name + ": process " + strconv.Itoa(pid)
			}
		}
		return true, ""
	}))
	tr.must(tr.WaitHealthy(tr.ctx))
}

// holderStays: a restarted agent finds the holder that the one before it started.
func (tr *trial) holderStays(t *testing.T) {
	t.Helper()
	c, err := tr.Cluster(tr.ctx)
	tr.must(err)
	h := tr.Host(c.Primary)
	pid := tr.Holder(h)
	if pid == 0 {
		t.Fatal("no holder runs on " + h.Name)
	}
	tr.must(tr.Kill("agent "+h.Name, syscall.SIGKILL))
	tr.must(tr.StartAgent(h.Name))
	tr.must(tr.Wait(tr.ctx, "the restarted agent to speak of the watchdog", func() (bool, string) {
		log, err := os.ReadFile(tr.Dir + "/log/agent-" + h.Name + ".log")
		return err == nil && strings.Count(string(log), `"holder": `+strconv.Itoa(pid)) > 1, "it does not"
	}))
	if now := tr.Holder(h); now != pid {
		t.Errorf("the holder was process %d, and is %d", pid, now)
	}
	tr.must(tr.WaitHealthy(tr.ctx))
}

// requiredIsRefused: to require what is not there would end the primary.
func (tr *trial) requiredIsRefused(t *testing.T) {
	t.Helper()
	tr.HostSetting = "watchdog: required"
	tr.must(tr.Rewrite())
	out, err := tr.CLI(tr.ctx, "apply", "-f", tr.Dir+"/etc/platform.yaml", "--yes")
	if err == nil || !strings.Contains(out, "apply automatic first, and required once `status` shows it armed") {
		t.Errorf("got %v\n%s", err, out)
	}
	tr.must(tr.WaitHealthy(tr.ctx))
}

func memberOf(c wire.ClusterState, name string) wire.MemberStatus {
	for _, m := range c.Members {
		if m.Name == name {
			return m
		}
	}
	return wire.MemberStatus{}
}
