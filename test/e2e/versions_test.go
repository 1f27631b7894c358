package e2e

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"mainstay/controller/wire"
	"mainstay/fencing"
	"mainstay/test/testbed"
)

// versions are the folders of the programs of further major versions of PostgreSQL, by the version's name.
func versions(t *testing.T) map[string]string {
	t.Helper()
	found := map[string]string{}
	for _, dir := range filepath.SplitList(os.Getenv("MAINSTAY_PG_BINS")) {
		out, err := exec.CommandContext(t.Context(), filepath.Join(dir, "postgres"), "--version").Output()
		name := strings.Fields(string(out))
		if err != nil || len(name) < 3 {
			t.Fatalf("%s of MAINSTAY_PG_BINS: %v: %q", dir, err, out)
		}
		found[name[2]] = dir
	}
	return found
}

// TestVersions: what depends on PostgreSQL's version most, on each that MAINSTAY_PG_BINS names. All other tests run on one.
func TestVersions(t *testing.T) {
	t.Parallel()
	if len(versions(t)) == 0 {
		t.Skip("MAINSTAY_PG_BINS names no further version of PostgreSQL")
	}
	for name, dir := range versions(t) {
		for what, do := range map[string]func(*testing.T,
			string){"failover and rewind": failedOverAndRewound, "quarantine": quarantine, "adoption": adopt} {
			t.Run(name+" "+what, func(t *testing.T) {
				t.Parallel()
				do(t, dir)
			})
		}
		if majorOf(t, name) >= 17 {
			t.Run(name+" incremental backups", func(t *testing.T) {
				t.Parallel()
				incrementals(t, dir)
			})
		}
	}
	if name := newest(t); name != "" {
		t.Run(name+" failover slots", func(t *testing.T) {
			t.Parallel()
			subscribed(t, versions(t)[name])
		})
	}
}

// newest is the highest of the versions that have failover slots, "" for none.
func newest(t *testing.T) (name string) {
	t.Helper()
	most := 16
	for v := range versions(t) {
		if major := majorOf(t, v); major > most {
			name, most = v, major
		}
	}
	return name
}

// majorOf is the major version of 18.1 or 19beta1.
func majorOf(t *testing.T, version string) int {
	t.Helper()
	major, err := strconv.Atoi(version[:min(2, len(version))])
	if err != nil {
		t.Fatalf("version %q: %v", version, err)
	}
	return major
}

// failedOverAndRewound: a crash of the primary, then the loss of one that has commits that nobody waited for.
func failedOverAndRewound(t *testing.T, binaries string) {
	tr := begin(t, testbed.Options{Binaries: binaries})
	tr.postmasterKilled(t)
	p := tr.primary(t)
	tr.loseCommits(t, p, 3)
	tr.check(t, testbed.Signal(syscall.SIGKILL, tr.Everything(tr.Host(p))...))
	tr.failedOver(t, p, fencing.QuorumSealed, fencing.LeaseExpired)
	tr.check(t, tr.StartAgent(tr.Host(p).Name))
	tr.healthy(t)
	if piece := tr.onlyPiece(t, p); piece.How != wire.Rewound || piece.Transactions < 3 {
		t.Errorf("%s came back by %s, and %d transactions were left out", p, piece.How, piece.Transactions)
	}
	tr.judge()
}

// TestTour is the demo's tour, as its script runs it: on the version that everything else runs on, and on each other one.
func TestTour(t *testing.T) {
	t.Parallel()
	all := versions(t)
	all["the usual"] = os.Getenv("MAINSTAY_PG_BIN")
	for name, dir := range all {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithTimeout(t.Context(), testLimit)
			defer cancel()
			args := []string{"--tour"}
			if dir != "" {
				args = append(args, "--binaries", dir)
			}
			cmd := exec.CommandContext(ctx, "../../deploy/demo", args...)
			cmd.WaitDelay = time.Minute
			out, err := cmd.CombinedOutput()
			if err != nil || !strings.Contains(string(out), "The tour is over") {
				t.Fatalf("%v\n%s", err, out)
			}
			for line := range strings.Lines(string(out)) {
				if strings.Contains(line, "write outage") || strings.HasPrefix(line, "==") {
					t.Log(strings.TrimSpace(line))
				}
			}
		})
	}
}
