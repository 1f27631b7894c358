package operate

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"mainstay/controller/platform"
	"mainstay/controller/state"
)

const (
	// askTimeout bounds one question to an instance.
	askTimeout = 5 * time.Second
	// wordMost is how much of an answer is kept.
	wordMost = 300
)

// event is what hooks are told: a webhook as its JSON body, a program in variables of its environment.
type event struct {
	Platform string `json:"platform"`
	Change   string `json:"change"`
	Step     string `json:"step"`
	When     string `json:"when"`
	To       string `json:"to"`
	By       string `json:"by"`
	Reason   string `json:"reason"`
}

// changeJob is an effect of a site switchover; nil for what is no longer in the platform.
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
		ask = func(ctx context.Context) (string, error) { return runHook(ctx, h, ev) }
	} else {
		url := urlOf(s.Platform.App(e.App), e)
		if url == "" {
			return nil
		}
		ask = func(ctx context.Context) (string, error) {
			ctx, cancel := context.WithTimeout(ctx, askTimeout)
			defer cancel()
			return post(ctx, url, nil)
		}
	}
	return func(ctx context.Context) (cmd state.Command, ok bool, detail string) {
		word, err := ask(ctx)
		if err != nil {
			word = err.Error()
		}
		answer := state.Answer{OK: err == nil, Detail: short(word)}
		cmd.Asked = &state.Asked{Change: e.Change, Key: e.Key(), Answer: answer}
		return cmd, answer.OK, answer.Detail
	}
}

// urlOf is where an instance is asked, "" if it is not to be.
func urlOf(app *platform.App, e state.Effect) string {
	if app == nil || app.Instance(e.Instance) == nil {
		return ""
	}
	pattern := map[state.EffectKind]string{state.Quiesce: app.Quiesce, state.Resume: app.Resume, state.Verify: app.Verify}[e.Kind]
	return strings.ReplaceAll(pattern, "{address}", app.Instance(e.Instance).Address)
}

func runHook(ctx context.Context, h platform.Hook, ev event) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, h.Timeout)
	defer cancel()
	if h.Webhook != "" {
		body, err := json.Marshal(ev)
		if err != nil {
			return "", err
		}
		return post(ctx, h.Webhook, body)
	}
	return run(ctx, h.Exec, ev)
}

// run starts a program in a process group of its own, which is killed at the deadline with all that it started.
func run(ctx context.Context, words []string, ev event) (string, error) {
	cmd := exec.CommandContext(ctx, words[0], words[1:]...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = time.Second
	cmd.Env = append(os.Environ(), "MAINSTAY_PLATFORM="+ev.Platform, "MAINSTAY_CHANGE="+ev.Change, "MAINSTAY_STEP="+ev.Step,
		"MAINSTAY_WHEN="+ev.When, "MAINSTAY_TO="+ev.To, "MAINSTAY_BY="+ev.By, "MAINSTAY_REASON="+ev.Reason)
	var out tail
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	if ctx.Err() != nil {
		return "", fmt.Errorf("%s has not ended within its deadline", words[0])
	}
	if err != nil {
		return "", fmt.Errorf("%s: %w: %s", words[0], err, out.text())
	}
	return out.text(), nil
}

// tail keeps the end of what a program wrote.
type tail struct{ b []byte }

func (t *tail) Write(p []byte) (int, error) {
	t.b = append(t.b, p...)
	t.b = t.b[max(0, len(t.b)-wordMost):]
	return len(p), nil
}

func (t *tail) text() string { return strings.Join(strings.Fields(string(t.b)), " ") }

// asking never follows a redirect, and keeps no connection: each question is a new one.
var asking = &http.Client{
	Transport:     &http.Transport{DisableKeepAlives: true},
	CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
}

// post asks, within the deadline of ctx; any 2xx is yes.
func post(ctx context.Context, url string, body []byte) (string, error) {
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
	text := short(answer.Status + " " + strings.Join(strings.Fields(string(word)), " "))
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
