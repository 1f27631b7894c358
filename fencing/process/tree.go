package process

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// server is the base name of the executable that counts as a member's own.
const server = "postgres"

// Tree names the processes of one member:
//
//   - those in its cgroup, where there is one;
//   - those whose executable is called postgres, that run as the owner of the data directory and have it as working
//     directory: the postmaster changes there first, and backends and archive commands inherit it;
//   - every descendant of these, whatever it runs and wherever it has moved, also in a session of its own.
//
// The caller and its ancestors are never among them, nor is an operator's shell in the data directory, psql or pg_basebackup. Without a
// cgroup two kinds of process escape: a descendant whose parents had all ended before the scan (it detached itself), and a server that has
// not yet changed to its data directory. So a complete guard needs the cgroup (L2).
type Tree struct {
	dir     string
	ident   dirID
	owner   uint32
	cgroup  *Cgroup
	leader  id          // of the session given to NewSession; zero for a member's tree
	called  string      // the program given to NewProgram, "" otherwise
	word    string      // of its command line
	looking atomic.Bool // a comparison of directories hangs in a filesystem; see sameDirs
}

// dirID identifies a directory independently of its path.
type dirID struct {
	major, minor uint32
	inode        uint64
}

// NewTree identifies the data directory (on its filesystem: keep this call off the lease path, L6) and checks once whether the
// caller may see its processes. The cgroup may be nil.
func NewTree(dataDir string, cgroup *Cgroup) (*Tree, error) {
	if !filepath.IsAbs(dataDir) {
		return nil, fmt.Errorf("the data directory %q is not an absolute path", dataDir)
	}
	dir, err := filepath.EvalSymlinks(dataDir)
	if err != nil {
		return nil, fmt.Errorf("identify the data directory: %w", err)
	}
	var st unix.Statx_t
	if err := unix.Statx(unix.AT_FDCWD, dir, 0, unix.STATX_INO|unix.STATX_UID|unix.STATX_TYPE, &st); err != nil {
		return nil, fmt.Errorf("identify the data directory %s: %w", dir, err)
	}
	if st.Mode&unix.S_IFMT != unix.S_IFDIR {
		return nil, fmt.Errorf("the data directory %s is not a directory", dir)
	}
	if me := uint32(os.Geteuid()); me != 0 && me != st.Uid {
		return nil, fmt.Errorf("the data directory %s belongs to uid %d, but this process runs as uid %d: run it as the owner or as root",
			dir, st.Uid, me)
	}
	t := &Tree{dir: dir, ident: idOf(&st), owner: st.Uid, cgroup: cgroup}
	if _, err := t.Pids(); err != nil {
		return nil, err
	}
	return t, nil
}

// Pids lists the member's processes that have not ended, in ascending order.
func (t *Tree) Pids() ([]int, error) {
	procs, err := t.scan(nil)
	return pidsOf(procs), err
}

// Outside lists those of Pids that are outside of the member's cgroup; without a cgroup, all of them. While there are any, the guard
// is not complete and no lease of its epoch yields the proof lease-expired (L2).
func (t *Tree) Outside() ([]int, error) {
	procs, err := t.scan(nil)
	if err != nil || t.cgroup == nil {
		return pidsOf(procs), err
	}
	in, err := t.cgroup.Pids()
	outside := slices.DeleteFunc(procs, func(p proc) bool { return slices.Contains(in, p.pid) || p.over() })
	return pidsOf(outside), err
}

// over tells whether a process that was seen a moment ago has ended since. A backend that ends between the two scans of Outside was
// in the cgroup, and is not a gap in the guard.
func (p proc) over() bool {
	now, err := readProc(p.pid)
	return gone(err) || err == nil && (now.start != p.start || now.ended())
}

// scan also returns the processes found before an error, so that a kill can continue with them. A process that was found before is found
// again with all its descendants, even if its parents have ended meanwhile.
func (t *Tree) scan(before map[id]bool) ([]proc, error) {
	all, err := processes()
	if err != nil {
		return nil, err
	}
	roots, err := t.roots(all)
	if t.cgroup != nil {
		in, cgErr := t.cgroup.Pids()
		roots, err = append(roots, in...), errors.Join(err, cgErr)
	}
	for known := range before {
		if all[known.pid].start == known.start {
			roots = append(roots, known.pid)
		}
	}
	return descend(all, roots, os.Getpid()), err
}

