package process

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"mainstay/controller/boottime"

	"golang.org/x/sys/unix"
)

// SurvivorsError is returned when processes of a tree had not ended at the deadline. It proves nothing: the member or app server
// counts as running (a process in uninterruptible sleep may still complete its write).
type SurvivorsError struct {
	Pids   []int
	States string // one letter of /proc/PID/stat for each pid: D is uninterruptible sleep
	Err    error  // other failures, such as a signal that was not permitted
}

func (e *SurvivorsError) Error() string {
	var b strings.Builder
	b.WriteString("processes have not ended:")
	for i, pid := range e.Pids {
		fmt.Fprintf(&b, " %d(%c)", pid, e.States[i])
	}
	if len(e.Pids) == 0 {
		b.WriteString(" (their pids are not known)")
	}
	if strings.Contains(e.States, "D") {
		b.WriteString("; a process in state D waits for a device that does not answer: power the host off to fence it")
	}
	if e.Err != nil {
		b.WriteString("; " + e.Err.Error())
	}
	return b.String()
}

func (e *SurvivorsError) Unwrap() error { return e.Err }

// Kill ends the member's whole tree and returns when no process of it is left; zombies count as ended. After within it gives up with
// a SurvivorsError; signals already sent remain, and Kill may be called again.
//
// A scan of all processes of the host takes most of the time, and K (L2) leaves room for a few. Once all processes are stopped and a scan
// has found no new one, one more empty scan is enough: a stopped process does not fork. Otherwise two consecutive scans must be empty.
func (t *Tree) Kill(within time.Duration) error {
	deadline := boottime.Now() + within
	k := killing{tree: t, seen: map[id]bool{}}
	left, err := k.look() // this comes first: otherwise processes outside of the cgroup would lose their parents and would not be found
	if t.cgroup != nil {
		// This comes before any signal: the kernel ends all of them together, including processes that are being forked.
		k.note(t.cgroup.Kill())
	}
	left, enough := k.halt(left, err, min(deadline, boottime.Now()+30*time.Millisecond))
	for empty := 0; ; {
		var errs error
		for _, p := range left {
			errs = errors.Join(errs, send(p, unix.SIGKILL))
		}
		await(left, deadline)
		left, err = k.look()
		errs = errors.Join(errs, err)
		if empty++; errs != nil || len(left) > 0 || t.populated() {
			empty = 0
		}
		if empty == enough {
			return nil
		}
		if boottime.Now() >= deadline {
			k.note(errs)
			return k.survivors(left)
		}
		time.Sleep(time.Millisecond)
	}
}

// await waits briefly for killed processes to end.
func await(killed []proc, deadline time.Duration) {
	deadline = min(deadline, boottime.Now()+50*time.Millisecond)
	for pause := time.Millisecond; ; pause = min(2*pause, 8*time.Millisecond) {
		killed = slices.DeleteFunc(killed, proc.over)
		if len(killed) == 0 || boottime.Now() >= deadline {
			return
		}
		time.Sleep(pause)
	}
}

// killing is one attempt: a process that was once found in the tree stays in it.
type killing struct {
	tree *Tree
	seen map[id]bool
	errs error
}

func (k *killing) note(err error) { k.errs = errors.Join(k.errs, err) }

func (k *killing) look() ([]proc, error) {
	procs, err := k.tree.scan(k.seen)
	for _, p := range procs {
		k.seen[p.id()] = true
	}
	return procs, err
}

// halt stops the tree before it is killed, in rounds until a scan finds only stopped processes. A process with a pending SIGSTOP
// cannot fork, and as the parents have not ended yet, each descendant is still found below them. It begins with procs, and returns
// the last scan and how many scans must be empty from here on.
func (k *killing) halt(procs []proc, err error, deadline time.Duration) (last []proc, enough int) {
	stopped := map[id]bool{}
	for {
		k.note(err)
		fresh := false
		for _, p := range procs {
			if !stopped[p.id()] {
				stopped[p.id()], fresh = true, true
				if failed := send(p, unix.SIGSTOP); failed != nil {
					k.note(failed)
					err = failed
				}
			}
		}
		switch {
		case !fresh && err == nil:
			return procs, 1
		case !fresh || boottime.Now() >= deadline:
			return procs, 2
		}
		procs, err = k.look()
	}
}

func (k *killing) survivors(left []proc) error {
	e := &SurvivorsError{Pids: pidsOf(left), Err: k.errs}
	for _, p := range left {
		e.States += string(p.state)
	}
	return e
}

func (t *Tree) populated() bool {
	if t.cgroup == nil {
		return false
	}
	populated, err := t.cgroup.Populated()
	return err != nil || populated
}

// send signals exactly the process that was scanned; it is no error if that has ended meanwhile.
func send(p proc, sig unix.Signal) error {
	fd, err := unix.PidfdOpen(p.pid, 0)
	if errors.Is(err, unix.ESRCH) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("open process %d: %w", p.pid, err)
	}
	defer unix.Close(fd)
	// The pidfd may belong to a later process with the same pid: the same start time shows that it is the scanned one.
	now, err := readProc(p.pid)
	if gone(err) || err == nil && now.start != p.start {
		return nil
	}
	if err != nil {
		return fmt.Errorf("identify process %d: %w", p.pid, err)
	}
	if err := unix.PidfdSendSignal(fd, sig, nil, 0); err != nil && !errors.Is(err, unix.ESRCH) {
		return fmt.Errorf("kill process %d: %w", p.pid, err)
	}
	return nil
}
