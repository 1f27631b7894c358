package main

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
)

// loops says how many loops of each kind burn: by name, at least 0.
type loops map[string]int

// Kinds of loops, each at the priority of this process.
const (
	cpuLoop   = "cpu"   // computes
	forksLoop = "forks" // starts a program that does nothing, and waits for its end
	fsyncLoop = "fsync" // writes 4 kB to a file and syncs it
)

// beside is what burns unless -burn says otherwise: more busy loops than there are CPUs.
func beside() loops { return loops{cpuLoop: runtime.NumCPU() + 2} }

// Set implements flag.Value: "forks,fsync=4" adds to what there is, "cpu=28" replaces it.
func (l loops) Set(text string) error {
	for one := range strings.SplitSeq(text, ",") {
		kind, count, counted := strings.Cut(one, "=")
		if kind != cpuLoop && kind != forksLoop && kind != fsyncLoop {
			return fmt.Errorf("%q is not a kind of loop: use cpu, forks or fsync", kind)
		}
		n := 1
		if counted {
			var err error
			if n, err = strconv.Atoi(count); err != nil || n < 0 {
				return fmt.Errorf("%q: give a number of loops, such as %s=4", one, kind)
			}
		}
		l[kind] = n
	}
	return nil
}

// String implements flag.Value: "cpu=4, forks=1".
func (l loops) String() string {
	var words []string
	for _, kind := range slices.Sorted(maps.Keys(l)) {
		words = append(words, fmt.Sprintf("%s=%d", kind, l[kind]))
	}
	return strings.Join(words, ", ")
}

// burners are the loops that keep a machine busy.
type burners struct {
	all   []*exec.Cmd
	wg    sync.WaitGroup // one for each loop
	end   chan struct{}  // closed by stop
	mu    sync.Mutex
	meant bool    // stop has begun
	errs  []error // of those that ended before
}

// burn starts the loops; files of theirs lie in dir. The caller stops them; if it dies, so do they.
func burn(dir string, l loops) (*burners, error) {
	b := &burners{end: make(chan struct{})}
	for kind, script := range map[string]string{cpuLoop: "while :; do :; done", forksLoop: "while :; do /bin/true; done"} {
		for range l[kind] {
			if err := b.script(script); err != nil {
				return nil, errors.Join(fmt.Errorf("start a loop: %w", err), b.stop())
			}
		}
	}
	for n := range l[fsyncLoop] {
		b.wg.Go(func() {
			if err := b.syncs(filepath.Join(dir, fmt.Sprintf("burn-%d", n))); err != nil {
				b.ended(err)
			}
		})
	}
	return b, nil
}

func (b *burners) script(text string) error {
	cmd := exec.Command("sh", "-c", text)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true} // Ctrl-C is for us
	if err := cmd.Start(); err != nil {
		return err
	}
	b.all = append(b.all, cmd)
	b.wg.Go(func() {
		_ = cmd.Wait() // it never ends well
		b.ended(errors.New(cmd.ProcessState.String()))
	})
	return nil
}

// syncs writes and syncs a file until stop, then removes it.
func (b *burners) syncs(path string) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer os.Remove(path)
	defer f.Close()
	for page := make([]byte, 4096); ; {
		select {
		case <-b.end:
			return nil
		default:
		}
		if _, err := f.WriteAt(page, 0); err != nil {
			return err
		}
		if err := f.Sync(); err != nil {
			return err
		}
	}
}

func (b *burners) ended(how error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.meant {
		b.errs = append(b.errs, fmt.Errorf("a loop ended early, so the machine was not as busy as it should be: %w", how))
	}
}

// stop ends them all, and tells if one had ended before.
func (b *burners) stop() error {
	b.mu.Lock()
	b.meant = true
	b.mu.Unlock()
	close(b.end)
	for _, cmd := range b.all {
		cmd.Process.Kill()
	}
	b.wg.Wait()
	return errors.Join(b.errs...)
}
