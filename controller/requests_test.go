package controller

import (
	"bytes"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"mainstay/controller/identity"
	"mainstay/controller/platform"
	"mainstay/controller/wire"
	"mainstay/health"
	"mainstay/test/kit"
)

// ask makes one raw request to a controller and returns the status and what was said.
func (b *bed) ask(n *node, role, name, method, path, body string) (int, string) {
	b.t.Helper()
	tr := &http.Transport{TLSClientConfig: b.store(role, name).ClientConfig(identity.RoleController, "", identity.ProtoHTTP)}
	defer tr.CloseIdleConnections()
	req, err := http.NewRequestWithContext(b.ctx(10*time.Second), method, "https://"+n.cfg.Advertise+path, bytes.NewReader([]byte(body)))
	if err != nil {
		b.t.Fatal(err)
	}
	resp, err := tr.RoundTrip(req)
	if err != nil {
		b.t.Fatalf("%s %s as %s: %v", method, path, role, err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		b.t.Fatal(err)
	}
	var e wire.Error
	if resp.StatusCode != 200 {
		if err := json.Unmarshal(text, &e); err != nil || e.Message == "" || e.Code == "" {
			b.t.Errorf("%s %s: %d %q is no wire.Error", method, path, resp.StatusCode, text)
		}
	}
	return resp.StatusCode, e.Message
}

// Every route lets in exactly its roles; a certificate of another is told which it needs.
func TestRoles(t *testing.T) {
	b := newBed(t)
	n := b.one()
	b.apply(b.client(identity.RoleOperator, "jane"), social())
	names := map[string]string{identity.RoleAgent: "db-e1", identity.RoleOperator: "jane", identity.RoleViewer: "eve",
		identity.RoleController: "c7"}
	const a, o, v, c = identity.RoleAgent, identity.RoleOperator, identity.RoleViewer, identity.RoleController
	for _, r := range []struct {
		method, path string
		roles        string
	}{
		{"POST", "/v1/report", a},
		{"GET", "/v1/wake", a},
		{"GET", "/v1/status", o + v},
		{"GET", "/v1/platform", o + v},
		{"PUT", "/v1/platform", o},
		{"POST", "/v1/clusters/feed/switchover", o},
		{"POST", "/v1/clusters/feed/failover", o},
		{"POST", "/v1/clusters/feed/pause", o},
		{"POST", "/v1/clusters/feed/resume", o},
		{"GET", "/v1/clusters/feed/history", o + v},
		{"GET", "/v1/clusters/feed/operations/feed-1", o + v},
		{"GET", "/v1/clusters/feed/explain", o + v},
		{"GET", "/v1/clusters/feed/backups", o + v},
		{"POST", "/v1/clusters/feed/backups", o},
		{"GET", "/v1/controller", a + o + v + c},
		{"GET", "/v1/controllers", a + o + v + c},
		{"POST", "/v1/controllers", o},
		{"DELETE", "/v1/controllers/c9", o},
		{"POST", "/v1/controllers/transfer", o},
		{"POST", "/v1/controllers/init", o + c},
		{"GET", "/metrics", o + v},
		{"GET", "/livez", a + o + v + c},
		{"GET", "/readyz", a + o + v + c},
	} {
		for role, name := range names {
			if strings.HasSuffix(r.path, "metrics") && strings.Contains(r.roles, role) {
				continue // no JSON; TestStatusExplainAndMetrics reads it
			}
			status, says := b.ask(n, role, name, r.method, r.path, "")
			if allowed := strings.Contains(r.roles, role); allowed == (status == http.StatusForbidden) {
				t.Errorf("%s %s as %s: %d %s", r.method, r.path, role, status, says)
			} else if !allowed && !strings.Contains(says, "it needs a certificate of role ") {
				t.Errorf("%s %s as %s: it does not say which role is needed: %s", r.method, r.path, role, says)
			}
		}
	}
}

func TestBadRequests(t *testing.T) {
	b := newBed(t)
	n := b.one()
	bad := social()
	bad.Clusters[0].Members[0].Host = "nowhere"
	text, err := json.Marshal(wire.ApplyRequest{Platform: bad})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		method, path, body string
		status             int
		says               string
	}{
		{"PUT", "/v1/platform", "", 400, "the request has no body; it must be a JSON object"},
		{"PUT", "/v1/platform", "{", 400, "the body is not JSON: it ends too early"},
		{"PUT", "/v1/platform", "platform: social", 400, "the body is not JSON (at byte 1"},
		{"PUT", "/v1/platform", "[]", 400, "the body must be a JSON object, not a JSON array"},
		{"PUT", "/v1/platform", `{"platfrom": {}}`, 400, `field "platfrom" is not known to this version`},
		{"PUT", "/v1/platform", `{"platform": {"platform": "x", "sites": [{"nam": "x"}]}}`, 400, `field "nam" is not known`},
		{"PUT", "/v1/platform", `{"base": "one"}`, 400, `field "base" must be a uint64, not a JSON string`},
		{"PUT", "/v1/platform", `{"base": 1} {"base": 1}`, 400, "more than one JSON value"},
		{"PUT", "/v1/platform", `{}`, 400, `field "platform" is missing`},
		{"PUT", "/v1/platform", string(text), 400, "nowhere"},
		{"PUT", "/v1/platform", `{"x": "` + strings.Repeat("x", 1<<20) + `"}`, 400, "larger than 1 MiB"},
		{"POST", "/v1/clusters/feed/switchover", `{}`, 404, `there is no cluster "feed"`},
		{"POST", "/v1/clusters/feed/pause", `{}`, 400, `field "reason" is missing`},
		{"POST", "/v1/clusters/feed/pause", `{"reason": "x", "for": -1}`, 400, `field "for" must not be negative`},
		{"GET", "/v1/clusters/feed/history?limit=many", "", 400, `limit "many"`},
		{"GET", "/v1/clusters/feed/explain", "", 404, "there is no cluster"},
		{"POST", "/v1/controllers", `{"address": "nonsense"}`, 400, "write host:port"},
		{"POST", "/v1/controllers/init", `{}`, 400, `field "addresses" is missing`},
		{"GET", "/v1/nonsense", "", 404, "this version has no GET /v1/nonsense"},
		{"DELETE", "/v1/status", "", 404, "this version has no DELETE /v1/status"},
	} {
		if status, says := b.ask(n, identity.RoleOperator, "jane", c.method, c.path, c.body); status != c.status ||
			!strings.Contains(says, c.says) {
			t.Errorf("%s %s %.40s: %d %s\nwant %d %s", c.method, c.path, c.body, status, says, c.status, c.says)
		}
	}
	for _, c := range []struct {
		req    wire.ReportRequest
		status int
		says   string
	}{
		{wire.ReportRequest{Protocol: 9, Report: health.Report{Host: "db-e1"}}, 400, "speaks versions 1 to 1 of the API, the agent version 9"},
		{wire.ReportRequest{Protocol: 1, Report: health.Report{Host: "db-e2", RunID: "r", BootID: "b", Number: 1}}, 403,
			`the certificate is for host db-e1, the report for "db-e2"`},
		{wire.ReportRequest{Protocol: 1, Report: health.Report{Host: "db-e1"}}, 400, "lacks its bootID"},
	} {
		err := b.client(identity.RoleAgent, "db-e1").DoAt(b.ctx(5*time.Second), n.cfg.Advertise, "POST", "/v1/report", c.req, nil)
		if r := refusal(t, err); r.Status != c.status || !strings.Contains(r.Error(), c.says) {
			t.Errorf("report %+v: %d %v", c.req, r.Status, r)
		}
	}
}

