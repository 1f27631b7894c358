package apps

import (
	"context"
	"fmt"
	"os/exec"
	"strings"
	"sync"

	"mainstay/controller/appserver"
	"mainstay/fencing/process"
	"mainstay/fencing/program"
	"mainstay/health"
)

// unit is an app server that is a unit of systemd. Its own settings hold: who it runs as, and whether systemd itself
// starts it again after a crash.
type unit struct {
	name string

	mu    sync.Mutex
	group string // its cgroup, as systemd called it when it last had one
}

// look asks systemd. A unit counts as ended only once nothing is left in its cgroup either: KillMode=process leaves some.
func (u *unit) look(ctx context.Context) (appserver.Seen, error) {
	out, err := systemctl(ctx, "show", "-p", "ActiveState,ControlGroup,Job", "--", u.name)
	if err != nil {
		return appserver.Seen{}, err
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
	return u.seen(shown["ActiveState"], shown["Job"])
}

// seen: a unit that is inactive with a job queued is about to start: perhaps by an earlier agent, which nobody waits for any more,
// or by a start that was given up. A stop takes that job back.
func (u *unit) seen(state, job string) (appserver.Seen, error) {
	switch state {
	case "active", "reloading", "refreshing":
		return appserver.Seen{Process: health.ProcessRunning}, nil
	case "activating":
		return appserver.Seen{Process: health.ProcessRunning, Starting: true}, nil
	case "deactivating":
		return appserver.Seen{Process: health.ProcessEnding}, nil
	case "inactive", "failed", "maintenance":
		left, err := u.left()
		switch {
		case left:
			return appserver.Seen{Process: health.ProcessEnding}, err
		case job != "" && job != "0":
			return appserver.Seen{Process: health.ProcessRunning, Starting: true}, err
		}
		return appserver.Seen{Process: health.ProcessEnded}, err
	}
	return appserver.Seen{}, fmt.Errorf("systemd says that %s is %q, which this build does not know", u.name, state)
}

// cgroup is nil where the unit has none now.
func (u *unit) cgroup() *process.Cgroup {
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

func (u *unit) left() (bool, error) {
	c := u.cgroup()
	if c == nil {
		return false, nil
	}
	return c.Populated()
}

// start waits for systemd's job: until it has ended, what systemd says of the unit may be of the time before.
func (u *unit) start(ctx context.Context) error {
	_, err := systemctl(ctx, "start", "--", u.name)
	return err
}

func (u *unit) stop(ctx context.Context) error {
	_, err := systemctl(ctx, "stop", "--no-block", "--", u.name)
	return err
}

// kill asks the kernel first, which needs nobody's answer. Then systemd, for hosts without cgroup v2; it has nothing to
// kill where the kernel has done it.
func (u *unit) kill(ctx context.Context) error {
	if c := u.cgroup(); c != nil {
		return c.Kill()
	}
	_, err := systemctl(ctx, "kill", "--signal=KILL", "--", u.name)
	return err
}

func (u *unit) tidy(context.Context) error { return nil }

func (u *unit) program(words []string) (program.Call, error) {
	return program.Call{Path: words[0], Args: words[1:]}, nil
}

func (u *unit) output() string { return "journalctl -u " + u.name }

func (u *unit) close() {}

func systemctl(ctx context.Context, args ...string) (string, error) {
	path, err := exec.LookPath("systemctl")
	if err != nil {
		return "", fmt.Errorf("%w; instances with a unit need systemd: give a command instead", err)
	}
	return runProgram(ctx, program.Call{Path: path, Args: args})
}

// runProgram runs one to its end, or until ctx ends; an exit code other than 0 is an error, with what was said.
func runProgram(ctx context.Context, c program.Call) (string, error) {
	ended, err := program.Run(ctx, c)
	if err == nil && ended.Code != 0 {
		err = fmt.Errorf("exit code %d", ended.Code)
	}
	if err == nil {
		return ended.Stdout, nil
	}
	command := strings.Join(append([]string{c.Path}, c.Args...), " ")
	return "", fmt.Errorf("%s: %w: %s", command, err, strings.Join(strings.Fields(ended.Stderr+ended.Stdout), " "))
}
