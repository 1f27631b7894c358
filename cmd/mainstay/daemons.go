package main

import (
	"context"
	"os"
	"runtime/debug"

	"go.uber.org/zap"

	"mainstay/controller"
	"mainstay/controller/agent"
	"mainstay/controller/config"
	"mainstay/controller/priority"
)

// runController and runAgent are this package's only access to the daemons.

func runController(ctx context.Context, cfg config.Controller, d daemon) error {
	return raised(ctx, d, func() error {
		return controller.Run(ctx, cfg, controller.Options{Version: d.version, Logger: d.log, Reload: d.reload})
	})
}

func runAgent(ctx context.Context, cfg config.Agent, d daemon) error {
	return raised(ctx, d, func() error {
		return agent.Run(ctx, cfg, agent.Options{Version: d.version, Logger: d.log, Reload: d.reload})
	})
}

// collectAt makes garbage collections rarer than Go's default. A daemon's heap is a few MB; its reports and barriers would fill it again
// within seconds, and an idle daemon should cost nothing.
const collectAt = 400

// raised runs a daemon at a raised CPU priority, which its child processes do not inherit. Where that is not permitted, the log
// says so.
func raised(ctx context.Context, d daemon, run func() error) error {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(collectAt)
	}
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if err := priority.Keep(ctx); err != nil {
			d.log.Warn("on a busy host this process may be late for leases and elections: it runs at the ordinary CPU priority", zap.Error(err))
		}
	}()
	defer func() { cancel(); <-ended }()
	return run()
}
