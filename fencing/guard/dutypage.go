package guard

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"mainstay/fencing/guard/machine"
)

// pageSize is one page of memory everywhere; a Page uses a few words of it.
const pageSize = 4096

// pageName is the name of a page's file in the guard's /proc.
const pageName = "lease-guard-page"

// pageMark is the first word of a page, its version included.
const pageMark = 0x6c67_0001

// words of a page. since is stored before owed, so that a reader in between takes the older duty for an unsettled one.
const (
	wordMark    = iota
	wordPID     // of the guard
	wordOwed    // end of the lease, while the guard is armed or kills; 0 otherwise
	wordSince   // when wordOwed was set
	wordSettled // when the guard had last ended the tree, or an agent had disarmed it
)

// Duty is one guard's present duty. Its fields are readings of CLOCK_BOOTTIME.
type Duty struct {
	End   time.Duration // when it must kill; 0: it has no duty
	Since time.Duration // when it recorded that
	// Settled is when this guard had last ended the member's tree, or an agent had disarmed it. It settles every duty of any guard
	// of the member from before.
	Settled time.Duration
}

// DutyPage is memory that a guard shares with the holder of the host's watchdog. The guard writes its duty there before it answers the
// agent. The holder reads it without a request, so it needs no answer and no deadline, and the last duty of a guard that hangs or
// dies remains.
type DutyPage struct{ mem []byte }

// newDutyPage makes the guard's own page, without a duty. Its file stays open, for OpenDutyPage to find.
func newDutyPage(pid int) (*DutyPage, error) {
	fd, err := unix.MemfdCreate(pageName, unix.MFD_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("make the guard's page: %w", err)
	}
	if err := unix.Ftruncate(fd, pageSize); err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("make the guard's page: %w", err)
	}
	p, err := mapDutyPage(fd, unix.PROT_READ|unix.PROT_WRITE)
	if err != nil {
		unix.Close(fd)
		return nil, err
	}
	p.word(wordPID).Store(int64(pid))
	p.word(wordMark).Store(pageMark)
	return p, nil
}

func mapDutyPage(fd, access int) (*DutyPage, error) {
	mem, err := unix.Mmap(fd, 0, pageSize, access, unix.MAP_SHARED)
	if err != nil {
		return nil, fmt.Errorf("map the guard's page: %w", err)
	}
	return &DutyPage{mem}, nil
}

// Listening is the process that listens for a slot (a or b) in a member's directory; 0 for none. It sends no request to the guard, so it
// works even if the guard hangs; but it looks up a path, so it may hang itself.
func Listening(ctx context.Context, dir, slot string) (pid int, err error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "unix", socketPath(dir, slot))
	if absent(err) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("look for guard %s: %w", slot, err)
	}
	defer conn.Close()
	peer, err := PeerOf(conn.(*net.UnixConn))
	if err == nil && !Trusted(peer) {
		err = fmt.Errorf("its socket belongs to uid %d; remove %s", peer.Uid, dir)
	}
	if err != nil {
		return 0, fmt.Errorf("look for guard %s: %w", slot, err)
	}
	return int(peer.Pid), nil
}

// OpenDutyPage finds the page of the guard with that pid. It asks only the kernel, so it works for a guard that hangs.
func OpenDutyPage(pid int) (*DutyPage, error) {
	p, err := openDutyPage(pid)
	if err != nil {
		return nil, fmt.Errorf("the page of the guard (process %d): %w", pid, err)
	}
	return p, nil
}

func openDutyPage(pid int) (*DutyPage, error) {
	dir := fmt.Sprintf("/proc/%d/fd", pid)
	files, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	for _, f := range files {
		path := filepath.Join(dir, f.Name())
		if target, _ := os.Readlink(path); strings.HasPrefix(target, "/memfd:"+pageName) {
			return readDutyPage(path, pid)
		}
	}
	return nil, errors.New("the guard has no page, because it is of an earlier build; the member's next restart replaces it")
}

func readDutyPage(path string, pid int) (*DutyPage, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if st, err := f.Stat(); err != nil || st.Size() != pageSize { // reading past the end of a shorter page would kill the reader
		return nil, fmt.Errorf("it has another size (%v)", err)
	}
	p, err := mapDutyPage(int(f.Fd()), unix.PROT_READ)
	if err != nil {
		return nil, err
	}
	if p.word(wordMark).Load() != pageMark || p.PID() != pid {
		return nil, errors.Join(fmt.Errorf("it has another version, or belongs to process %d", p.PID()), p.Close())
	}
	return p, nil
}

// word is a word of the mapping: aligned, and never moved by the collector.
func (p *DutyPage) word(i int) *atomic.Int64 { return (*atomic.Int64)(unsafe.Pointer(&p.mem[i*8])) }

// PID is the guard's pid.
func (p *DutyPage) PID() int { return int(p.word(wordPID).Load()) }

// Duty reads the duty without blocking. If the guard changes it meanwhile, the duty may seem larger than it is, never smaller.
func (p *DutyPage) Duty() Duty {
	d := Duty{End: time.Duration(p.word(wordOwed).Load())}
	d.Since = time.Duration(p.word(wordSince).Load())
	d.Settled = time.Duration(p.word(wordSettled).Load())
	return d
}

// Close unmaps the page, which must not be read any more.
func (p *DutyPage) Close() error { return unix.Munmap(p.mem) }

// show writes the duty. It is called with mu held whenever the duty may have changed, before any answer.
func (g *guard) show(now time.Duration) {
	owed := time.Duration(0)
	if s := g.machine.State; s == machine.Armed || s == machine.Killing {
		owed = g.machine.End
	}
	if time.Duration(g.dutyPage.word(wordOwed).Load()) == owed {
		return
	}
	g.dutyPage.word(wordSince).Store(int64(now))
	g.dutyPage.word(wordOwed).Store(int64(owed))
}

// noteEnded records that the guard has ended the tree, or was disarmed. It is called with mu held.
func (g *guard) noteEnded(now time.Duration) {
	g.show(now)
	g.dutyPage.word(wordSettled).Store(int64(now))
}
