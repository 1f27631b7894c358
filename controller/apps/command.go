package apps

import (
	"cmp"
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

	"mainstay/controller/appserver"
	"mainstay/controller/config"
	"mainstay/controller/osuser"
	"mainstay/controller/statefile"
	"mainstay/fencing/process"
	"mainstay/fencing/program"
	"mainstay/health"
)

// killBound bounds the wait for killed processes to end.
const killBound = 5 * time.Second

// minimalPath is the only part of the agent's environment that an app server gets.
const minimalPath = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// command is an app server that the agent starts itself, in a session and a cgroup of its own. It outlives the agent: the next agent
// finds it by its cgroup and by the record of its start.
type command struct {
	host  *Host
	name  string
	dir   string
	cfg   config.AgentInstance
	ended func() // called at once when the main process has ended

	mu     sync.Mutex
	tree   *process.Tree
	leader *process.Handle // the main process; nil if unknown
}

// started is the record of a start: PID and start time identify a process within one boot of the host.
type started struct {
	Boot   string `json:"boot"`
	PID    int    `json:"pid"`
	Start  uint64 `json:"start"`
	Cgroup string `json:"cgroup,omitempty"`
}

func openCommand(h *Host, name string, cfg config.AgentInstance, ended func()) (*command, error) {
	c := &command{host: h, name: name, dir: dirOf(h.o.Config.Data, name), cfg: cfg, ended: ended}
	if err := os.MkdirAll(c.dir, 0o700); err != nil {
		return nil, err
	}
	var kept started
	if err := statefile.Read(c.record(), &kept); err != nil {
		return nil, err
	}
	if kept.Boot != h.o.Boot || kept.Boot == "" {
		kept = started{}
	}
	c.find(kept)
	return c, nil
}

func (c *command) record() string { return filepath.Join(c.dir, "started.json") }

// find finds a command that an earlier agent started. If the record of that start is missing, its cgroup still identifies it.
func (c *command) find(kept started) {
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

// cgroup creates or opens the instance's own cgroup; nil if the host has no usable cgroup v2.
func (c *command) cgroup() *process.Cgroup {
	if c.host.o.Config.Cgroup == "off" {
		return nil
	}
	group, err := process.Create(process.CgroupName("instance-"+c.name, c.dir))
	if err != nil {
		c.host.o.Log.Warn("this app server has no cgroup: a process that detaches itself would survive a stop",
			zap.String("instance", c.name), zap.Error(err))
		return nil
	}
	return group
}

// freshCgroup creates the cgroup again before a start: some kernels kill any process that starts in a cgroup that was killed before
// (cgroupFD).
func (c *command) freshCgroup() (*process.Cgroup, error) {
	group := c.cgroup()
	if group == nil {
		return nil, nil
	}
	if err := group.Remove(); err != nil {
		return nil, err
	}
	return process.Create(filepath.Base(group.Path()))
}

// hold watches the main process. reap collects its exit status if it is a child of this agent.
func (c *command) hold(h *process.Handle, reap func() error) {
	c.mu.Lock()
	old := c.leader
	c.leader = h
	c.mu.Unlock()
	old.Close()
	run := c.host.ctx
	c.host.group.Go(func() error {
		select {
		case <-h.Done():
		case <-run.Done():
			return nil // it keeps running
		}
		if reap != nil {
			c.host.o.Log.Info("app server's main process has ended", zap.String("instance", c.name), zap.Int("pid", h.PID()), zap.Error(reap()))
		}
		c.ended()
		return nil
	})
}

func (c *command) held() (*process.Tree, *process.Handle) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.tree, c.leader
}

// look asks the kernel only.
func (c *command) look(context.Context) (appserver.Seen, error) {
	tree, leader := c.held()
	if leader != nil && leader.Alive() {
		return appserver.Seen{Process: health.ProcessRunning}, nil
	}
	left, err := tree.Left()
	if left || err != nil {
		return appserver.Seen{Process: health.ProcessEnding}, err
	}
	return appserver.Seen{Process: health.ProcessEnded}, nil
}

// start starts the command, then writes the record of the start. If the agent dies in between, it leaves a cgroup with processes in it,
// which is stopped before another start. Without a cgroup the next agent could not find them, so a command whose record cannot be
// written is killed.
func (c *command) start(ctx context.Context) error {
	if err := c.bound(startLog); err != nil {
		return err
	}
	log, err := os.OpenFile(c.log(), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o640)
	if err != nil {
		return err
	}
	defer log.Close()
	call, err := c.program(c.cfg.Command)
	if err != nil {
		return err
	}
	cmd := &exec.Cmd{Path: call.Path, Args: c.cfg.Command, Dir: cmp.Or(call.Dir, "/"),
		Env: append([]string{minimalPath}, call.Env...), Stdout: log, Stderr: log,
		SysProcAttr: &syscall.SysProcAttr{Setsid: true, Credential: call.As}}
	kept := started{Boot: c.host.o.Boot}
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
	if err != nil { // this fails only for lack of descriptors, since an unreaped child exists
		return errors.Join(err, cmd.Process.Kill(), cmd.Wait())
	}
	// The agent's unit protects the agent from the OOM killer, which should choose an app server before the agent and PostgreSQL.
	if err := os.WriteFile(fmt.Sprintf("/proc/%d/oom_score_adj", h.PID()), []byte("0"), 0); err != nil {
		c.host.o.Log.Warn("the OOM killer treats this app server like the agent", zap.String("instance", c.name), zap.Error(err))
	}
	kept.PID, kept.Start = h.PID(), h.Start()
	c.mu.Lock()
	c.tree = process.NewSession(kept.PID, kept.Start, group)
	c.mu.Unlock()
	c.hold(h, cmd.Wait)
	err = statefile.Write(c.record(), kept)
	if err != nil && group == nil {
		return errors.Join(err, c.kill(ctx))
	}
	return err
}

// program is a program of the instance, as its user, in its folder, with only its environment.
func (c *command) program(words []string) (program.Call, error) {
	call := program.Call{Path: words[0], Args: words[1:], Dir: c.cfg.Directory}
	for _, key := range slices.Sorted(maps.Keys(c.cfg.Environment)) {
		call.Env = append(call.Env, key+"="+c.cfg.Environment[key])
	}
	if c.cfg.User == "" {
		return call, nil
	}
	user, _, err := osuser.Lookup(c.cfg.User)
	if err != nil {
		return call, fmt.Errorf("instances.%s.user in the agent's file: %w", c.name, err)
	}
	call.As = user.Credential()
	return call, nil
}

func (c *command) stop(context.Context) error {
	tree, _ := c.held()
	return tree.Signal(unix.SIGTERM)
}

func (c *command) kill(context.Context) error {
	tree, _ := c.held()
	return tree.Kill(killBound)
}

func (c *command) output() string { return c.log() }

func (c *command) close() {
	_, leader := c.held()
	leader.Close()
}
