package supervisor

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"slices"
	"sync"
	"time"

	"mainstay/controller/boottime"
	"mainstay/controller/member"
	"mainstay/controller/platform"
	"mainstay/controller/wire"
	"mainstay/fencing/guard"
	"mainstay/fencing/guard/machine"
	"mainstay/health"
)

// guards is the agent's view of a member's two guards. The lease path only calls extend, which talks to the guards and to nothing else.
type guards struct {
	beginning sync.Mutex // one Start at a time, by a look or an act; taken before mu

	mu     sync.Mutex
	set    *guard.Set // nil until they were started
	armed  platform.Epoch
	paired time.Duration // when both last said that they watch each other (CLOCK_BOOTTIME); 0 if they have denied it since
	bids   uint64        // count of commands sent to them and of their replacements
	kept   statusKept
}

// statusKept is the last status of guards that are both well. It stays valid for a while, until they get a command or one of them ends,
// which the kernel reports.
type statusKept struct {
	status     guard.Status
	at         time.Duration // CLOCK_BOOTTIME; 0: they were not both well
	bids       uint64
	postmaster int
}

// Guards are not asked again for restFor while they are idle, as those of replicas are, and for renewedFor after a lease: its answer is
// a status too, and a leader renews it in half that time. Each question costs both of them a turn of the CPU.
const (
	restFor    = 2 * time.Second
	renewedFor = time.Second
)

// holds tells whether the status is still that of the guards, after so many commands.
func (a *statusKept) holds(bids uint64, postmaster int, now time.Duration) bool {
	end := a.at
	switch states := [2]machine.State{a.status.Guards[0].State, a.status.Guards[1].State}; states {
	case [2]machine.State{machine.Idle, machine.Idle}:
		end += restFor
	case [2]machine.State{machine.Armed, machine.Armed}:
		end = min(end+renewedFor, a.status.End)
	}
	return a.at != 0 && now < end && a.bids == bids && a.postmaster == postmaster
}

// last returns the status while it is valid. The caller owns the list in it: each report adds to its own while earlier reports are still
// being sent.
func (g *guards) last(postmaster int, now time.Duration) (guard.Status, bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	st := g.kept.status
	st.Missing = slices.Clone(st.Missing)
	return st, g.kept.holds(g.bids, postmaster, now)
}

// answer keeps the status that they gave after bids, if both are well. The status of a lease counts for the postmaster that they were
// last asked about.
func (g *guards) answer(st guard.Status, err error, bids uint64, postmaster int, now time.Duration) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if err != nil || !st.Peer {
		now = 0
	}
	st.Missing = slices.Clone(st.Missing)
	g.kept = statusKept{st, now, bids, postmaster}
}

// bid counts a command before it is sent.
func (g *guards) bid() uint64 {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.bids++
	return g.bids
}

// before is how many commands they have got, and about which postmaster they were last asked.
func (g *guards) before() (bids uint64, postmaster int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.bids, g.kept.postmaster
}

// ask is Status, but does not wake the guards for each look.
func (g *guards) ask(set *guard.Set, postmaster int) (guard.Status, error) {
	now := boottime.Now()
	if st, ok := g.last(postmaster, now); ok && set.Alive() && set.Connected() {
		return st, nil
	}
	bids, _ := g.before()
	st, err := set.Status()
	g.answer(st, err, bids, postmaster, now)
	return st, err
}

// unansweredFine is how long living guards that last reported no fault may leave the agent without an answer.
const unansweredFine = 2 * time.Second

var errNoGuards = errors.New("the guards are not running yet")

// ensure starts the guards. It also connects again to guards that an earlier agent left, or that no longer answer on the present
// connection: a stall of this host may break it, and no lease would reach them again. It must not be called on the lease path.
func (g *guards) ensure(ctx context.Context, o guard.Options) error {
	g.mu.Lock()
	set := g.set
	g.mu.Unlock()
	if set != nil && set.Alive() && set.Connected() {
		return nil
	}
	return g.begin(ctx, o)
}

// renew ensures, before PostgreSQL starts, that the guards have a launcher. It replaces idle guards whose launcher has died or whose
// build had none, and starts missing ones.
func (g *guards) renew(ctx context.Context, o guard.Options) error {
	if set := g.get(); set != nil && set.Launcher() {
		return nil
	}
	return g.begin(ctx, o)
}

func (g *guards) begin(ctx context.Context, o guard.Options) error {
	g.beginning.Lock()
	defer g.beginning.Unlock()
	next, err := guard.Start(ctx, o)
	if err != nil {
		return err
	}
	armed := platform.Epoch{}
	if st, err := next.Status(); err == nil {
		armed, _, _ = st.Lease() // by an earlier agent
	}
	g.mu.Lock()
	old := g.set
	g.set, g.armed, g.paired = next, armed, 0
	g.bids++
	g.mu.Unlock()
	if old != nil {
		old.Close()
	}
	return nil
}