// roots are the processes that belong to the tree without an ancestor in it.
func (t *Tree) roots(all map[int]proc) ([]int, error) {
	if t.called != "" {
		return t.programs(all)
	}
	if t.dir == "" {
		return t.session(all), nil
	}
	return t.servers(all)
}

// descend returns the roots and their descendants that have not ended, except self, its ancestors, and processes reached only
// through these.
func descend(all map[int]proc, roots []int, self int) []proc {
	seen := map[int]bool{0: true}
	for pid := self; pid != 0 && !seen[pid]; pid = all[pid].parent {
		seen[pid] = true
	}
	children := make(map[int][]int, len(all))
	for _, p := range all {
		children[p.parent] = append(children[p.parent], p.pid)
	}
	var found []proc
	for queue := roots; len(queue) > 0; queue = queue[1:] {
		p, ok := all[queue[0]]
		if !ok || seen[p.pid] {
			continue
		}
		seen[p.pid] = true
		queue = append(queue, children[p.pid]...)
		if !p.ended() {
			found = append(found, p)
		}
	}
	slices.SortFunc(found, func(a, b proc) int { return cmp.Compare(a.pid, b.pid) })
	return found
}

// servers finds the owner's postgres processes whose working directory is the data directory.
func (t *Tree) servers(all map[int]proc) ([]int, error) {
	var found, elsewhere []int
	var errs []error
	for pid, p := range all {
		if p.ended() {
			continue
		}
		mine, err := t.ownServer(p)
		if err != nil {
			errs = append(errs, err)
		}
		if !mine {
			continue
		}
		// The kernel has this path in memory, so a frozen disk does not matter.
		switch path, err := os.Readlink(cwd(pid)); {
		case err != nil && !gone(err):
			errs = append(errs, fmt.Errorf("read the working directory of process %d: %w", pid, err))
		case path == t.dir || path == t.dir+" (deleted)":
			found = append(found, pid)
		case err == nil:
			elsewhere = append(elsewhere, pid)
		}
	}
	return append(found, t.sameDirs(elsewhere)...), errors.Join(errs...)
}

// ownServer tells whether a process is a postgres of the owner. An executable that cannot be read is an error only if the process
// may be the member's.
func (t *Tree) ownServer(p proc) (bool, error) {
	exe, exeErr := executable(p.pid)
	if exeErr == nil && exe != server || exeErr != nil && p.comm != server {
		return false, nil
	}
	uid, err := realUID(p.pid)
	if err != nil && !gone(err) { // such as a lack of descriptors: the process may be the member's
		return false, fmt.Errorf("read the user of process %d: %w", p.pid, err)
	}
	if err != nil || uid != t.owner {
		return false, nil
	}
	if exeErr != nil {
		return false, fmt.Errorf("process %d may be the member's, but cannot be inspected (run as root, or grant CAP_SYS_PTRACE): %w",
			p.pid, exeErr)
	}
	return true, nil
}

// sameDirs finds the processes whose working directory is the data directory under another path (a bind mount, another mount
// namespace, a renamed directory). The query may hang in a dead network filesystem, perhaps of another member, so it runs apart
// with a deadline, and not again before the earlier one was answered.
func (t *Tree) sameDirs(pids []int) []int {
	if len(pids) == 0 || !t.looking.CompareAndSwap(false, true) {
		return nil
	}
	answer := make(chan []int, 1)
	go func() { // at most one; it ends when the kernel answers
		defer t.looking.Store(false)
		var same []int
		for _, pid := range pids {
			var st unix.Statx_t
			err := unix.Statx(unix.AT_FDCWD, cwd(pid), unix.AT_STATX_DONT_SYNC, unix.STATX_INO, &st)
			if err == nil && idOf(&st) == t.ident {
				same = append(same, pid)
			}
		}
		answer <- same
	}()
	select {
	case same := <-answer:
		return same
	case <-time.After(20 * time.Millisecond):
		return nil
	}
}

func cwd(pid int) string { return "/proc/" + strconv.Itoa(pid) + "/cwd" }

func idOf(st *unix.Statx_t) dirID { return dirID{st.Dev_major, st.Dev_minor, st.Ino} }

func pidsOf(procs []proc) []int {
	pids := make([]int, len(procs))
	for i, p := range procs {
		pids[i] = p.pid
	}
	return pids
}
