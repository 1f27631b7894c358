package main

import (
	"context"
	"errors"
	"io"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/zap"

	"mainstay/controller/config"
)

// A HUP reaches the daemon only if its file has no mistakes; TERM ends it, with exit code 0.
func TestDaemon(t *testing.T) {
	b := newBench(t)
	b.issue("agent", "db-e1")
	file := agentFile(b, "127.0.0.1:7201")
	good, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	hup := make(chan os.Signal)
	var host string
	said := make(lines, 100)
	b.edit = func(p *program) {
		p.stderr = io.MultiWriter(p.stderr, said)
		p.hangups = func() (<-chan os.Signal, func()) { return hup, func() {} }
		p.runAgent = func(ctx context.Context, cfg config.Agent, d daemon) error {
			host = cfg.Host
			b.write("agent.yaml", "host: [\n")
			send(t, ctx, hup)
			said.wait(t, ctx, "not reloaded")
			b.write("agent.yaml", string(good))
			send(t, ctx, hup)
			select {
			case <-d.reload:
				d.log.Info("reloaded", zap.String("version", d.version))
			case <-ctx.Done():
				t.Error("the HUP after the file was mended did not arrive")
			}
			select {
			case <-d.reload:
				t.Error("the HUP with a broken file arrived")
			default:
			}
			return nil
		}
	}
	b.want(exitDone, []string{"agent", "-f", file}, "not reloaded: the settings read before stay in force", "agent.yaml:", "reloaded")
	if host != "db-e1" {
		t.Errorf("the daemon got the host %q", host)
	}
}

// lines is a writer whose lines can be waited for.
type lines chan string

func (l lines) Write(p []byte) (int, error) {
	l <- string(p)
	return len(p), nil
}

func (l lines) wait(t *testing.T, ctx context.Context, text string) {
	for {
		select {
		case line := <-l:
			if strings.Contains(line, text) {
				return
			}
		case <-ctx.Done():
			t.Errorf("%q was not said", text)
			return
		}
	}
}

func send(t *testing.T, ctx context.Context, hup chan<- os.Signal) {
	select {
	case hup <- syscall.SIGHUP:
	case <-ctx.Done():
		t.Error("nobody listens for HUP")
	}
}

func TestDaemonFails(t *testing.T) {
	b := newBench(t)
	b.issue("controller", "c1")
	file := b.write("c.yaml",
		"name: c1\nsite: east\nlisten: 127.0.0.1:7101\ndata: data\nlog: {format: json}\ntls: {ca: ca/ca.crt, cert: ca/controller-c1.crt, "+
			"key: ca/controller-c1.key}\n")
	b.want(exitFailed, []string{"controller", "-f", file}, `"msg":"stopped","error":"no controller in this test"`, "!mainstay: ")
	b.want(exitFailed, []string{"controller", "-f", b.write("bad.yaml", "nmae: c1\n")}, "bad.yaml:1:1: nmae:", "did you mean name?")
	b.want(exitFailed, []string{"agent", "-f", b.home + "/none.yaml"}, "none.yaml: does not exist")
}

// A daemon that stops because of a signal has not failed.
func TestDaemonStops(t *testing.T) {
	b := newBench(t)
	b.issue("controller", "c1")
	file := b.write("c.yaml",
		"name: c1\nsite: east\nlisten: 127.0.0.1:7101\ndata: data\ntls: {ca: ca/ca.crt, cert: ca/controller-c1.crt, key: ca/controller-c1.key}\n")
	ctx, stop := context.WithTimeout(context.Background(), 20*time.Second)
	defer stop()
	b.edit = func(p *program) {
		p.runController = func(ctx context.Context, cfg config.Controller, _ daemon) error {
			stop()
			<-ctx.Done()
			return nil
		}
	}
	if code := b.runFor(ctx, "controller", "-f", file); code != exitDone || strings.Contains(b.err, "mainstay:") {
		t.Errorf("exit code %d, want 0; stderr:\n%s", code, b.err)
	}
}

func TestExitCodes(t *testing.T) {
	for _, c := range []struct {
		err  error
		want int
	}{
		{nil, exitDone}, {errors.New("x"), exitFailed}, {usagef("x"), exitUsage}, {refusedf("x"), exitRefused}, {timeoutError{"x"}, exitTimeout},
		{context.DeadlineExceeded, exitTimeout}, {quietError{exitFailed}, exitFailed},
	} {
		if got := codeOf(c.err); got != c.want {
			t.Errorf("%v: got %d, want %d", c.err, got, c.want)
		}
	}
}