func TestApplyJudgesTheStep(t *testing.T) {
	b := newBed(t)
	b.one()
	jane := b.client(identity.RoleOperator, "jane")
	b.apply(jane, social())
	put := func(req wire.ApplyRequest) (out wire.ApplyAnswer, err error) {
		err = jane.Do(b.ctx(5*time.Second), "PUT", "/v1/platform", req, &out)
		return out, err
	}
	longer := social()
	longer.Clusters[0].Lease = 4 * time.Second
	if out, err := put(wire.ApplyRequest{Platform: longer, Base: 1, DryRun: true}); err != nil || out.Applied || out.Version != 1 ||
		out.Old == nil {
		t.Errorf("dry run: %+v %v", out, err)
	}
	if out, err := put(wire.ApplyRequest{Platform: longer, Base: 1}); err != nil || !out.Applied || out.Version != 2 {
		t.Errorf("apply: %+v %v", out, err)
	}
	_, err := put(wire.ApplyRequest{Platform: social(), Base: 1})
	if r := refusal(t, err); r.Status != 409 || !strings.Contains(r.Error(), "changed since this file was exported") {
		t.Errorf("an old base: %v", r)
	}
	other := social()
	other.Name = "shop"
	_, err = put(wire.ApplyRequest{Platform: other, DryRun: true})
	if r := refusal(t, err); r.Status != 409 || !strings.Contains(r.Error(), `protect platform "social"`) {
		t.Errorf("another platform: %v", r)
	}
	var p wire.PlatformAnswer
	b.get(jane, "/v1/platform", &p)
	if p.Version != 2 || p.Platform.Clusters[0].Lease != 4*time.Second {
		t.Errorf("platform: %+v", p)
	}
}

