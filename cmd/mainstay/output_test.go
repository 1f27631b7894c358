package main

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

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

// stalled is a terminal that takes nothing until the answer has been sent.
type stalled struct {
	sent <-chan struct{}
	bytes.Buffer
}

func (s *stalled) Write(b []byte) (int, error) {
	select {
	case <-s.sent:
		return s.Buffer.Write(b)
	case <-time.After(20 * time.Second):
		return 0, errors.New("the answer waits for the terminal")
	}
}

// TestSlowTerminal: an answer is taken from the connection whole, however slowly the terminal takes it: the connection would not outlast
// that.
func TestSlowTerminal(t *testing.T) {
	b, s := leader(t)
	st := statusOf("127.0.0.1:1")
	evidence := strings.Repeat("bad pages, ", 1<<20) // more than the kernel's buffers hold
	st.Clusters[0].Members[0].Excluded = evidence
	sent := make(chan struct{})
	s.mux.HandleFunc("GET /v1/status", func(w http.ResponseWriter, _ *http.Request) {
		defer close(sent)
		reply(w, http.StatusOK, st)
	})
	out := &stalled{sent: sent}
	b.edit = func(p *program) { p.stdout = out }
	b.want(exitDone, []string{"status", "-o", "json"})
	if !strings.Contains(out.String(), evidence) {
		t.Errorf("%d bytes of the answer were printed", out.Len())
	}
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
