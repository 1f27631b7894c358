package guard

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"
	"time"

	"mainstay/controller/platform"
	"mainstay/fencing/guard/machine"
	"mainstay/fencing/process"
)

// answerWithin bounds each request on the lease path.
const answerWithin = 100 * time.Millisecond

// Options name one member's guards.
type Options struct {
	Executable string // the mainstay binary
	Dir        string // of this member's sockets, on a tmpfs such as /run; made with mode 0700 if its parent exists
	Member     string
	DataDir    string // as configured; it must exist
	CgroupPath string // the member's; empty if it has none
}

// Set is an agent's connection to the guards of one member. Its methods may be called from any goroutine; only Start and Exit touch a
// filesystem. The guards obey only the Set that was started last.
type Set struct {
	options Options
	links   [2]*link
	died    chan struct{}  // closed by follow when a guard has died, never by Close
	closing chan struct{}  // closed by Close
	once    [2]sync.Once   // of died and closing
	wg      sync.WaitGroup // follow, one for each guard
}

// Start connects to the member's guards, starts missing ones, and makes them watch each other. It replaces no guard that is armed, or
// whose launcher has started PostgreSQL; it replaces idle ones with another cgroup, of another version or without their launcher. A
// guard that survived its peer and killed is kept: Disarm, or the lease of a higher epoch, ends that state. It takes five
// seconds at most.
func Start(ctx context.Context, o Options) (*Set, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	if err := (config{Member: o.Member, Slot: "a", Dir: o.Dir, DataDir: o.DataDir, Cgroup: o.CgroupPath}).check(); err != nil {
		return nil, err
	}
	if err := PrepareDir(o.Dir); err != nil {
		return nil, err
	}
	s := &Set{options: o, died: make(chan struct{}), closing: make(chan struct{})}
	for i, slot := range []string{"a", "b"} {
		l, err := connect(ctx, o, slot)
		if err != nil {
			s.Close()
			return nil, err
		}
		s.links[i] = l
		s.wg.Go(func() { s.follow(l) })
	}
	if err := s.attach(ctx); err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

// Living tells whether a guard of the member is alive, in whatever state: it listens on one of the two sockets.
func Living(dir string) (bool, error) {
	for _, slot := range []string{"a", "b"} {
		conn, err := net.DialTimeout("unix", socketPath(dir, slot), answerWithin)
		if err == nil {
			conn.Close()
			return true, nil
		}
		if !absent(err) {
			return false, fmt.Errorf("look for guard %s: %w", slot, err)
		}
	}
	return false, nil
}

// connect returns the slot's guard. It starts one if there is none, or if the present one is idle and does not fit.
func connect(ctx context.Context, o Options, slot string) (*link, error) {
	l, r, err := dial(ctx, o, slot)
	if err == nil && r.replaceable(o) {
		err = l.retire(ctx)
		if err != nil {
			return nil, err
		}
		l = nil
	}
	if l != nil || err != nil && !absent(err) {
		return l, err
	}
	if err := spawn(ctx, o, slot); err != nil {
		return nil, err
	}
	l, _, err = dial(ctx, o, slot)
	return l, err
}

// replaceable tells whether the guard is idle, does not fit or has lost its launcher, and PostgreSQL would not end with it.
func (r Report) replaceable(o Options) bool {
	fits := r.Proto == proto && r.Cgroup == o.CgroupPath && (r.Slot != launcherSlot || r.Launcher != 0 || r.Unkeepable)
	return !fits && r.State == machine.Idle && r.keeps() == 0
}

// keeps returns the pid of a running program that the guard's launcher started; 0 for none.
func (r Report) keeps() int {
	if r.Launcher == 0 {
		return 0
	}
	pids, err := process.Children(r.Launcher)
	if err != nil {
		return r.Launcher // its children are not known
	}
	return append(pids, 0)[0]
}

// retire asks an idle guard to exit, waits for its end, and closes the link.
func (l *link) retire(ctx context.Context) error {
	defer l.close()
	if _, err := l.call(ctx, request{Op: opAttach}); err != nil && !hasCode(err, machine.NoPeer) {
		return err
	}
	return l.exit(ctx)
}

func (l *link) exit(ctx context.Context) error {
	// The guard may be gone before its answer is read.
	if _, err := l.call(ctx, request{Op: opExit}); err != nil && !errors.Is(err, ErrNoAnswer) {
		return err
	}
	select {
	case <-l.handle.Done():
		Reap(l.handle.PID())
		return nil
	case <-ctx.Done():
		return fmt.Errorf("guard %s of %s (process %d) has not exited: %w", l.slot, l.member, l.handle.PID(), ctx.Err())
	}
}

func hasCode(err error, code machine.Code) bool {
	var refused *RefusedError
	return errors.As(err, &refused) && refused.Code == code
}

// attach makes both guards obey this Set and watch each other.
func (s *Set) attach(ctx context.Context) error {
	for i, l := range s.links {
		r, err := l.call(ctx, request{Op: opAttach})
		if err != nil {
			return err
		}
		if other := s.links[1-i].handle.PID(); r.PeerPID != other {
			return fmt.Errorf("guard %s of %s watches process %d, but its peer is %d; start again", l.slot, l.member, r.PeerPID, other)
		}
	}
	return nil
}

// follow waits for the end of a guard, or of the Set.
func (s *Set) follow(l *link) {
	select {
	case <-l.handle.Done():
		s.once[0].Do(func() { close(s.died) })
		Reap(l.handle.PID())
	case <-s.closing:
	}
}

// each sends a request to both guards concurrently.
func (s *Set) each(ctx context.Context, req request) (reports [2]Report, err error) {
	ctx, cancel := context.WithTimeout(ctx, answerWithin)
	defer cancel()
	var errs [2]error
	var wg sync.WaitGroup
	for i, l := range s.links {
		wg.Go(func() { reports[i], errs[i] = l.call(ctx, req) })
	}
	wg.Wait()
	return reports, errors.Join(errs[:]...)
}

// Extend gives both guards a lease of an epoch (as platform.Epoch prints it) that ends at a reading of boottime.Now. It arms idle
// guards. nil means that both have accepted it; otherwise the member must not act on the lease, although one of them may have
// accepted it. RefusedError with Expired: the tree is being killed or was. It takes 100 ms at most.
func (s *Set) Extend(epoch string, end time.Duration) error {
	_, err := s.Renew(epoch, end)
	return err
}

// Renew is Extend; it returns, as Status does, what the guards have answered.
func (s *Set) Renew(epoch string, end time.Duration) (Status, error) {
	reports, err := s.each(context.Background(), request{Op: opExtend, Epoch: epoch, End: end})
	return statusOf(reports), err
}

// Disarm makes both guards idle: after the member's PostgreSQL has stopped, before it starts as a standby, or for a
// committed pause (L7). It is refused while a guard kills. After an error one of them may be idle: try again. It takes
// 100 ms at most.
func (s *Set) Disarm() error {
	_, err := s.each(context.Background(), request{Op: opDisarm})
	return err
}

// Status combines the reports of both guards: a protection counts only if both have it.
type Status struct {
	Guards   [2]Report     `json:"guards"`
	Armed    bool          `json:"armed"`
	Epoch    string        `json:"epoch,omitempty"` // of both, or empty
	End      time.Duration `json:"end"`             // the earlier one
	Peer     bool          `json:"twin"`            // each watches the other
	Locked   bool          `json:"locked"`
	Realtime bool          `json:"realtime"`
	NoOOM    bool          `json:"noOom"`
	Missing  []string      `json:"missing,omitempty"`
}

// Status queries both guards; it takes 100 ms at most. Beside an error it holds the answers received.
func (s *Set) Status() (Status, error) {
	reports, err := s.each(context.Background(), request{Op: opStatus})
	return statusOf(reports), err
}

func statusOf(reports [2]Report) Status {
	a, b := reports[0], reports[1]
	st := Status{
		Guards: reports, Armed: a.Armed && b.Armed, End: min(a.End, b.End), Peer: a.Peer && b.Peer,
		Locked: a.Locked && b.Locked, Realtime: a.Realtime && b.Realtime, NoOOM: a.NoOOM && b.NoOOM,
		Missing: slices.Compact(slices.Sorted(slices.Values(append(slices.Clone(a.Missing), b.Missing...)))),
	}
	if a.Epoch == b.Epoch {
		st.Epoch = a.Epoch
	}
	return st
}

// PIDs are the processes of guards a and b.
func (s *Set) PIDs() [2]int { return [2]int{s.links[0].handle.PID(), s.links[1].handle.PID()} }

// Lease is the lease that both guards enforce, with the earlier end; false if there is none, or they have different ones.
func (s Status) Lease() (epoch platform.Epoch, end time.Duration, held bool) {
	if !s.Armed {
		return platform.Epoch{}, 0, false
	}
	epoch, err := parseEpoch(s.Epoch)
	if err != nil {
		return platform.Epoch{}, 0, false
	}
	return epoch, s.End, true
}

// Alive tells whether both guards are alive. It asks only the kernel and does not block.
func (s *Set) Alive() bool { return s.links[0].handle.Alive() && s.links[1].handle.Alive() }

// Connected tells whether the connections to both guards work. A broken connection stays broken, although its guard is alive and
// keeps counting: call Start again. It does not block.
func (s *Set) Connected() bool { return s.links[0].whole() && s.links[1].whole() }

// Died is closed when a guard has died or exited. If they were armed, the other one is killing the member's tree: start the guards again
// before any new primary.
func (s *Set) Died() <-chan struct{} { return s.died }

// Exit ends both guards, which must be disarmed, and closes the Set. While PostgreSQL is their launcher's child it refuses
// (machine.StillKeeps), and they exit automatically when PostgreSQL ends, unless Start attaches to them again. After an error one
// of them may have ended; the Set is closed anyway, and Start begins again.
func (s *Set) Exit() error {
	defer s.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	st, err := s.Status()
	if err != nil {
		return err
	}
	for _, r := range st.Guards {
		if r.State == machine.Armed || r.State == machine.Killing {
			return &RefusedError{Member: r.Member, Slot: r.Slot, Code: machine.StillArmed, Reason: "disarm the guards first"}
		}
		if pid := r.keeps(); pid != 0 {
			_, err := s.each(ctx, request{Op: opLeave})
			return errors.Join(&RefusedError{Member: r.Member, Slot: r.Slot, Code: machine.StillKeeps,
				Reason: fmt.Sprintf("PostgreSQL, process %d, would end with it", pid)}, err)
		}
	}
	for _, l := range s.links {
		if err := l.exit(ctx); err != nil {
			return err
		}
	}
	if c, err := process.Create(cgroupName(s.options.Member)); err == nil {
		c.Remove() // a remaining empty cgroup does no harm
	}
	return nil
}

// Close disconnects from the guards, which keep counting, and waits for the Set's goroutines. Died stays open.
func (s *Set) Close() {
	s.once[1].Do(func() { close(s.closing) })
	s.wg.Wait()
	for _, l := range s.links {
		if l != nil {
			l.close()
		}
	}
}