// launch starts PostgreSQL as a child of the guards' launcher, so that the kernel ends it with them (L2). If there is no launcher
// (armed guards cannot be replaced), it becomes the agent's child, and reports name what is missing.
func (g *guards) launch(ctx context.Context, cmd *exec.Cmd) (int, func() error, error) {
	if set := g.get(); set != nil {
		pid, wait, err := set.Launch(ctx, cmd)
		if !errors.Is(err, guard.ErrNoLauncher) {
			return pid, wait, err
		}
	}
	if err := cmd.Start(); err != nil {
		return 0, nil, err
	}
	return cmd.Process.Pid, cmd.Wait, nil
}

func (g *guards) extend(epoch platform.Epoch, end time.Duration) error {
	set := g.get()
	if set == nil {
		return errNoGuards
	}
	bids := g.bid()
	_, postmaster := g.before()
	now := boottime.Now()
	st, err := set.Renew(epoch.String(), end)
	g.answer(st, err, bids, postmaster, now)
	if err != nil {
		return err
	}
	g.mu.Lock()
	g.armed = epoch
	g.mu.Unlock()
	return nil
}

// disarm makes the guards idle: PostgreSQL has stopped, is about to start as a standby, or its cluster is paused.
func (g *guards) disarm() error {
	set := g.get()
	if set == nil {
		return nil
	}
	g.bid()
	if err := set.Disarm(); err != nil {
		return err
	}
	g.mu.Lock()
	g.armed = platform.Epoch{}
	g.mu.Unlock()
	return nil
}

// lease is the lease that both guards hold, even if an earlier agent armed them; zero if they do not hold the same one.
func (g *guards) lease() (member.Lease, error) {
	set := g.get()
	if set == nil {
		return member.Lease{}, errNoGuards
	}
	st, err := set.Status()
	if err != nil {
		return member.Lease{}, err
	}
	epoch, end, _ := st.Lease()
	return member.Lease{Epoch: epoch, End: end}, nil
}

func (g *guards) get() *guard.Set {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.set
}

func (g *guards) isArmed() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return !g.armed.IsZero()
}

// armedFor tells whether they are already armed for that epoch; for another epoch their end may move back.
func (g *guards) armedFor(epoch platform.Epoch) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.armed == epoch
}

// leftArmed is an error while a guard that listens in dir, left by an earlier agent, holds a lease or cannot be read: only that guard may
// be able to find the processes that it must end.
func (*guards) leftArmed(ctx context.Context, dir string) error {
	for _, slot := range []string{"a", "b"} {
		pid, err := guard.Listening(ctx, dir, slot)
		if pid == 0 && err == nil {
			continue
		}
		var duty *guard.DutyPage
		if err == nil {
			duty, err = guard.OpenDutyPage(pid)
		}
		if err != nil {
			return fmt.Errorf("check whether PostgreSQL runs without its data directory: %w", err)
		}
		end := duty.Duty().End
		if err := duty.Close(); err != nil {
			return err
		}
		if end != 0 {
			return errors.New("the data directory is missing, and the guards have not yet ended the PostgreSQL that ran on it")
		}
	}
	return nil
}

// pids are the processes of both guards, 0 if they were not started.
func (g *guards) pids() [2]int {
	set := g.get()
	if set == nil {
		return [2]int{}
	}
	return set.PIDs()
}

// check asks the guards for their status, for the next report. outside are processes of the member that they do not reach; postmaster
// is 0 if none runs.
func (g *guards) check(fault error, outside, postmaster int) health.Guard {
	set := g.get()
	if set == nil {
		missing := []string{"the guards are not running"}
		if fault != nil {
			missing = []string{fault.Error()}
		}
		return health.Guard{Missing: missing}
	}
	st, err := g.ask(set, postmaster)
	whole := g.whole(st.Peer, err, set.Alive() && set.Connected(), boottime.Now())
	out := health.Guard{Complete: whole && outside == 0, Missing: st.Missing}
	if err != nil {
		out.Missing = append(out.Missing, err.Error())
	}
	if outside > 0 {
		out.Missing = append(out.Missing, "processes outside the member's cgroup, until its next restart")
	}
	if err == nil && postmaster != 0 && !st.Kept(postmaster) {
		out.Missing = append(out.Missing, wire.MissingKernelEnd+", until its next restart")
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if st.Armed {
		out.Armed = g.armed
	}
	return out
}

// whole tells whether both guards live and watch each other. A late answer is weak evidence: usually the agent itself was late, on a
// host without a free processor, and reporting incomplete guards would cost the primary its next lease. No guard accepts a lease
// without answering, and the kernel reports their end.
func (g *guards) whole(peer bool, err error, alive bool, now time.Duration) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if errors.Is(err, guard.ErrNoAnswer) && alive {
		return g.paired != 0 && now-g.paired <= unansweredFine
	}
	if err != nil || !peer {
		g.paired = 0
		return false
	}
	g.paired = now
	return true
}

func (g *guards) close() {
	if set := g.get(); set != nil {
		set.Close()
	}
}
