// Package priority raises the CPU priority of a controller or an agent, so that it keeps its leases and its place in Raft on a busy
// host. Its child processes (PostgreSQL, app servers, guards, programs) do not inherit it.
//
// It must never raise a thread without SCHED_RESET_ON_FORK, by which the kernel gives the processes and threads that it makes the
// ordinary priority. That includes new threads of the process itself, which is why Keep raises them later. Nothing flows in; the error
// names the missing right.
package priority

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// Nice is the raised priority: against one process of the ordinary priority it gets nine tenths of a CPU, if it needs them.
const Nice = -10

// keepEvery bounds how long a new thread runs at the ordinary priority.
const keepEvery = time.Second

// resetOnFork is SCHED_FLAG_RESET_ON_FORK of sched_setattr(2).
const resetOnFork = 0x01

// Raise raises every thread of this process that has the ordinary priority; a thread with another priority, which the operator chose,
// keeps it. The error names the right to grant.
func Raise() error {
	tasks, err := os.ReadDir("/proc/self/task")
	if err != nil {
		return err
	}
	for _, task := range tasks {
		tid, err := strconv.Atoi(task.Name())
		if err == nil {
			err = raise(tid)
		}
		if err != nil && !errors.Is(err, unix.ESRCH) { // it has ended
			return fmt.Errorf("raise the CPU priority to nice %d: %w (grant CAP_SYS_NICE, or LimitNICE=%d in the unit)", Nice, err, Nice)
		}
	}
	return nil
}

func raise(tid int) error {
	now, err := unix.SchedGetAttr(tid, 0)
	if err != nil || now.Policy != unix.SCHED_NORMAL || now.Nice != 0 {
		return err
	}
	return unix.SchedSetAttr(tid, &unix.SchedAttr{Size: unix.SizeofSchedAttr, Policy: unix.SCHED_NORMAL, Nice: Nice, Flags: resetOnFork}, 0)
}

// Keep raises all threads, and then, once a second, the new ones, until ctx ends. It returns early where that is not permitted.
func Keep(ctx context.Context) error {
	tick := time.NewTicker(keepEvery)
	defer tick.Stop()
	for {
		if err := Raise(); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}
