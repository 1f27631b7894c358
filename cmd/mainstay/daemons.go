package main

import (
	"context"

	"mainstay/controller"
	"mainstay/controller/agent"
	"mainstay/controller/config"
)

// runController and runAgent are the whole of what this package knows of the daemons.

func runController(ctx context.Context, cfg config.Controller, d daemon) error {
	return controller.Run(ctx, cfg, controller.Options{Version: d.version, Logger: d.log, Reload: d.reload})
}

func runAgent(ctx context.Context, cfg config.Agent, d daemon) error {
	return agent.Run(ctx, cfg, agent.Options{Version: d.version, Logger: d.log, Reload: d.reload})
}
