package apps

import (
	"context"
	"path/filepath"

	"mainstay/controller/appserver"
	"mainstay/controller/config"
	"mainstay/fencing/program"
)

// server is the access to the processes of one app server: a systemd unit, or a command that the agent starts. Its calls are made
// beside the supervisor's loop, each with a deadline.
type server interface {
	look(context.Context) (appserver.Seen, error)
	start(context.Context) error
	// stop asks all its processes to end, without waiting; kill kills the present ones.
	stop(context.Context) error
	kill(context.Context) error
	// tidy is called now and then, to limit the use of the disk.
	tidy(context.Context) error
	// program is a program that the agent's file names for it, such as the one that drains it.
	program(words []string) (program.Call, error)
	// output names the place of its output, for operators.
	output() string
	close()
}

// dirOf is the agent's folder for one app server.
func dirOf(data, name string) string { return filepath.Join(data, "instances", name) }

// open finds the processes that an earlier agent left running. ended is called at once when the main process has ended, if that can be
// watched.
func (h *Host) open(name string, cfg config.AgentInstance, ended func()) (server, error) {
	if cfg.Unit != "" {
		return &unit{name: cfg.Unit}, nil
	}
	return openCommand(h, name, cfg, ended)
}
