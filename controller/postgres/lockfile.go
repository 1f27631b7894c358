package postgres

import (
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"mainstay/controller/boottime"
)

const (
	// lockFileKept is how long a content is good at most while the file shows no change.
	lockFileKept = 5 * time.Second
	// lockFileSettled is how old a change must be before a content that was read after it is kept: the kernel's clock for changes
	// advances in steps of up to 10 ms, and within one step a second change does not show.
	lockFileSettled = 100 * time.Millisecond
)

// LockFile reads postmaster.pid, and reads it again only if it has changed: several questions of each look begin with it, and to read
// a file with the rights of PostgreSQL's user costs a thread. It is safe for concurrent use; nil reads the file each time.
type LockFile struct {
	mu   sync.Mutex
	path string
	kept version
	raw  []byte
	read time.Duration // when
}

// version tells one content of a file from another: no user can set the time of the last change.
type version struct {
	device, file uint64
	size         int64
	changed      unix.Timespec
}

// lockFile is the content of postmaster.pid.
func (i *Server) lockFile() ([]byte, error) { return i.Lock.of(i.Data, i.Owner) }

// of reads the file of a data directory.
func (l *LockFile) of(data string, o Owner) ([]byte, error) {
	path := filepath.Join(data, "postmaster.pid")
	if l == nil {
		return o.readFile(path)
	}
	info, err := os.Lstat(path)
	if err != nil {
		return nil, err
	}
	is, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return o.readFile(path)
	}
	v := version{uint64(is.Dev), is.Ino, is.Size, unix.Timespec(is.Ctim)}
	l.mu.Lock()
	defer l.mu.Unlock()
	now := boottime.Now()
	if l.path == path && l.kept == v && now-l.read < lockFileKept {
		return l.raw, nil
	}
	l.path = ""
	raw, err := o.readFile(path)
	if err == nil && settled(v.changed) {
		l.path, l.kept, l.raw, l.read = path, v, raw, now
	}
	return raw, err
}

// settled tells by the clock that stamps files whether a change is past. Where that clock was set back nothing is settled for a while.
func settled(changed unix.Timespec) bool {
	var now unix.Timespec
	if unix.ClockGettime(unix.CLOCK_REALTIME_COARSE, &now) != nil {
		return false
	}
	return time.Duration(now.Nano()-changed.Nano()) > lockFileSettled
}
