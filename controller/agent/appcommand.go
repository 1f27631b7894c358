package agent

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sys/unix"

	"mainstay/controller/config"
	"mainstay/controller/instance"
	"mainstay/controller/postgres"
	"mainstay/fencing/process"
	"mainstay/health"
)

// appCommand is an app server that the agent starts itself, in a session and a cgroup of its own. It outlives the agent: the
// next one finds it by what is kept on disk of its start, and by its cgroup.
type appCommand struct {
	agent *Agent
	name  string
	dir   string
	cfg   config.AgentInstance
	ended func() // called at once when the main process has ended

	mu     sync.Mutex
	tree   *process.Tree
	leader *process.Handle // the main process; nil where none is known
}

// started is what is kept of a start: pid and start time name a process within one boot of the host.
type started struct {
	Boot   string `json:"boot"`
	PID    int    `json:"pid"`
	Start  uint64 `json:"start"`
	Cgroup string `json:"cgroup,omitempty"`
}

func openCommand(a *Agent, name string, cfg config.AgentInstance, ended func()) (*appCommand, error) {
	c := &appCommand{agent: a, name: name, dir: appDir(a.cfg.Data, name), cfg: cfg, ended: ended}
	if err := os.MkdirAll(c.dir, 0o700); err != nil {
		return nil, err
	}
	var kept started
	if err := readJSON(c.record(), &kept); err != nil {
		return nil, err
	}
	if kept.Boot != a.bootID || kept.Boot == "" {
		kept = started{}
	}
	c.find(kept)
	return c, nil
}

func (c *appCommand) record() string { return filepath.Join(c.dir, "started.json") }

// find takes up what an earlier agent has started. A start of which it could keep nothing left its cgroup.
func (c *appCommand) find(kept started) {
	group, err := process.OpenCgroup(kept.Cgroup)
	if kept.Cgroup == "" || err != nil {
		group = c.cgroup()
	}
	c.tree = process.NewSession(kept.PID, kept.Start, group)
	if h, err := process.Watch(kept.PID); err == nil && kept.PID != 0 && h.Start() == kept.Start {
		c.hold(h, nil)
	} else if err == nil {
		h.Close()
	}
}

// cgroup makes the instance's own, or takes it over; nil where the host has none to give.
func (c *appCommand) cgroup() *process.Cgroup {
	if c.agent.cfg.Cgroup == "off" {
		return nil
	}
	group, err := process.Create(cgroupName("instance-"+c.name, c.dir))
	if err != nil {
		c.agent.log.Warn("what detaches itself from this app server would escape a stop", zap.String("instance", c.name), zap.Error(err))
		return nil
	}
	return group
}

// freshCgroup makes it anew for a start: some kernels kill at once what is born in one that was ever killed (cgroupFD).
func (c *appCommand) freshCgroup() (*process.Cgroup, error) {
	group := c.cgroup()
	if group == nil {
		return nil, nil
	}
	if err := group.Remove(); err != nil {
		return nil, err
	}
	return process.Create(filepath.Base(group.Path()))
}

// hold watches the main process. reap, for a child of this agent, takes it off the kernel's hands.
func (c *appCommand) hold(h *process.Handle, reap func() error) {
	c.mu.Lock()
	old := c.leader
	c.leader = h
	c.mu.Unlock()
	old.Close()
	run := c.agent.ctx
	c.agent.group.Go(func() error {
		select {
		case <-h.Done():
		case <-run.Done():
			return nil // it lives on
		}
		if reap != nil {
			c.agent.log.Info("app server's main process has ended", zap.String("instance", c.name), zap.Int("pid", h.PID()), zap.Error(reap()))
		}
		c.ended()
		return nil
	})
}

func (c *appCommand) held() (*process.Tree, *process.Handle) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.tree, c.leader
}

// look asks the kernel only.
func (c *appCommand) look(context.Context) (instance.Seen, error) {
	tree, leader := c.held()
	if leader != nil && leader.Alive() {
		return instance.Seen{Process: health.ProcessRunning}, nil
	}
	left, err := tree.Left()
	if left || err != nil {
		return instance.Seen{Process: health.ProcessEnding}, err
	}
	return instance.Seen{Process: health.ProcessEnded}, nil
}

