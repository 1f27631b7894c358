package apps

import (
	"context"
	"path/filepath"

	"mainstay/controller/appserver"
	"mainstay/controller/config"
	"mainstay/fencing/program"
)

// server is how the processes of one app server are reached: a unit of systemd, or a command of the agent's. Its calls are
// made beside the supervisor's loop, each with a deadline.
type server interface {
	look(context.Context) (appserver.Seen, error)
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

// dirOf is where the agent keeps what belongs to one app server.
func dirOf(data, name string) string { return filepath.Join(data, "instances", name) }

// open finds what an earlier agent left running. ended is called at once when the main process has ended, where that is seen.
func (h *Host) open(name string, cfg config.AgentInstance, ended func()) (server, error) {
	if cfg.Unit != "" {
		return &unit{name: cfg.Unit}, nil
	}
	return openCommand(h, name, cfg, ended)
}
