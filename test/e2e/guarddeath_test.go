package e2e

import (
	"context"
	"database/sql"
	"fmt"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"mainstay/controller/platform"
	"mainstay/controller/state"
	"mainstay/fencing"
	"mainstay/test/platform/pgclient"
	"mainstay/test/testbed"
)

// TestGuardsAndAgentKilledAtOnce: nobody is left on the primary's host who could end PostgreSQL, so the kernel does (L2).
// It acknowledges nothing from then on, and the platform fails over with nothing lost.
func TestGuardsAndAgentKilledAtOnce(t *testing.T) {
	tr := begin(t, testbed.Options{})
	p, direct := tr.guardsAndAgentKilled(t)
	tr.failedOver(t, p, fencing.QuorumSealed, fencing.LeaseExpired)
	tr.backWithGuards(t, p)
	direct.judge(t)
	tr.judge()
}

// TestGuardsAndAgentKilledAtOnceAsynchronous: with acks 0 only the proof that the lease has ended stands between two
// primaries, so it must be true.
func TestGuardsAndAgentKilledAtOnceAsynchronous(t *testing.T) {
	tr := begin(t, testbed.Options{Members: 2})
	p, direct := tr.guardsAndAgentKilled(t)
	tr.failedOver(t, p, fencing.LeaseExpired)
	op, err := tr.Last(tr.ctx, state.Failover)
	tr.check(t, err)
	if !strings.Contains(op.Loss, "acks is 0") {
		t.Errorf("the history does not say what may be lost: %q", op.Loss)
	}
	tr.backWithGuards(t, p)
	direct.judge(t)
	tr.dual.Stop()
	if o := tr.dual.Overlaps(); len(o) > 0 {
		t.Errorf("two members acknowledged writes at once: %v", o)
	}
}

// guardsAndAgentKilled kills them while a client on the host writes, and waits until nothing of PostgreSQL is left there.
func (tr *trial) guardsAndAgentKilled(t *testing.T) (primary string, d *directWriter) {
	t.Helper()
	p := tr.primary(t)
	tr.kept(t)
	d = tr.writeDirectly(t, p)
	h := tr.Host(p)
	tr.check(t, tr.Wait(tr.ctx, "the direct client's writes", func() (bool, string) { return d.acked() > 20, "" }))
	var victims []int // the agent, which nobody starts again, and the guards
	backends := map[int]bool{}
	guards := tr.Guards(p)
	for _, pid := range tr.Everything(h) {
		if cwd, _ := os.Readlink(fmt.Sprintf("/proc/%d/cwd", pid)); cwd == tr.Data(p) {
			backends[pid] = true
		} else {
			victims = append(victims, pid)
		}
	}
	if len(guards) != 2 || len(victims) != 3 || len(backends) < 5 {
		t.Fatalf("about to kill %v (guards %v), beside PostgreSQL's %d processes", victims, guards, len(backends))
	}
	d.cut(time.Now())
	// Stopped first, or a guard may see its peer's death and kill the tree before it dies itself.
	tr.check(t, testbed.Signal(syscall.SIGSTOP, victims...), testbed.Signal(syscall.SIGKILL, victims...))
	tr.check(t, tr.Wait(tr.ctx, "the end of PostgreSQL", func() (bool, string) {
		left := tr.Everything(h)
		return len(left) == 0, fmt.Sprint(left)
	}))
	took := time.Since(d.cutAt())
	if t.Logf("the last process of PostgreSQL ended %s after the guards", took.Round(time.Millisecond)); took > 5*time.Second {
		t.Errorf("PostgreSQL outlived its guards by %s", took)
	}
	return p, d
}

// kept: the kernel would end every member's PostgreSQL with its guards, as far as its agent knows.
func (tr *trial) kept(t *testing.T) {
	t.Helper()
	tr.check(t, tr.Wait(tr.ctx, "every member to be kept", func() (bool, string) {
		c, err := tr.Cluster(tr.ctx)
		if err != nil {
			return false, err.Error()
		}
		for _, m := range c.Members {
			if missing := strings.Join(m.Seen.Guard.Missing, "; "); strings.Contains(missing, "by the kernel") ||
				strings.Contains(missing, "launcher") {
				return false, m.Name + ": " + missing
			}
		}
		return true, ""
	}))
}

func (tr *trial) backWithGuards(t *testing.T, member string) {
	t.Helper()
	tr.check(t, tr.StartAgent(tr.Host(member).Name))
	tr.healthy(t)
	tr.kept(t)
}

// directWriter writes to one member by its own address, on one connection after another, which it begins tryEvery apart.
type directWriter struct {
	wg   sync.WaitGroup
	mu   sync.Mutex
	n    int
	last time.Time // the latest acknowledgement; the member is never primary again in these tests
	at   time.Time // of the cut
}

func (tr *trial) writeDirectly(t *testing.T, member string) *directWriter {
	t.Helper()
	o := patient
	o.Name, o.AnyServer = "direct", true
	db, err := pgclient.Open(tr.HostDSN(member), o)
	tr.check(t, err)
	d := &directWriter{}
	ctx, cancel := context.WithCancel(tr.ctx)
	t.Cleanup(func() { cancel(); d.wg.Wait(); db.Close() })
	tr.check(t, tr.Wait(tr.ctx, "the table of the direct client", func() (bool, string) {
		err := d.once(ctx, db, "CREATE TABLE IF NOT EXISTS direct (at timestamptz)")
		return err == nil, errText(err)
	}))
	d.wg.Go(func() {
		for ctx.Err() == nil {
			if d.once(ctx, db, "INSERT INTO direct VALUES (clock_timestamp())") == nil {
				d.ack(time.Now())
			}
			select {
			case <-ctx.Done():
			case <-time.After(tryEvery):
			}
		}
	})
	return d
}

func (d *directWriter) once(ctx context.Context, db *sql.DB, statement string) error {
	conn, err := db.Conn(ctx)
	if err == nil {
		defer conn.Close()
		_, err = pgclient.Exec(ctx, conn, statement)
	}
	return err
}

func (d *directWriter) ack(at time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.n++
	d.last = at
}

func (d *directWriter) acked() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.n
}

func (d *directWriter) cut(at time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.at = at
}

func (d *directWriter) cutAt() time.Time {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.at
}

// judge: the old primary acknowledged nothing past the bound of a guard's kill.
func (d *directWriter) judge(t *testing.T) {
	t.Helper()
	d.mu.Lock()
	defer d.mu.Unlock()
	late := d.last.Sub(d.at)
	if t.Logf("the old primary's last acknowledgement came %s after the guards were killed",
		late.Round(time.Millisecond)); late > platform.GuardKill {
		t.Errorf("a commit was acknowledged %s after all guards were killed, want at most %s", late, platform.GuardKill)
	}
}
