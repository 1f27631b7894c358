// Package e2e runs the whole of Mainstay on real PostgreSQL: real controllers, agents and guards, killed for real, while
// clients write and keep a ledger of what was acknowledged.
//
// A test of faults has the machine to itself. The others, which mostly wait, run last, two at a time on two CPUs, each on a platform of
// its own; those that differ in PostgreSQL's version only do so without the race detector.
package e2e

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"mainstay/test/platform/dualwriter"
	"mainstay/test/platform/load"
	"mainstay/test/platform/pgclient"
	"mainstay/test/testbed"
)

// binary is the program under test, built once with the race detector, and plain without; server an app server of the sample platform.
var binary, plain, server string

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "mainstay-bin-")
	if err == nil {
		binary = filepath.Join(dir, "mainstay")
		plain = filepath.Join(dir, "mainstay-plain")
		server = filepath.Join(dir, "feedserver")
		for _, args := range [][]string{{"-race", "-o", binary, "mainstay/cmd/mainstay"}, {"-o", plain, "mainstay/cmd/mainstay"},
			{"-o", server, "mainstay/test/platform/feedserver"}} {
			var out []byte
			if out, err = exec.Command("go", append([]string{"build"}, args...)...).CombinedOutput(); err != nil {
				err = fmt.Errorf("%w\n%s", err, out)
				break
			}
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "build mainstay:", err)
		os.Exit(1)
	}
	subnets.Store(int32(os.Getpid() % 60 * 4)) // beside another run of these tests
	code := m.Run()
	os.RemoveAll(dir)
	os.Exit(code)
}

var subnets atomic.Int32

// A machine of two CPUs, on which a process or a connection may cost tens of milliseconds, must keep up with the clients of a
// test beside the platform itself, and must not take its own slowness for silence.
const (
	writeEvery = 25 * time.Millisecond  // from one write of a writer to its next
	tryEvery   = 50 * time.Millisecond  // from one attempt on a host to the next
	retryAfter = 100 * time.Millisecond // pause of a writer that found no primary
	patience   = 2 * time.Second        // of a client, for a connection or an answer
	testLimit  = 15 * time.Minute       // for a whole test
)

// patient are the habits of the writers.
var patient = pgclient.Options{Connect: patience, Statement: 2 * patience}

// trial is one testbed with its clients.
type trial struct {
	*testbed.Testbed
	t      *testing.T
	ctx    context.Context
	load   *load.Client
	direct *load.Direct
	dual   *dualwriter.Tester
}

// begin starts a healthy platform with a load and with a client on each host that tries to write all the time.
func begin(t *testing.T, o testbed.Options) *trial {
	t.Helper()
	tr := build(t, o)
	tr.must(tr.Start(tr.ctx))
	tr.clients()
	return tr
}

// build makes a platform in which nothing runs yet.
func build(t *testing.T, o testbed.Options) *trial {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), testLimit)
	t.Cleanup(cancel)
	if o.Dir == "" {
		o.Dir = folder(t)
	}
	if o.Binary == "" {
		o.Binary = binary
		if o.Binaries != "" {
			o.Binary = plain
		}
	}
	if o.Binaries == "" {
		o.Binaries = os.Getenv("MAINSTAY_PG_BIN")
	}
	if o.Subnet == 0 {
		o.Subnet = int(subnets.Add(1))
	}
	s, err := testbed.New(o)
	if err != nil {
		t.Fatal(err)
	}
	tr := &trial{Testbed: s, t: t, ctx: ctx}
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(s.Logs(60))
		}
		for _, alarm := range s.Alarms() {
			t.Error(alarm)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return tr
}

// folder is where a testbed lives. Its path is short, as those of sockets must be; the testbed removes it.
func folder(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "ms-")
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

func (tr *trial) clients() {
	tr.t.Helper()
	dsn, err := tr.Application(tr.ctx)
	tr.must(err)
	tr.direct, err = load.NewDirect(dsn, patient)
	tr.must(err)
	tr.must(tr.direct.Setup(tr.ctx))
	ledger, err := load.OpenLedger(filepath.Join(tr.Dir, "ledger"))
	tr.must(err)
	tr.load, err = load.Start(tr.ctx, load.Options{Target: tr.direct, Ledger: ledger, Writers: 2, Every: writeEvery, Retry: retryAfter})
	tr.must(err)
	var hosts []dualwriter.Host
	for _, h := range tr.Of(false) {
		hosts = append(hosts, dualwriter.Host{Name: h.Name, DSN: tr.HostDSN(h.Member)})
	}
	tr.dual, err = dualwriter.Start(tr.ctx, dualwriter.Options{Hosts: hosts, Every: tryEvery, Limit: patience})
	tr.must(err)
	tr.t.Cleanup(func() {
		tr.load.Stop()
		tr.dual.Stop()
		ledger.Close()
		tr.direct.Close()
	})
}

func (tr *trial) must(err error) {
	tr.t.Helper()
	if err != nil {
		tr.t.Fatal(err)
	}
}

// judge stops the clients and checks what they were promised: nothing acknowledged is missing, and at no time did two
// members acknowledge.
func (tr *trial) judge() {
	tr.t.Helper()
	tr.must(tr.load.Stop())
	v, err := tr.load.Verify(tr.ctx)
	tr.must(err)
	if len(v.Missing) > 0 {
		tr.t.Errorf("acknowledged posts are missing: %s", v)
	}
	tr.dual.Stop()
	if o := tr.dual.Overlaps(); len(o) > 0 {
		tr.t.Errorf("two members acknowledged writes at once: %v", o)
	}
}
