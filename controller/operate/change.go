package operate

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"time"

	"mainstay/controller/platform"
	"mainstay/controller/state"
	"mainstay/fencing/program"
)

const (
	// askTimeout bounds one request to an instance.
	askTimeout = 5 * time.Second
	// wordMost bounds the part of an answer that is kept.
	wordMost = 300
)

// event is the input of hooks: of a webhook its JSON body, of a program variables of its environment.
type event struct {
	Platform string `json:"platform"`
	Change   string `json:"change"`
	Step     string `json:"step"`
	When     string `json:"when"`
	To       string `json:"to"`
	By       string `json:"by"`
	Reason   string `json:"reason"`
}

// changeJob is the job of a site switchover's effect; nil if its hook or app is no longer in the platform.
func (r *Runner) changeJob(e state.Effect, s *state.State) job {
	if s.Change == nil || s.Change.ID != e.Change {
		return nil
	}
	var ask func(context.Context) (string, error)
	if e.Kind == state.RunHook {
		if e.Hook >= len(s.Platform.Hooks) {
			return nil
		}
		h := s.Platform.Hooks[e.Hook]
		ev := event{s.Platform.Name, e.Change, h.Step, h.When, s.Change.To, s.Change.By, s.Change.Reason}
		ask = func(ctx context.Context) (string, error) { return r.runHook(ctx, h, ev) }
	} else {
		app := s.Platform.App(e.App)
		url := urlOf(app, e)
		if url == "" {
			return nil
		}
		ca := app.Check.CA
		ask = func(ctx context.Context) (string, error) {
			ctx, cancel := context.WithTimeout(ctx, askTimeout)
			defer cancel()
			return post(ctx, url, ca, nil)
		}
	}
	return func(ctx context.Context) (cmd state.Command, ok bool, detail string) {
		word, err := ask(ctx)
		if err != nil {
			word = err.Error()
		}
		answer := state.Answer{OK: err == nil, Detail: short(word)}
		cmd.HookAnswered = &state.HookAnswered{Change: e.Change, Key: e.Key(), Answer: answer}
		return cmd, answer.OK, answer.Detail
	}
}

// urlOf is the URL to ask an instance at, "" if it has none.
func urlOf(app *platform.App, e state.Effect) string {
	if app == nil || app.Instance(e.Instance) == nil {
		return ""
	}
	pattern := map[state.EffectKind]string{state.Quiesce: app.Quiesce, state.Resume: app.Resume, state.Verify: app.Verify}[e.Kind]
	return app.Instance(e.Instance).In(pattern)
}

func (r *Runner) runHook(ctx context.Context, h platform.Hook, ev event) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, h.Timeout)
	defer cancel()
	if h.Webhook != "" {
		body, err := json.Marshal(ev)
		if err != nil {
			return "", err
		}
		return post(ctx, h.Webhook, "", body)
	}
	if err := r.allowed.Check(h.Exec[0]); err != nil {
		return "", err
	}
	return run(ctx, h.Exec, ev)
}

// run runs a hook's program. Only its exit code says whether it succeeded.
func run(ctx context.Context, words []string, ev event) (string, error) {
	env := []string{"MAINSTAY_PLATFORM=" + ev.Platform, "MAINSTAY_CHANGE=" + ev.Change, "MAINSTAY_STEP=" + ev.Step, "MAINSTAY_WHEN=" + ev.When,
		"MAINSTAY_TO=" + ev.To, "MAINSTAY_BY=" + ev.By, "MAINSTAY_REASON=" + ev.Reason}
	type run struct {
		ended program.Ended
		err   error
	}
	r, answered := program.Apart(ctx, func() run {
		ended, err := program.Run(ctx, program.Call{Path: words[0], Args: words[1:], Env: env})
		return run{ended, err}
	})
	said := oneLine(r.ended.Stdout + " " + r.ended.Stderr)
	switch {
	case !answered:
		return "", fmt.Errorf("%s hangs", words[0])
	case r.err != nil:
		return "", r.err
	case r.ended.Code != 0:
		return "", fmt.Errorf("%s ended with %d: %s", words[0], r.ended.Code, said)
	}
	return said, nil
}

func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }

// client follows no redirect, and keeps no connection: each request makes its own. ca is the file of the CAs that may sign the
// server's certificate, "" for the system's.
func client(ctx context.Context, ca string) (*http.Client, error) {
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	if ca != "" {
		type file struct {
			raw []byte
			err error
		}
		f, read := program.Apart(ctx, func() file {
			raw, err := os.ReadFile(ca)
			return file{raw, err}
		})
		config.RootCAs = x509.NewCertPool()
		switch {
		case !read:
			return nil, fmt.Errorf("%s cannot be read in time; check whether its disk hangs", ca)
		case f.err != nil:
			return nil, f.err
		case !config.RootCAs.AppendCertsFromPEM(f.raw):
			return nil, fmt.Errorf("%s holds no certificate", ca)
		}
	}
	return &http.Client{
		Transport:     &http.Transport{DisableKeepAlives: true, TLSClientConfig: config},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}, nil
}

// post sends a request within the deadline of ctx; any 2xx is yes.
func post(ctx context.Context, url, ca string, body []byte) (string, error) {
	asking, err := client(ctx, ca)
	if err != nil {
		return "", err
	}
	q, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return "", err
	}
	if body != nil {
		q.Header.Set("Content-Type", "application/json")
	}
	answer, err := asking.Do(q)
	if err != nil {
		return "", err
	}
	defer answer.Body.Close()
	word, err := io.ReadAll(io.LimitReader(answer.Body, wordMost))
	text := short(answer.Status + " " + oneLine(string(word)))
	if err == nil && (answer.StatusCode < 200 || answer.StatusCode > 299) {
		err = errors.New(text)
	}
	return text, err
}

func short(s string) string {
	if len(s) > wordMost {
		return s[:wordMost] + "..."
	}
	return strings.TrimSpace(s)
}
