package e2e

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"mainstay/test/testbed"
)

// webUnit does not obey TERM: only KILL ends it.
const webUnit = `[Unit]
DefaultDependencies=no
[Service]
ExecStart=/bin/sh -c 'trap "" TERM; while :; do sleep 97531; done'
TimeoutStopSec=90
`

// TestSystemdInstance runs an app server that lives with its primary as a unit, under a systemd of its own: it is started,
// started again after a crash, passed by when the agent restarts, kept without a controller as long as the agent of its
// primary vouches for it, and ended once nobody does.
func TestSystemdInstance(t *testing.T) {
	t.Parallel()
	requireSystemd(t)
	programs := []string{"programs: [/bin/true]"} // for the check
	// a permit is four heartbeats, which a busy machine must not miss
	tr := build(t, testbed.Options{Members: 2, Settings: []string{"lease: 30s"}, ControllerLines: programs})
	tr.must(tr.Boot(tr.ctx))
	tr.must(tr.Apply(tr.ctx))
	tr.must(tr.WaitHealthy(tr.ctx))
	tr.led(t, "feed-e1")
	h := tr.Host("feed-e2")
	tr.check(t, testbed.Signal(syscall.SIGKILL, tr.Everything(h)...))
	tr.check(t, os.MkdirAll(filepath.Join(tr.Dir, "units"), 0o755),
		os.WriteFile(filepath.Join(tr.Dir, "units", "web.service"), []byte(webUnit), 0o644))
	tr.appendTo(t, "agent-"+h.Name+".yaml", "instances:\n  web-e2: {unit: web.service, stop: 500ms}\n")
	m := tr.boot(t, h)
	m.systemctl(t, "start", "mainstay-agent")
	app := fmt.Sprintf(
		"apps:\n  - name: web\n    needs: [feed]\n    run: with-primary\n    check: {exec: [/bin/true, \"{address}\"]}\n    instances:\n      - "+
			"{name: web-e2, site: %s, host: %s, address: \"%s:8080\"}\n",
		h.Site, h.Name, h.Address)
	tr.appendTo(t, "platform.yaml", app)
	if out, err := tr.CLI(tr.ctx, "apply", "-f", filepath.Join(tr.Dir, "etc", "platform.yaml"), "--yes"); err != nil {
		t.Fatalf("apply: %v\n%s", err, out)
	}
	serves := func(code int) func() (bool, string) {
		return func() (bool, string) {
			got, text := ask(tr.ctx, h, "/instance/web-e2")
			return got == code, fmt.Sprint(got, " ", text, m.log(t))
		}
	}
	tr.check(t, tr.Wait(tr.ctx, "the app server", serves(http.StatusOK)))
	m.systemctl(t, "is-active", "web.service")
	before := m.find("/bin/sh\x00-c\x00trap")
	if len(before) != 1 {
		t.Fatalf("main process %v", before)
	}

	m.systemctl(t, "restart", "mainstay-agent")
	tr.check(t, tr.Wait(tr.ctx, "the next agent", serves(http.StatusOK)))
	if now := m.find("/bin/sh\x00-c\x00trap"); len(now) != 1 || now[0] != before[0] {
		t.Errorf("a restart of the agent touched the app server: %v, now %v", before, now)
	}
	tr.check(t, testbed.Signal(syscall.SIGKILL, before...))
	tr.check(t, tr.Wait(tr.ctx, "a new start", func() (bool, string) {
		now := m.find("/bin/sh\x00-c\x00trap")
		return len(now) == 1 && now[0] != before[0], fmt.Sprint(now)
	}))
	tr.check(t, tr.Wait(tr.ctx, "the app server", serves(http.StatusOK)))

	for _, c := range tr.Of(true) {
		tr.check(t, tr.Kill("controller "+c.Controller, syscall.SIGKILL))
	}
	tr.check(t, tr.Wait(tr.ctx, "no leader for longer than a permit", func() (bool, string) {
		silence := metric(tr.ctx, h, "mainstay_agent_leader_heard_seconds")
		return silence > 15, fmt.Sprint(silence)
	}))
	if code, text := ask(tr.ctx, h, "/instance/web-e2"); code != http.StatusOK {
		t.Errorf("without a leader, with a primary: %d %s\n%s", code, text, m.log(t))
	}
	if now := m.find("/bin/sh\x00-c\x00trap"); len(now) != 1 {
		t.Errorf("without a leader, with a primary: %v", now)
	}

	tr.check(t, testbed.Signal(syscall.SIGKILL, tr.Everything(tr.Host("feed-e1"))...))
	lost := time.Now()
	tr.check(t, tr.Wait(tr.ctx, "the end of its permit", func() (bool, string) { return len(m.find("sleep\x0097531")) == 0, m.log(t) }))
	t.Logf("ended %s after its primary", time.Since(lost).Round(time.Millisecond))
	if code, text := ask(tr.ctx, h, "/instance/web-e2"); code != http.StatusServiceUnavailable || !strings.Contains(text, "no permit") {
		t.Errorf("without its primary: %d %s", code, text)
	}
}

// appendTo adds lines to one of the testbed's files.
func (tr *trial) appendTo(t *testing.T, name, lines string) {
	t.Helper()
	f, err := os.OpenFile(filepath.Join(tr.Dir, "etc", name), os.O_WRONLY|os.O_APPEND, 0)
	tr.check(t, err)
	_, err = f.WriteString(lines)
	tr.check(t, err, f.Close())
}

// ask asks a host's agent as a load balancer does.
func ask(ctx context.Context, h testbed.Host, path string) (int, string) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+h.Address+":8008"+path, nil)
	if err != nil {
		return 0, err.Error()
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, err.Error()
	}
	defer resp.Body.Close()
	text, _ := io.ReadAll(resp.Body)
	return resp.StatusCode, string(text)
}

// metric is the value of one metric of a host's agent, -1 where it has none.
func metric(ctx context.Context, h testbed.Host, name string) float64 {
	_, text := ask(ctx, h, "/metrics")
	found := regexp.MustCompile(`(?m)^` + name + `(?:\{.*\})? (\S+)$`).FindStringSubmatch(text)
	if found == nil {
		return -1
	}
	v, err := strconv.ParseFloat(found[1], 64)
	if err != nil {
		return -1
	}
	return v
}
