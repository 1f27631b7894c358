package agent

import (
	"context"
	"path/filepath"

	"mainstay/controller/config"
	"mainstay/controller/instance"
	"mainstay/fencing/program"
)

// appServer is how the processes of one app server are reached: a unit of systemd, or a command of the agent's. Its calls are
// made beside the minder's loop, each with a deadline.
type appServer interface {
	look(context.Context) (instance.Seen, error)
	start(context.Context) error
	// stop asks all its processes to end, and does not wait for that; kill ends those that there are.
	stop(context.Context) error
	kill(context.Context) error
	// tidy is called now and then, for what belongs to the disk.
	tidy(context.Context) error
	// program is a program of the agent's file that belongs to it, such as the one that drains it.
	program(words []string) (program.Call, error)
	// output is where it says what it does, for people.
	output() string
	close()
}

// appDir is where the agent keeps what belongs to one app server.
func appDir(data, name string) string { return filepath.Join(data, "instances", name) }

func (a *Agent) appServer(name string, cfg config.AgentInstance, ended func()) (appServer, error) {
	if cfg.Unit != "" {
		return &appUnit{unit: cfg.Unit}, nil
	}
	return openCommand(a, name, cfg, ended)
}