// start starts the command. What is kept of it is written afterwards; an agent that dies in between leaves a cgroup in
// which processes live, and that is stopped before another start.
func (c *appCommand) start(ctx context.Context) error {
	if err := c.bound(startLog); err != nil {
		return err
	}
	log, err := os.OpenFile(c.log(), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o640)
	if err != nil {
		return err
	}
	defer log.Close()
	cmd, err := c.command(c.cfg.Command)
	if err != nil {
		return err
	}
	cmd.Stdout, cmd.Stderr, cmd.SysProcAttr.Setsid = log, log, true
	kept := started{Boot: c.agent.bootID}
	group, err := c.freshCgroup()
	if err != nil {
		return err
	}
	if group != nil {
		fd, err := group.OpenFD()
		if err != nil {
			return err
		}
		defer fd.Close()
		cmd.SysProcAttr.UseCgroupFD, cmd.SysProcAttr.CgroupFD = true, int(fd.Fd())
		kept.Cgroup = group.Path()
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("%w; correct instances.%s in the agent's file", err, c.name)
	}
	h, err := process.Watch(cmd.Process.Pid)
	if err != nil { // only for want of descriptors: a child that was not waited for is there
		return errors.Join(err, cmd.Process.Kill(), cmd.Wait())
	}
	kept.PID, kept.Start = h.PID(), h.Start()
	c.mu.Lock()
	c.tree = process.NewSession(kept.PID, kept.Start, group)
	c.mu.Unlock()
	c.hold(h, cmd.Wait)
	return writeJSON(c.record(), kept)
}

// command is a program of the instance's, as its user, in its folder, with its environment and nothing else.
func (c *appCommand) command(words []string) (*exec.Cmd, error) {
	cmd := &exec.Cmd{Path: words[0], Args: words, Dir: c.cfg.Directory, Env: []string{minimalPath}, SysProcAttr: &syscall.SysProcAttr{}}
	if cmd.Dir == "" {
		cmd.Dir = "/"
	}
	for _, key := range slices.Sorted(maps.Keys(c.cfg.Environment)) {
		cmd.Env = append(cmd.Env, key+"="+c.cfg.Environment[key])
	}
	if c.cfg.User == "" {
		return cmd, nil
	}
	owner, err := postgres.LookupOwner(c.cfg.User)
	if err != nil {
		return nil, fmt.Errorf("instances.%s.user in the agent's file: %w", c.name, err)
	}
	cmd.SysProcAttr.Credential = owner.Credential()
	return cmd, nil
}

func (c *appCommand) stop(context.Context) error {
	tree, _ := c.held()
	return tree.Signal(unix.SIGTERM)
}

func (c *appCommand) kill(context.Context) error {
	tree, _ := c.held()
	return tree.Kill(killBound)
}

func (c *appCommand) program(ctx context.Context, words []string) error {
	cmd, err := c.command(words)
	if err != nil {
		return err
	}
	return runProgram(ctx, cmd)
}

func (c *appCommand) output() string { return c.log() }

func (c *appCommand) close() {
	_, leader := c.held()
	leader.Close()
}

// runProgram runs a program to its end, or kills it and what it has started when ctx ends.
func runProgram(ctx context.Context, cmd *exec.Cmd) error {
	said := &head{}
	cmd.Stdout, cmd.Stderr, cmd.WaitDelay = said, said, time.Second
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Setpgid = true
	if err := cmd.Start(); err != nil {
		return err
	}
	group := cmd.Process.Pid
	stop := context.AfterFunc(ctx, func() { _ = unix.Kill(-group, unix.SIGKILL) }) // it may have ended in this moment
	err := cmd.Wait()
	if !stop() {
		err = context.Cause(ctx)
	}
	if err != nil {
		return failed(cmd.Path, err, said.String())
	}
	return nil
}

// head keeps the beginning of what is written to it.
type head struct{ kept []byte }

func (h *head) Write(b []byte) (int, error) {
	h.kept = append(h.kept, b[:min(len(b), maxText-len(h.kept))]...)
	return len(b), nil
}

func (h *head) String() string { return string(h.kept) }