// TestProgramsThatAreNotAllowed: who applies a platform, and who looks at its status, is told which controllers will not run what it
// names, and the line that each file needs; no such program is run.
func TestProgramsThatAreNotAllowed(t *testing.T) {
	b := newBed(t)
	var addresses []string
	for _, name := range []string{"c1", "c2"} {
		cfg := b.config(name)
		if name == "c1" {
			cfg.Programs = []string{"/usr/local/bin/hook", "/bin/true"}
		}
		b.start(cfg)
		addresses = append(addresses, cfg.Advertise)
	}
	b.initialise(addresses...)
	made := filepath.Join(b.dir, "made")
	p := social()
	p.Hooks = []platform.Hook{{Step: platform.StepRouting, When: platform.HookAfter, Exec: []string{"/usr/local/bin/hook"},
		Timeout: time.Second, OnFailure: platform.HookStop}}
	check := platform.AppCheck{Exec: []string{"/usr/bin/touch", made, "{address}"}}
	p.Apps = []platform.App{{Name: "web", Needs: []string{"feed"}, Check: check,
		Instances: []platform.Instance{{Name: "web-e1", Site: "east", Address: "127.0.0.1:8080"}}}}
	out := b.apply(b.client(identity.RoleOperator, "jane"), p)
	want := map[string]string{
		"c1": "does not allow /usr/bin/touch: write `programs: [/usr/local/bin/hook, /bin/true, /usr/bin/touch]` into it",
		"c2": "does not allow /usr/bin/touch, /usr/local/bin/hook: write `programs: [/usr/bin/touch, /usr/local/bin/hook]` into it",
	}
	if all := strings.Join(out.Notes, "\n"); len(out.Notes) != 2 || !strings.Contains(all, want["c1"]) || !strings.Contains(all, want["c2"]) {
		t.Errorf("apply says %q", out.Notes)
	}
	b.eventually("both controllers to say so", 20*time.Second, func() bool {
		var s wire.Status
		if b.client(identity.RoleViewer, "victor").Do(b.ctx(5*time.Second), "GET", "/v1/status", nil, &s) != nil {
			return false
		}
		found := 0
		for _, problem := range s.Problems {
			for name, text := range want {
				if problem.Kind == health.ProgramNotAllowed && problem.Controller == name && strings.Contains(problem.Evidence, text) {
					found++
				}
			}
		}
		return found == 2
	})
	if _, err := os.Stat(made); !os.IsNotExist(err) {
		t.Error("the check was run")
	}
}

