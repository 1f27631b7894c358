package guard

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"

	"golang.org/x/sys/unix"
)

// Hello is the one line a starting guard writes to its standard output, which is /dev/null from then on.
type Hello struct {
	PID   int    `json:"pid,omitempty"`
	Error string `json:"error,omitempty"`
}

// launcherWord is the argument with which guard A starts its launcher.
const launcherWord = "launcher"

// Main is the hidden subcommand `mainstay guard`. It reads its configuration from standard input, writes to standard output whether it
// guards, and returns only after exit was granted (0) or if it cannot start (1; 2 for arguments).
func Main(args []string) int {
	if len(args) == 1 && args[0] == launcherWord {
		return keep()
	}
	if len(args) > 0 {
		fmt.Fprintln(os.Stderr, "mainstay guard takes no arguments: the agent starts it and configures it on standard input")
		return 2
	}
	runtime.LockOSThread() // permanently: the launcher dies with this thread, on which the loop waits
	g, s, lock, err := open(os.Stdin)
	if err != nil {
		json.NewEncoder(os.Stdout).Encode(Hello{Error: err.Error()})
		return 1
	}
	defer lock.Close()
	s.start()
	json.NewEncoder(os.Stdout).Encode(Hello{PID: g.pid})
	if err := Detach(); err != nil {
		return 1 // no agent has attached, so nothing is armed
	}
	g.loop()
	s.close()
	return 0
}

// open does all work that needs a filesystem.
func open(stdin io.Reader) (*guard, *server, *os.File, error) {
	cfg, err := readConfig(stdin)
	if err != nil {
		return nil, nil, nil, err
	}
	lock, err := Lock(filepath.Join(cfg.Dir, "guard-"+cfg.Slot+".lock"))
	if err != nil {
		return nil, nil, nil, fmt.Errorf("guard of %s: lock its slot %s: %w", cfg.Member, cfg.Slot, err)
	}
	tree, err := cfg.tree()
	if err != nil {
		lock.Close()
		return nil, nil, nil, fmt.Errorf("guard of %s: %w", cfg.Member, err)
	}
	g, err := newGuard(cfg, tree)
	if err != nil {
		lock.Close()
		return nil, nil, nil, err
	}
	if cfg.Slot == launcherSlot {
		g.keep() // before Harden: PostgreSQL inherits from the launcher
	}
	g.prot = Harden("lease-guard-" + cfg.Slot)
	if cfg.Cgroup == "" {
		g.prot.Missing = append(g.prot.Missing, "the member's cgroup: processes that leave its tree escape")
	}
	s, err := listen(g)
	if err != nil {
		lock.Close()
		return nil, nil, nil, err
	}
	return g, s, lock, nil
}

// Lock makes this process the only one that holds path, as long as it lives.
func Lock(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		f.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			err = errors.New("another process holds it; connect to that process")
		}
		return nil, err
	}
	return f, nil
}

// Detach closes the agent's files and leaves every directory.
func Detach() error {
	if err := os.Chdir("/"); err != nil {
		return err
	}
	null, err := unix.Open("/dev/null", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(null)
	for fd := range 3 {
		if err := unix.Dup3(null, fd, 0); err != nil {
			return err
		}
	}
	return nil
}
