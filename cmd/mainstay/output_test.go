package main

import (
	"errors"
	"io"
	"io/fs"
	"net/http"
	"strings"
	"syscall"
	"testing"

	"mainstay/controller/state"
	"mainstay/controller/wire"
)

// full is a standard output that takes some bytes and then no more, as a file on a full disk.
type full struct{ left int }

func (f *full) Write(b []byte) (int, error) {
	if f.left -= len(b); f.left < 0 {
		return 0, &fs.PathError{Op: "write", Path: "/dev/stdout", Err: syscall.ENOSPC}
	}
	return len(b), nil
}

// TestLostAnswer: a command whose answer could not be printed has failed, whichever verb it is.
func TestLostAnswer(t *testing.T) {
	b, s := leader(t)
	steps(s, state.Done)
	begins(s, "switchover")
	s.answer("GET /v1/status", http.StatusOK, statusOf("127.0.0.1:1"))
	s.answer("GET /v1/controllers", http.StatusOK, wire.Controllers{Leader: "c1", Members: []wire.Controller{{Name: "c1"}}})
	s.answer("GET /v1/clusters/feed/explain", http.StatusOK, wire.ExplainAnswer{Cluster: "feed"})
	s.answer("POST /v1/clusters/feed/resume", http.StatusNoContent, nil)
	file := b.write("p.yaml", platformText)
	for _, args := range []string{"status", "status -o json", "status --watch", "watch", "explain feed", "controllers list", "resume feed",
		"switchover feed --yes", "validate -f " + file, "version", "help", "help runbook", "status --help",
		"completion bash", "completion zsh"} {
		b.edit = func(p *program) { p.stdout = &full{left: 3} }
		b.want(exitFailed, strings.Fields(args), "standard output: no space left on device: the answer is incomplete")
	}
	b.edit = func(p *program) { p.stdout = &full{left: 1 << 20} }
	b.want(exitDone, []string{"status"}, "!standard output")
	b.edit = func(p *program) { p.stdout = &full{} }
	b.want(exitUsage, []string{"explain"}, "CLUSTER is missing", "!standard output") // its own error matters more
}

func TestOutputKeepsTheFirstError(t *testing.T) {
	o := &output{to: &full{}}
	for range 2 {
		if _, err := io.WriteString(o, "x"); !errors.Is(err, syscall.ENOSPC) {
			t.Error(err)
		}
	}
	if err := o.judge(quietError{exitRefused}); codeOf(err) != exitFailed || !errors.Is(err, syscall.ENOSPC) {
		t.Error(err)
	}
	if err := (&output{}).judge(quietError{exitRefused}); codeOf(err) != exitRefused {
		t.Error(err)
	}
}
