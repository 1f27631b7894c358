package main

import (
	"errors"
	"fmt"
	"os/exec"
	"sync"
	"syscall"
)

// burners are processes that do nothing but keep a CPU busy each, at the priority of this one.
type burners struct {
	all   []*exec.Cmd
	wg    sync.WaitGroup // one for each process
	mu    sync.Mutex
	meant bool    // stop has begun
	errs  []error // of those that ended before
}

// burn starts n of them. The caller stops them; if it dies, so do they.
func burn(n int) (*burners, error) {
	b := &burners{}
	for range n {
		cmd := exec.Command("sh", "-c", "while :; do :; done")
		cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true} // Ctrl-C is for us
		if err := cmd.Start(); err != nil {
			return nil, errors.Join(fmt.Errorf("start a busy loop: %w", err), b.stop())
		}
		b.all = append(b.all, cmd)
		b.wg.Go(func() { b.wait(cmd) })
	}
	return b, nil
}

func (b *burners) wait(cmd *exec.Cmd) {
	_ = cmd.Wait() // it never ends well
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.meant {
		b.errs = append(b.errs, fmt.Errorf("a busy loop ended by itself, so the machine was not as busy as it should be: %s", cmd.ProcessState))
	}
}

// stop ends them all, and tells if one had ended before.
func (b *burners) stop() error {
	b.mu.Lock()
	b.meant = true
	b.mu.Unlock()
	for _, cmd := range b.all {
		cmd.Process.Kill()
	}
	b.wg.Wait()
	return errors.Join(b.errs...)
}
