package guard

import (
	"fmt"
	"runtime"
	"slices"
	"sync"
	"time"

	"mainstay/controller/boottime"
	"mainstay/controller/platform"
	"mainstay/fencing/guard/machine"
	"mainstay/fencing/process"

	"golang.org/x/sys/unix"
)

// guard is one of the two guards: a state machine between the server's goroutines, which extend the lease, and the loop, which kills.
type guard struct {
	cfg      config
	tree     *process.Tree
	timer    *boottime.Timer
	wake     int       // eventfd: the loop checks again
	dutyPage *DutyPage // its duty; written with mu held
	prot     Protection
	pid      int

	mu         sync.Mutex // guards the fields below
	machine    machine.Guard
	kill       *Kill
	agent      *client // the connection that attached last
	peerFD     int     // pidfd of the peer, -1 without; only the loop closes it
	peerPID    int
	retired    []int  // pidfds of former guards, for the loop to close
	launcher   int    // pid of the running launcher, 0 without
	unkept     string // why the launcher that should run does not
	unkeepable bool   // the launcher could not be started, and no other guard could start one either
	leaving    bool   // exit as soon as no program ends with it
	stopping   bool   // exit was granted
}

func newGuard(cfg config, tree *process.Tree) (*guard, error) {
	timer, err := boottime.NewTimer()
	if err != nil {
		return nil, err
	}
	wake, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		timer.Close()
		return nil, fmt.Errorf("create the guard's eventfd: %w", err)
	}
	duty, err := newDutyPage(unix.Getpid())
	if err != nil {
		timer.Close()
		unix.Close(wake)
		return nil, err
	}
	return &guard{cfg: cfg, tree: tree, timer: timer, wake: wake, dutyPage: duty, pid: unix.Getpid(), peerFD: -1, machine: machine.New()}, nil
}

// loop runs on its own thread until exit is granted. It waits in the kernel, not in the Go scheduler.
func (g *guard) loop() {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	for {
		peer := g.watched()
		fds := []unix.PollFd{
			{Fd: int32(g.timer.FD()), Events: unix.POLLIN},
			{Fd: int32(g.wake), Events: unix.POLLIN},
			{Fd: int32(peer), Events: unix.POLLIN}, // -1 is ignored
		}
		if _, err := unix.Poll(fds, g.patience()); err != nil {
			continue // EINTR
		}
		if fds[2].Revents != 0 {
			g.lostPeer(peer)
		}
		due, stopping := g.check()
		if due {
			g.killTree()
		}
		if stopping {
			return
		}
	}
}

// watched returns the pidfd to wait for and closes those that are no longer needed.
func (g *guard) watched() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, fd := range g.retired {
		unix.Close(fd)
	}
	g.retired = nil
	return g.peerFD
}

func (g *guard) check() (due, stopping bool) {
	var b [8]byte
	unix.Read(g.wake, b[:])
	g.timer.Expired()
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.machine.Due(boottime.Now()), g.stopping || g.leaving && g.needless()
}

// leaveEvery is how often a leaving guard checks whether it can exit, in milliseconds.
const leaveEvery = 1000

// patience is how long the loop waits for an event, in milliseconds; -1: without a bound.
func (g *guard) patience() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.leaving {
		return leaveEvery
	}
	return -1
}

// needless tells, with mu held, whether an idle guard may exit because no program would end with it: the launcher's program has ended. The
// guard without a launcher exits after the other one.
func (g *guard) needless() bool {
	if g.machine.State == machine.Armed || g.machine.State == machine.Killing {
		return false
	}
	if g.cfg.Slot != launcherSlot {
		return !g.machine.Peer
	}
	return Report{Launcher: g.launcher}.keeps() == 0
}

// rouse makes the loop check again.
func (g *guard) rouse() { unix.Write(g.wake, []byte{1, 0, 0, 0, 0, 0, 0, 0}) }

// adopt makes a verified process the peer; pidfd then belongs to the guard.
func (g *guard) adopt(pidfd, pid int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.peerFD >= 0 {
		g.retired = append(g.retired, g.peerFD)
	}
	g.peerFD, g.peerPID, g.machine.Peer = pidfd, pid, true
	g.rouse()
}

// launcherSlot is the guard that has the launcher: at its death the peer kills, and the kernel ends the launcher.
const launcherSlot = "a"

// keep starts the launcher. A guard without a launcher still guards.
func (g *guard) keep() {
	cmd, err := startLauncher(g.cfg)
	if err != nil {
		g.unkept, g.unkeepable = err.Error(), true
		return
	}
	g.launcher = cmd.Process.Pid
	go func() { // for as long as the guard lives
		err := cmd.Wait()
		g.mu.Lock()
		defer g.mu.Unlock()
		g.launcher, g.unkept = 0, fmt.Sprintf("it ended: %v", err)
	}()
}

func (g *guard) lostPeer(pidfd int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.peerFD != pidfd {
		return // another peer was adopted meanwhile
	}
	g.retired = append(g.retired, pidfd)
	g.peerFD, g.peerPID = -1, 0
	g.machine.PeerLost()
}

// killTree kills until no process is left, however long the kernel takes: a process that has not ended is not fenced (L2).
func (g *guard) killTree() {
	g.mu.Lock()
	g.kill = &Kill{Why: g.machine.Why, Epoch: g.machine.Epoch.String(), Begun: boottime.Now()}
	g.mu.Unlock()
	for {
		err := g.tree.Kill(platform.GuardKill)
		g.mu.Lock()
		if err == nil {
			g.kill.Ended, g.kill.Left = boottime.Now(), ""
			g.machine.Killed()
			g.noteEnded(g.kill.Ended)
			g.mu.Unlock()
			return
		}
		g.kill.Left = err.Error()
		g.mu.Unlock()
		time.Sleep(20 * time.Millisecond)
	}
}

// report is called with mu held.
func (g *guard) report() Report {
	r := Report{
		Proto: proto, PID: g.pid, Slot: g.cfg.Slot, Member: g.cfg.Member, DataDir: g.cfg.DataDir, Cgroup: g.cfg.Cgroup,
		State: g.machine.State, Armed: g.machine.State == machine.Armed, End: g.machine.End,
		Peer: g.machine.Peer, PeerPID: g.peerPID, Launcher: g.launcher, Unkeepable: g.unkeepable,
		Locked: g.prot.Locked, Realtime: g.prot.Realtime, NoOOM: g.prot.NoOOM, Missing: slices.Clone(g.prot.Missing),
	}
	if g.unkept != "" {
		r.Missing = append(r.Missing, "the launcher that ends PostgreSQL with the guards: "+g.unkept)
	}
	if !g.machine.Epoch.IsZero() {
		r.Epoch = g.machine.Epoch.String()
	}
	if g.kill != nil {
		k := *g.kill
		r.Kill = &k
	}
	return r
}
