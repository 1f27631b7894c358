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

// unit is an app server that is a systemd unit. The unit's own settings decide its user, and whether systemd restarts it after a crash.
type unit struct {
	name string

	mu    sync.Mutex
	group string // the last cgroup that systemd named for it
}

// look asks systemd. A unit counts as ended only once its cgroup is empty too: KillMode=process leaves processes behind.
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

// seen treats an inactive unit with a queued job as starting: an earlier agent, or a start that was abandoned, may have queued it. A
// stop cancels that job.
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
	return appserver.Seen{}, fmt.Errorf("systemd reports the state %q of %s, which this build does not know", state, u.name)
}

// cgroup is nil if the unit has none now.
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

// start waits for systemd's job: until it has ended, systemd may still report the unit's earlier state.
func (u *unit) start(ctx context.Context) error {
	_, err := systemctl(ctx, "start", "--", u.name)
	return err
}

func (u *unit) stop(ctx context.Context) error {
	_, err := systemctl(ctx, "stop", "--no-block", "--", u.name)
	return err
}

// kill asks the kernel first, which needs no answer of systemd. Then it asks systemd, for hosts without cgroup v2; on others systemd
// finds no process left.
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

// runProgram runs a program to its end, or until ctx ends; an exit code other than 0 is an error, with the program's output.
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
