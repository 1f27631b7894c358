package operate

import (
	"context"
	"encoding/json"
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"

	"mainstay/controller/platform"
	"mainstay/controller/state"
)

// ask runs one effect of a site switchover and returns the answer that is proposed.
func ask(t *testing.T, p *platform.Platform, e state.Effect, allowed ...string) state.Answer {
	t.Helper()
	s := state.New()
	s.Platform, s.Change = p, &state.SiteChange{ID: "site-1", To: "west", By: "alice", Reason: "drill"}
	results := make(chan state.Command, 8)
	r := New(nil, allowed, func(_ context.Context, c state.Command) error { results <- c; return nil }, zap.NewNop())
	defer r.Close()
	e.Change = "site-1"
	r.Want([]state.Effect{e}, s)
	select {
	case c := <-results:
		if c.HookAnswered == nil || c.HookAnswered.Change != "site-1" || c.HookAnswered.Key != e.Key() || c.By == "" || c.At == "" {
			t.Fatalf("%+v: %+v", e, c.HookAnswered)
		}
		return c.HookAnswered.Answer
	case <-time.After(20 * time.Second):
		t.Fatalf("%+v: no answer", e)
	}
	return state.Answer{}
}

func script(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "hook")
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+text), 0o700); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestHooks(t *testing.T) {
	var got event
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		if err := json.NewDecoder(q.Body).Decode(&got); err != nil || q.Method != http.MethodPost {
			t.Errorf("%s: %v", q.Method, err)
		}
		if q.URL.Path == "/no" {
			http.Error(w, "dns is locked", http.StatusConflict)
		}
	}))
	defer server.Close()
	for _, c := range []struct {
		name string
		hook platform.Hook
		want bool
		says string
	}{
		{"a program", platform.Hook{Exec: []string{script(t, `echo "$1 to $MAINSTAY_TO by $MAINSTAY_BY at $MAINSTAY_WHEN $MAINSTAY_STEP"`),
			"move"}}, true, "move to west by alice at before quiesce"},
		{"a program that fails", platform.Hook{Exec: []string{script(t, "echo no such zone >&2; exit 3")}}, false, "ended with 3: no such zone"},
		{"a program that hangs, and its child", platform.Hook{Exec: []string{script(t, "sleep 600 & sleep 600")}}, false,
			"did not answer in time"},
		{"no such program", platform.Hook{Exec: []string{"/nowhere/hook"}}, false, "/nowhere/hook"},
		{"a webhook", platform.Hook{Webhook: server.URL + "/yes"}, true, "200 OK"},
		{"a webhook that refuses", platform.Hook{Webhook: server.URL + "/no"}, false, "409 Conflict dns is locked"},
		{"a webhook without a server", platform.Hook{Webhook: "http://127.0.0.1:1/x"}, false, "refused"},
	} {
		c.hook.Step, c.hook.When, c.hook.Timeout = platform.StepQuiesce, "before", time.Second
		a := ask(t, &platform.Platform{Name: "social", Hooks: []platform.Hook{c.hook}}, state.Effect{Kind: state.RunHook}, c.hook.Exec...)
		if a.OK != c.want || !strings.Contains(a.Detail, c.says) {
			t.Errorf("%s: %+v, want %v with %q", c.name, a, c.want, c.says)
		}
	}
	made := filepath.Join(t.TempDir(), "made")
	hook := platform.Hook{Step: platform.StepQuiesce, When: "before", Timeout: time.Second, Exec: []string{"/usr/bin/touch", made}}
	a := ask(t, &platform.Platform{Name: "social", Hooks: []platform.Hook{hook}}, state.Effect{Kind: state.RunHook}, "/bin/true")
	_, err := os.Stat(made)
	if a.OK || !strings.Contains(a.Detail, "write `programs: [/bin/true, /usr/bin/touch]` into it") || !os.IsNotExist(err) {
		t.Errorf("a program that this controller's file does not allow: %+v", a)
	}
	if want := (event{"social", "site-1", "quiesce", "before", "west", "alice", "drill"}); got != want {
		t.Errorf("the webhook was told %+v", got)
	}
}

func TestInstancesAreAsked(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		if q.URL.Path != "/verify" {
			http.Redirect(w, q, "/verify", http.StatusTemporaryRedirect)
		}
	}))
	defer server.Close()
	app := platform.App{Name: "web", Verify: "http://{address}/verify", Quiesce: "http://{address}/elsewhere",
		Instances: []platform.Instance{{Name: "web1", Address: strings.TrimPrefix(server.URL, "http://")}}}
	p := &platform.Platform{Apps: []platform.App{app}}
	if a := ask(t, p, state.Effect{Kind: state.Verify, App: "web", Instance: "web1"}); !a.OK {
		t.Errorf("verify: %+v", a)
	}
	if a := ask(t, p, state.Effect{Kind: state.Quiesce, App: "web", Instance: "web1"}); a.OK {
		t.Errorf("a redirect was followed: %+v", a)
	}
}

// An app server's certificate is checked as its app's check says.
func TestInstancesAreAskedByTLS(t *testing.T) {
	server := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer server.Close()
	ca := filepath.Join(t.TempDir(), "ca.crt")
	if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	app := platform.App{Name: "web", Verify: "https://{address}/verify",
		Instances: []platform.Instance{{Name: "web1", Address: strings.TrimPrefix(server.URL, "https://")}}}
	for file, says := range map[string]string{ca: "200 OK", "": "unknown authority", ca + ".gone": "no such file",
		"/dev/null": "holds no certificate"} {
		app.Check.CA = file
		a := ask(t, &platform.Platform{Apps: []platform.App{app}}, state.Effect{Kind: state.Verify, App: "web", Instance: "web1"})
		if a.OK != (file == ca) || !strings.Contains(a.Detail, says) {
			t.Errorf("ca %q: %+v", file, a)
		}
	}
}