// A held wake returns when the goals of the host change, and not before, although barriers continue.
func TestWakeReturnsOnChange(t *testing.T) {
	b := newBed(t)
	n := b.one()
	jane := b.client(identity.RoleOperator, "jane")
	agent := b.client(identity.RoleAgent, "db-e1")
	var now wire.Wake
	b.get(agent, "/v1/wake", &now)
	if now.Version == "" {
		t.Fatal("no version")
	}
	woken := make(chan wire.Wake, 1)
	go func() {
		var w wire.Wake
		if err := agent.DoAt(b.ctx(15*time.Second), n.cfg.Advertise, "GET", "/v1/wake?version="+now.Version, nil, &w); err != nil {
			t.Error(err)
		}
		woken <- w
	}()
	// A barrier, committed while it is held, is no change.
	report := wire.ReportRequest{Protocol: 1, Report: health.Report{Host: "db-e2", RunID: "r", BootID: "b", Number: 1}}
	var answer wire.ReportAnswer
	if err := b.client(identity.RoleAgent, "db-e2").DoAt(b.ctx(5*time.Second), n.cfg.Advertise, "POST", "/v1/report", report,
		&answer); err != nil || answer.Number != 1 {
		t.Fatal(answer, err)
	}
	select {
	case w := <-woken:
		t.Fatalf("woken by nothing: %+v", w)
	case <-time.After(200 * time.Millisecond):
	}
	b.apply(jane, social())
	select {
	case w := <-woken:
		if w.Version == now.Version {
			t.Errorf("the version has not changed: %q", w.Version)
		}
	case <-time.After(5 * time.Second):
		t.Error("not woken by the change")
	}
}

// A held wake does not hold up the end of the controller.
func TestWakeIsLetGoAtTheEnd(t *testing.T) {
	b := newBed(t)
	n := b.one()
	agent := b.client(identity.RoleAgent, "db-e1")
	var now wire.Wake
	b.get(agent, "/v1/wake", &now)
	done := make(chan error, 1)
	go func() {
		done <- agent.DoAt(b.ctx(15*time.Second), n.cfg.Advertise, "GET", "/v1/wake?version="+now.Version, nil, nil)
	}()
	select {
	case err := <-done:
		t.Fatal("not held: ", err)
	case <-time.After(200 * time.Millisecond):
	}
	start := time.Now()
	b.end(n)
	if took := time.Since(start); took > 4*time.Second {
		t.Errorf("the end took %s", took)
	}
	if err := <-done; err == nil {
		t.Error("the held request was answered as if something had changed")
	}
}

func TestPlainHTTP(t *testing.T) {
	b := newBed(t)
	cfg := b.config("c1")
	cfg.Metrics = b.config("c1").Listen
	n := b.start(cfg)
	get := func(path string) int {
		req, err := http.NewRequestWithContext(b.ctx(5*time.Second), "GET", "http://"+cfg.Metrics+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		return resp.StatusCode
	}
	if live, ready := get("/livez"), get("/readyz"); live != 200 || ready != 503 {
		t.Errorf("before init: livez %d, readyz %d", live, ready)
	}
	b.initialise(n.cfg.Advertise)
	b.eventually("ready", 5*time.Second, func() bool { return get("/readyz") == 200 })
	if m, api := get("/metrics"), get("/v1/status"); m != 200 || api != 404 {
		t.Errorf("metrics %d, the API without TLS %d", m, api)
	}
}

// TestFlood: clients without a certificate open more connections to both addresses than are held, and say nothing. Reports, operators
// and scrapers are answered all the same.
func TestFlood(t *testing.T) {
	b := newBed(t)
	cfg := b.config("c1")
	cfg.Metrics = kit.FreeAddress(t)
	b.start(cfg)
	b.initialise(cfg.Advertise)
	for _, to := range []string{cfg.Listen, cfg.Metrics} {
		for n := range 700 {
			d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 1, byte(n%8))}, Timeout: 20 * time.Second}
			c, err := d.DialContext(t.Context(), "tcp", to)
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
		}
	}
	var list wire.Controllers
	if err := b.client(identity.RoleViewer, "victor").Do(b.ctx(20*time.Second), "GET", "/v1/controllers", nil, &list); err != nil ||
		len(list.Members) != 1 {
		t.Errorf("%+v, %v", list, err)
	}
	resp, err := (&http.Client{Timeout: 20 * time.Second}).Get("http://" + cfg.Metrics + "/livez")
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		t.Error(resp.Status)
	}
}
