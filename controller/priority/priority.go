// Package priority raises the CPU priority of a controller or an agent, so that it keeps its leases and its place in Raft on a
// busy host. What such a process starts inherits none of it: PostgreSQL, app servers, guards, programs.
//
// It must never raise a thread without SCHED_RESET_ON_FORK, by which the kernel gives whatever that thread makes the ordinary
// priority. That holds for new threads of the process itself as well, which is why Keep looks again. Nothing flows in; the
// caller is told what is not allowed.
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

// keepEvery is how long a new thread may run at the ordinary priority.
const keepEvery = time.Second

// resetOnFork is SCHED_FLAG_RESET_ON_FORK of sched_setattr(2).
const resetOnFork = 0x01

// Raise raises every thread of this process that has the ordinary priority; a thread for which the operator chose another one
// keeps it. The error says what to grant.
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

// Keep raises what threads there are, and then, once a second, those made since, until ctx ends. It returns early where that
// is not allowed.
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
