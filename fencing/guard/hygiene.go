package guard

import (
	"errors"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// priority among the real-time ones: above every normal process, below the kernel's own threads.
const priority = 10

// Protection lists the protections that the kernel granted this process, and those it refused, which is never fatal.
type Protection struct {
	Locked, Realtime, NoOOM bool
	Missing                 []string
}

// Harden makes the process as hard to delay and to end as this host allows, and gives it that name. It is for guards and for the
// holder of the host's watchdog.
func Harden(name string) Protection {
	signal.Ignore(unix.SIGTERM, unix.SIGINT, unix.SIGHUP, unix.SIGQUIT, unix.SIGPIPE, unix.SIGUSR1, unix.SIGUSR2,
		unix.SIGALRM, unix.SIGTSTP, unix.SIGTTIN, unix.SIGTTOU)
	unix.Setsid() // fails if it already leads a session, as wanted
	unix.Umask(0o077)
	os.WriteFile("/proc/self/comm", []byte(name), 0)

	// The program's start leaves garbage, which goes back to the system here: locked memory can no longer be given back. A guard allocates
	// about a kilobyte a second, so the collector runs about twice an hour, when the heap has reached Go's least, 4 MB. There are more
	// threads than work, so that the thread that waits for the timer never waits for another.
	debug.FreeOSMemory()
	debug.SetGCPercent(100)
	runtime.GOMAXPROCS(4)

	var p Protection
	p.Locked = p.had("locked memory", lockMemory())
	p.Realtime = p.had("real-time priority", realtime())
	p.NoOOM = p.had("exemption from the OOM killer", os.WriteFile("/proc/self/oom_score_adj", []byte("-1000"), 0))
	return p
}

func (p *Protection) had(what string, err error) bool {
	if err != nil {
		p.Missing = append(p.Missing, fmt.Sprintf("%s: %v", what, err))
	}
	return err == nil
}

// lockMemory keeps the used memory of this process in RAM, and loads its program completely: at the lease's end the disk may have
// failed. The Go runtime reserves far more address space than it uses, so it needs ONFAULT. Under a finite limit memory is not
// locked, because a later allocation would fail.
func lockMemory() error {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_MEMLOCK, &limit); err != nil {
		return err
	}
	if limit.Cur != unix.RLIM_INFINITY && !capable(unix.CAP_IPC_LOCK) {
		return fmt.Errorf("the limit is %d bytes (set LimitMEMLOCK=infinity, or grant CAP_IPC_LOCK)", limit.Cur)
	}
	if err := unix.Mlockall(unix.MCL_CURRENT | unix.MCL_FUTURE | unix.MCL_ONFAULT); err != nil {
		return err
	}
	return lockProgram()
}

// lockProgram loads and locks the mappings of the program's own file.
func lockProgram() error {
	exe, err := os.Readlink("/proc/self/exe")
	if err != nil {
		return err
	}
	maps, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		return err
	}
	for line := range strings.Lines(string(maps)) {
		f := strings.Fields(line)
		if len(f) < 6 || !strings.HasPrefix(f[1], "r") || !strings.HasSuffix(strings.TrimSpace(line), exe) {
			continue
		}
		from, to, _ := strings.Cut(f[0], "-")
		start, err1 := strconv.ParseUint(from, 16, 64)
		end, err2 := strconv.ParseUint(to, 16, 64)
		if err := errors.Join(err1, err2); err != nil {
			return err
		}
		if _, _, errno := unix.Syscall(unix.SYS_MLOCK, uintptr(start), uintptr(end-start), 0); errno != 0 {
			return errno
		}
	}
	return nil
}

func capable(c int) bool {
	hdr := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if unix.Capget(&hdr, &data[0]) != nil {
		return false
	}
	return data[c/32].Effective&(1<<(c%32)) != 0
}

// realtime raises the priority of every thread; later threads inherit it from their creator.
func realtime() error {
	tasks, err := os.ReadDir("/proc/self/task")
	if err != nil {
		return err
	}
	attr := unix.SchedAttr{Size: unix.SizeofSchedAttr, Policy: unix.SCHED_RR, Priority: priority}
	for _, task := range tasks {
		tid, err := strconv.Atoi(task.Name())
		if err != nil {
			return err
		}
		if err := unix.SchedSetAttr(tid, &attr, 0); err != nil && !errors.Is(err, unix.ESRCH) {
			return fmt.Errorf("%w (grant CAP_SYS_NICE; under cgroup v1 give the cpu group real-time runtime)", err)
		}
	}
	return nil
}
