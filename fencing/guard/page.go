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

// pageName is that of the file behind a page, in the guard's /proc.
const pageName = "lease-guard-page"

// pageMark is the first word of a page, its version included.
const pageMark = 0x6c67_0001

// words of a page. since is stored before owed, so that whoever reads in between takes the older duty for one that
// nothing has settled.
const (
	wordMark    = iota
	wordPID     // of the guard
	wordOwed    // end of the lease, while the guard is armed or kills; 0 otherwise
	wordSince   // when that was said
	wordSettled // when the tree had last ended by the guard's hand, or an agent had disarmed it
)

// Duty is what one guard owes at a moment. Readings of CLOCK_BOOTTIME.
type Duty struct {
	End   time.Duration // by when it kills; 0: it is bound to nothing
	Since time.Duration // when it said so
	// Settled is when the member's tree had last ended by this guard's hand, or an agent had let it idle. It settles what
	// any guard of the member has owed since before.
	Settled time.Duration
}

// Page is memory that a guard shares with the holder of the host's watchdog. The guard writes its duty there before it
// answers the agent. It is read without a request, so it needs no answer and no deadline, and a guard that hangs or dies
// leaves its last word standing.
type Page struct{ mem []byte }

// newPage makes the guard's own, which says that nothing is owed. Its file stays open, for OpenPage to find.
func newPage(pid int) (*Page, error) {
	fd, err := unix.MemfdCreate(pageName, unix.MFD_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("make the guard's page: %w", err)
	}
	if err := unix.Ftruncate(fd, pageSize); err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("make the guard's page: %w", err)
	}
	p, err := mapPage(fd, unix.PROT_READ|unix.PROT_WRITE)
	if err != nil {
		unix.Close(fd)
		return nil, err
	}
	p.word(wordPID).Store(int64(pid))
	p.word(wordMark).Store(pageMark)
	return p, nil
}

func mapPage(fd, access int) (*Page, error) {
	mem, err := unix.Mmap(fd, 0, pageSize, access, unix.MAP_SHARED)
	if err != nil {
		return nil, fmt.Errorf("map the guard's page: %w", err)
	}
	return &Page{mem}, nil
}

// Listening is the process that listens for a slot (a or b) in a member's directory, 0 if none does. It asks nothing of the
// guard, so it answers for one that hangs; it looks up a path, so it may hang itself.
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

// OpenPage finds the page of the guard that is the process pid. It asks the kernel only, so it does for one that hangs.
func OpenPage(pid int) (*Page, error) {
	p, err := openPage(pid)
	if err != nil {
		return nil, fmt.Errorf("the page of the guard that is process %d: %w", pid, err)
	}
	return p, nil
}

func openPage(pid int) (*Page, error) {
	dir := fmt.Sprintf("/proc/%d/fd", pid)
	files, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	for _, f := range files {
		path := filepath.Join(dir, f.Name())
		if target, _ := os.Readlink(path); strings.HasPrefix(target, "/memfd:"+pageName) {
			return readPage(path, pid)
		}
	}
	return nil, errors.New("it has none: it is of an earlier build, until the member's next restart")
}

func readPage(path string, pid int) (*Page, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if st, err := f.Stat(); err != nil || st.Size() != pageSize { // a shorter one would end the reader
		return nil, fmt.Errorf("it is of another size (%v)", err)
	}
	p, err := mapPage(int(f.Fd()), unix.PROT_READ)
	if err != nil {
		return nil, err
	}
	if p.word(wordMark).Load() != pageMark || p.PID() != pid {
		return nil, errors.Join(fmt.Errorf("it is of another version, or of process %d", p.PID()), p.Close())
	}
	return p, nil
}

// word is memory of the kernel's, aligned, and never moved by the collector.
func (p *Page) word(i int) *atomic.Int64 { return (*atomic.Int64)(unsafe.Pointer(&p.mem[i*8])) }

// PID is the guard's.
func (p *Page) PID() int { return int(p.word(wordPID).Load()) }

// Duty reads it; it cannot block. A guard that changes it meanwhile may seem to owe more than it does, never less.
func (p *Page) Duty() Duty {
	d := Duty{End: time.Duration(p.word(wordOwed).Load())}
	d.Since = time.Duration(p.word(wordSince).Load())
	d.Settled = time.Duration(p.word(wordSettled).Load())
	return d
}

// Close lets go of the mapping; the page must not be read any more.
func (p *Page) Close() error { return unix.Munmap(p.mem) }

// show is called with mu held whenever what the guard owes may have changed, and before anybody is told of it.
func (g *guard) show(now time.Duration) {
	owed := time.Duration(0)
	if s := g.machine.State; s == machine.Armed || s == machine.Killing {
		owed = g.machine.End
	}
	if time.Duration(g.page.word(wordOwed).Load()) == owed {
		return
	}
	g.page.word(wordSince).Store(int64(now))
	g.page.word(wordOwed).Store(int64(owed))
}

// settle is called with mu held when the tree has ended by the guard's hand, or it was disarmed.
func (g *guard) settle(now time.Duration) {
	g.show(now)
	g.page.word(wordSettled).Store(int64(now))
}
