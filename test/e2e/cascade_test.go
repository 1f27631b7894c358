package e2e

import (
	"fmt"
	"strings"
	"syscall"
	"testing"

	"mainstay/controller/wire"
	"mainstay/fencing"
	"mainstay/test/testbed"
)

// TestCascade: of two replicas on west, the one for whose acknowledgements commits do not wait streams from the other.
func TestCascade(t *testing.T) {
	t.Parallel()
	c := &cascade{begin(t, testbed.Options{Members: 4, Settings: []string{"durability: {acks: 1}"},
		MemberLines: map[string]string{"feed-e2": "may-lead: false", "feed-w2": "may-ack: false"}})}
	c.led(t, "feed-e1")
	c.steps(t, []step{{"relay", c.upstreams}, {"relay killed", c.upstreamKilled}, {"failover to west", c.failover}})
	c.judge()
}

type cascade struct{ *trial }

// upstreams: feed-w2 streams from feed-w1, and the primary sends to feed-w1 only.
func (c *cascade) upstreams(t *testing.T) {
	c.upstream(t, "feed-w2", "feed-w1")
	c.streams(t, "feed-w1", "feed-w2")
	c.streams(t, "feed-e1", "feed-w1")
	if names := c.senders(t, "feed-e1"); strings.Contains(names, "feed-w2") {
		t.Errorf("the primary sends to %s", names)
	}
	c.slotsMoveOn(t)
}

// upstreamKilled: without its upstream the other replica streams from the primary itself, and from the upstream when that is back.
func (c *cascade) upstreamKilled(t *testing.T) {
	c.check(t, testbed.Signal(syscall.SIGKILL, c.Everything(c.Host("feed-w1"))...))
	c.upstream(t, "feed-w2", "")
	c.streams(t, "feed-e1", "feed-w2")
	c.check(t, c.StartAgent("db-w1"))
	c.healthy(t)
	c.upstreams(t)
}

// failover: the upstream becomes primary; the other one of its site streams from it as before.
func (c *cascade) failover(t *testing.T) {
	p := c.primary(t)
	c.check(t, testbed.Signal(syscall.SIGKILL, c.Everything(c.Host(p))...))
	c.failedOver(t, p, fencing.QuorumSealed, fencing.LeaseExpired)
	if now := c.primaryNow(t); now != "feed-w1" {
		t.Errorf("%s took over, want feed-w1", now)
	}
	c.check(t, c.StartAgent(c.Host(p).Name))
	c.healthy(t)
	c.streams(t, "feed-w1", "feed-w2")
	c.slotsMoveOn(t)
}

// upstream waits until status says from whom a replica streams, "" for the primary, and that it does.
func (c *cascade) upstream(t *testing.T, member, from string) {
	t.Helper()
	c.check(t, c.Wait(c.ctx, fmt.Sprintf("%s to stream from %q", member, from), func() (bool, string) {
		now, err := c.Cluster(c.ctx)
		for _, m := range now.Members {
			if m.Name == member {
				return m.Upstream == from && m.Seen != nil && m.Seen.Streams(), status(m)
			}
		}
		return false, errText(err)
	}))
}

func status(m wire.MemberStatus) string { return fmt.Sprintf("%q %+v", m.Upstream, m.Seen) }

// streams waits until a member sends to another.
func (c *cascade) streams(t *testing.T, from, to string) {
	t.Helper()
	c.check(t, c.Wait(c.ctx, from+" to send to "+to, func() (bool, string) {
		names := c.senders(t, from)
		return strings.Contains(names, to+"_"), names
	}))
}

func (c *cascade) senders(t *testing.T, member string) string {
	t.Helper()
	out, err := c.SQL(c.ctx, member, "postgres", "SELECT string_agg(application_name, ' ') FROM pg_stat_replication WHERE state = 'streaming'")
	c.check(t, err)
	return out
}

// slotsMoveOn wants every slot of every member to pass the present position: none may hold WAL for ever.
func (c *cascade) slotsMoveOn(t *testing.T) {
	t.Helper()
	mark, err := c.SQL(c.ctx, c.primaryNow(t), "postgres", "SELECT pg_current_wal_lsn()")
	c.check(t, err)
	for _, h := range c.Of(false) {
		c.check(t, c.Wait(c.ctx, "every slot of "+h.Member+" to pass "+mark, func() (bool, string) {
			behind, err := c.SQL(c.ctx, h.Member, "postgres",
				"SELECT string_agg(slot_name || ' ' || restart_lsn, ', ') FROM pg_replication_slots WHERE restart_lsn < '"+mark+"'")
			return err == nil && behind == "", behind + errText(err)
		}))
	}
}
