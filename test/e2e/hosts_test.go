package e2e

import (
	"errors"
	"testing"

	"mainstay/controller/state"
	"mainstay/test/platform/dualwriter"
	"mainstay/test/testbed"
)

// network makes hosts of their own (network namespaces), which go with the test; it skips where that is not allowed.
func network(t *testing.T, names ...string) *testbed.Netns {
	t.Helper()
	n, err := testbed.NewNetns(names...)
	if errors.Is(err, testbed.ErrNotAllowed) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := n.Close(); err != nil {
			t.Error(err)
		}
	})
	return n
}

// onHosts are clients on the members' hosts, through the members' own sockets: no cut keeps them off.
func (tr *trial) onHosts() (hosts []dualwriter.Host) {
	for _, h := range tr.Of(false) {
		hosts = append(hosts, dualwriter.Host{Name: h.Name, DSN: "host=" + tr.Socket(h.Member) + " user=root dbname=feed sslmode=disable"})
	}
	return hosts
}

// primaryNow asks the leader, whether or not all is healthy.
func (tr *trial) primaryNow(t *testing.T) (primary string) {
	t.Helper()
	tr.check(t, tr.Wait(tr.ctx, "a leader to say who is primary", func() (bool, string) {
		c, err := tr.Cluster(tr.ctx)
		primary = c.Primary
		return err == nil, errText(err)
	}))
	return primary
}

// newest is the number of the newest operation of cluster feed.
func (tr *trial) newest(t *testing.T) (newest int) {
	t.Helper()
	for _, kind := range []state.OperationKind{state.Bootstrap, state.Failover, state.Switchover, state.Rejoin} {
		if op, err := tr.Last(tr.ctx, kind); err == nil {
			newest = max(newest, serial(op.ID))
		}
	}
	if newest == 0 {
		t.Fatal("the history has no operation at all")
	}
	return newest
}
