package main

import (
	"context"
	"fmt"
	"os"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"mainstay/controller/config"
)

// daemon holds the inputs of a daemon besides its file.
type daemon struct {
	version string
	log     *zap.Logger
	reload  <-chan struct{} // a HUP came, and the local file has no mistakes
}

// start runs a daemon with a logger, and turns each HUP into a reload if check finds no mistake in the local file.
func (p *program) start(ctx context.Context, l config.Log, check func() error, run func(context.Context, daemon) error) error {
	log, err := p.logger(l)
	if err != nil {
		return err
	}
	defer func() { _ = log.Sync() }() // standard error cannot always be synced
	reload := make(chan struct{})
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		p.reloads(ctx, log, check, reload)
	}()
	err = run(ctx, daemon{version: version(), log: log, reload: reload})
	cancel()
	<-ended
	if err != nil {
		log.Error("stopped", zap.Error(err))
		return quietError{exitFailed} // the log has the error
	}
	return nil
}

func (p *program) reloads(ctx context.Context, log *zap.Logger, check func() error, reload chan<- struct{}) {
	hup, stop := p.hangups()
	defer stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-hup:
		}
		if err := check(); err != nil {
			log.Error("not reloaded: the settings read before stay in force", zap.Error(err))
			continue
		}
		select {
		case reload <- struct{}{}:
		case <-ctx.Done():
			return
		}
	}
}

// logger writes to standard error, which the service manager keeps.
func (p *program) logger(l config.Log) (*zap.Logger, error) {
	level, err := zapcore.ParseLevel(l.Level)
	if err != nil {
		return nil, fmt.Errorf("log.level: %w", err)
	}
	enc := zap.NewProductionEncoderConfig()
	enc.EncodeTime = zapcore.RFC3339NanoTimeEncoder
	enc.EncodeDuration = zapcore.StringDurationEncoder
	encoder := zapcore.NewConsoleEncoder(enc)
	if l.Format == "json" {
		encoder = zapcore.NewJSONEncoder(enc)
	}
	return zap.New(zapcore.NewCore(encoder, zapcore.Lock(zapcore.AddSync(p.stderr)), level)), nil
}

// withoutFile refuses a daemon whose file was not named: there is no harmless default for what to run.
func withoutFile(file, which string) error {
	if file == "" {
		return usagef("-f is missing: name the %s's local file", which)
	}
	if info, err := os.Stat(file); err == nil && info.IsDir() {
		return usagef("-f %s: is a folder, not a file", file)
	}
	return nil
}
