package e2e

import (
	"context"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"mainstay/controller/state"
	"mainstay/controller/wire"
	"mainstay/health"
	"mainstay/test/testbed"
)

// TestControllersRecover: the site with the primary and two of three controllers is lost. The survivor goes on in a new
// generation and waits for an operator's word; when everything lost comes back, its old majority of controllers gives up, and
// its members return as replicas.
func TestControllersRecover(t *testing.T) {
	tr := build(t, testbed.Options{Settings: []string{"durability: {acks: 1, when-short: degrade}"}})
	tr.must(tr.Start(tr.ctx))
	tr.led(t, "feed-e1")
	tr.must(tr.put("feed-e1", "kept"))
	tr.must(tr.Wait(tr.ctx, "feed-w1 to hold what was written", func() (bool, string) {
		n, err := tr.SQL(tr.ctx, "feed-w1", "postgres", "SELECT count(*) FROM kept")
		return n == "1", errText(err)
	}))
	tr.must(tr.LoseSite("east"))
	tr.must(tr.Kill("controller c3", syscall.SIGKILL))
	tr.must(tr.Kill("controller c2", syscall.SIGTERM))
	t.Log("east is lost, with c1, and c3 as well")

	file := tr.Dir + "/etc/controller-c2.yaml"
	out, err := tr.CLI(tr.ctx, "controllers", "recover", "-f", file, "--dry-run")
	if err != nil || !strings.Contains(out, "generation 2 begins") || !strings.Contains(out, "c1, c3") ||
		!strings.Contains(out, "feed-e1 on site east") {
		t.Fatalf("dry run: %v\n%s", err, out)
	}
	out, err = tr.CLI(tr.ctx, "controllers", "recover", "-f", file, "--reason", "east burnt down", "--yes")
	if err != nil || !strings.Contains(out, "c2 is now the only controller of platform social") {
		t.Fatalf("recover: %v\n%s", err, out)
	}
	tr.must(tr.StartController("c2"))
	survivor := tr.of("c2")
	defer survivor.Close()
	status := func() (st wire.Status, err error) {
		ctx, cancel := context.WithTimeout(tr.ctx, 10*time.Second)
		defer cancel()
		return st, survivor.Do(ctx, "GET", "/v1/status", nil, &st)
	}
	tr.must(tr.Wait(tr.ctx, "the failover to wait for a word", func() (bool, string) {
		st, err := status()
		for _, p := range st.Problems {
			if p.Kind == health.FailoverWaits {
				return true, ""
			}
		}
		return false, errText(err)
	}))

	only := "--controllers=" + tr.Host("c2").Address + ":7101"
	out, err = tr.CLI(tr.ctx, "failover", "feed", only, "--to", "feed-w1", "--accept-loss", "east burnt down", "--fenced", "--yes")
	if err != nil {
		t.Fatalf("failover: %v\n%s", err, out)
	}
	tr.must(tr.Wait(tr.ctx, "writes on feed-w1", func() (bool, string) {
		err := tr.put("feed-w1", "later")
		return err == nil, errText(err)
	}))

	tr.must(tr.Mend()) // the old majority of controllers, and its members, come back
	for _, name := range []string{"controller c1", "controller c3"} {
		tr.must(tr.Wait(tr.ctx, name+" to be given up, or to lead nobody", func() (bool, string) { return tr.givenUp(name), "" }))
	}
	tr.must(tr.Wait(tr.ctx, "the old members to follow feed-w1", func() (bool, string) {
		st, err := status()
		if err != nil || st.Leader != "c2" || len(st.Clusters) != 1 {
			return false, errText(err)
		}
		c, streaming := st.Clusters[0], 0
		for _, m := range c.Members {
			if m.Seen != nil && m.Seen.Role == health.RoleStandby && m.Seen.Streams() && m.Seen.Epoch == c.Epoch {
				streaming++
			}
		}
		return c.Primary == "feed-w1" && c.Epoch.Generation == 2 && streaming == 2, c.Now
	}))
	for _, m := range []string{"feed-e1", "feed-e2", "feed-w1"} {
		for _, table := range []string{"kept", "later"} {
			tr.must(tr.Wait(tr.ctx, table+" on "+m, func() (bool, string) {
				n, err := tr.SQL(tr.ctx, m, "postgres", "SELECT count(*) FROM "+table)
				return n == "1", errText(err)
			}))
		}
	}
	var h wire.HistoryAnswer
	tr.must(survivor.Do(tr.ctx, "GET", "/v1/clusters/feed/history?limit=100", nil, &h))
	found := false
	for _, op := range h.Operations {
		found = found || op.Kind == state.Recovery && strings.Contains(op.Reason, "east burnt down")
	}
	if !found {
		t.Error("the history says nothing of the recovery")
	}
}

// put makes a table with one row.
func (tr *trial) put(member, table string) error {
	ctx, cancel := context.WithTimeout(tr.ctx, time.Minute)
	defer cancel()
	_, err := tr.SQL(ctx, member, "postgres", "SET statement_timeout = '45s'; CREATE TABLE IF NOT EXISTS "+table+" AS SELECT 1 AS id")
	return err
}

// of is a client that asks one controller alone.
func (tr *trial) of(controller string) *wire.Client {
	return tr.ClientOf(tr.Host(controller).Address + ":7101")
}

// givenUp tells whether an old controller has exited because agents obey a later generation, or knows no majority.
func (tr *trial) givenUp(name string) bool {
	log, err := os.ReadFile(tr.Dir + "/log/" + strings.ReplaceAll(name, " ", "-") + ".log")
	if err != nil {
		return false
	}
	if strings.Contains(string(log), "`mainstay controllers recover` replaced this controller's group") {
		return true
	}
	var id wire.Identity
	c := tr.of(strings.TrimPrefix(name, "controller "))
	defer c.Close()
	ctx, cancel := context.WithTimeout(tr.ctx, 5*time.Second)
	defer cancel()
	return c.Do(ctx, "GET", "/v1/controller", nil, &id) == nil && id.Leader == ""
}
