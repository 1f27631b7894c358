package agent

import (
	"bytes"
	"context"
	"fmt"
	"os/exec"
	"strings"
	"sync"
	"time"

	"mainstay/controller/instance"
	"mainstay/fencing/process"
	"mainstay/health"
)

// minimalPath is all of the agent's environment that reaches the programs it starts for an app server.
const minimalPath = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// appUnit is an app server that is a unit of systemd. Its own settings hold: who it runs as, and whether systemd itself
// starts it again after a crash.
type appUnit struct {
	unit string

	mu    sync.Mutex
	group string // its cgroup, as systemd called it when it last had one
}

// look asks systemd. A unit counts as ended only once nothing is left in its cgroup either: KillMode=process leaves some.
func (u *appUnit) look(ctx context.Context) (instance.Seen, error) {
	out, err := systemctl(ctx, "show", "-p", "ActiveState,SubState,ControlGroup", "--", u.unit)
	if err != nil {
		return instance.Seen{}, err
	}
	shown := map[string]string{}
	for line := range strings.Lines(out) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), "=")
		shown[key] = value
	}
	u.mu.Lock()
	if shown["ControlGroup"] != "" {
		u.group = shown["ControlGroup"]
	}
	u.mu.Unlock()
	return u.seen(shown["ActiveState"])
}

func (u *appUnit) seen(state string) (instance.Seen, error) {
	switch state {
	case "active", "reloading", "refreshing":
		return instance.Seen{Process: health.ProcessRunning}, nil
	case "activating":
		return instance.Seen{Process: health.ProcessRunning, Starting: true}, nil
	case "deactivating":
		return instance.Seen{Process: health.ProcessEnding}, nil
	case "inactive", "failed", "maintenance":
		left, err := u.left()
		if left {
			return instance.Seen{Process: health.ProcessEnding}, err
		}
		return instance.Seen{Process: health.ProcessEnded}, err
	}
	return instance.Seen{}, fmt.Errorf("systemd says that %s is %q, which this build does not know", u.unit, state)
}

// cgroup is nil where the unit has none now.
func (u *appUnit) cgroup() *process.Cgroup {
	u.mu.Lock()
	group := u.group
	u.mu.Unlock()
	if group == "" {
		return nil
	}
	c, err := process.Group(group)
	if err != nil {
		return nil
	}
	return c
}

func (u *appUnit) left() (bool, error) {
	c := u.cgroup()
	if c == nil {
		return false, nil
	}
	return c.Populated()
}

// start waits for systemd's job: until it has ended, what systemd says of the unit may be of the time before.
func (u *appUnit) start(ctx context.Context) error {
	_, err := systemctl(ctx, "start", "--", u.unit)
	return err
}

func (u *appUnit) stop(ctx context.Context) error {
	_, err := systemctl(ctx, "stop", "--no-block", "--", u.unit)
	return err
}

// kill asks the kernel first, which needs nobody's answer. Then systemd, for hosts without cgroup v2; it has nothing to
// kill where the kernel has done it.
func (u *appUnit) kill(ctx context.Context) error {
	if c := u.cgroup(); c != nil {
		return c.Kill()
	}
	_, err := systemctl(ctx, "kill", "--signal=KILL", "--", u.unit)
	return err
}

func (u *appUnit) tidy(context.Context) error { return nil }

func (u *appUnit) program(ctx context.Context, words []string) error {
	return runProgram(ctx, &exec.Cmd{Path: words[0], Args: words, Dir: "/", Env: []string{minimalPath}})
}

func (u *appUnit) output() string { return "journalctl -u " + u.unit }

func (u *appUnit) close() {}

// systemctl runs until ctx ends, and a moment longer.
func systemctl(ctx context.Context, args ...string) (string, error) {
	path, err := exec.LookPath("systemctl")
	if err != nil {
		return "", fmt.Errorf("%w; instances with a unit need systemd: give a command instead", err)
	}
	var out, said bytes.Buffer
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Env = []string{"LC_ALL=C", minimalPath}
	cmd.Stdout, cmd.Stderr, cmd.WaitDelay = &out, &said, time.Second
	if err := cmd.Run(); err != nil {
		if ctx.Err() != nil {
			err = ctx.Err()
		}
		return "", failed("systemctl "+strings.Join(args, " "), err, said.String())
	}
	return out.String(), nil
}

// failed is the error of a program, with what it said.
func failed(program string, err error, said string) error {
	if said = strings.Join(strings.Fields(said), " "); said == "" {
		return fmt.Errorf("%s: %w", program, err)
	}
	return fmt.Errorf("%s: %w: %s", program, err, said)
}
