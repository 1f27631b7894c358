package probe

import (
	"context"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"mainstay/controller/boottime"
	"mainstay/controller/platform"
	"mainstay/health"
	"mainstay/test/kit"
)

// app is an app server that answers each path as a test wants.
func app(t *testing.T, secure bool) (s *httptest.Server, connections *atomic.Int64) {
	t.Helper()
	connections = &atomic.Int64{}
	mux := http.NewServeMux()
	answer := func(path string, status int, body string) {
		mux.HandleFunc(path, func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(status)
			fmt.Fprint(w, body)
		})
	}
	answer("/ok", 200, "all is up\n")
	answer("/gone", 410, "")
	answer("/bad", 503, "\n  no primary\x01 <b>\nsecond line\n")
	answer("/late-word", 200, strings.Repeat("x", mostBody)+"needle")
	answer("/long", 200, strings.Repeat("x", mostBody-6)+"needle"+strings.Repeat("y", 1<<20))
	mux.Handle("/moved", http.RedirectHandler("/ok", http.StatusFound))
	mux.HandleFunc("/hangs", func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	mux.HandleFunc("/drips", func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(200)
		w.(http.Flusher).Flush()
		<-r.Context().Done()
	})
	mux.HandleFunc("/headers", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Much", strings.Repeat("x", 2*mostBody))
	})
	mux.HandleFunc("/who", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "%s %s %s %s", r.Method, r.Host, r.Header.Get("X-Probe"), r.Header.Get("User-Agent"))
	})
	s = httptest.NewUnstartedServer(mux)
	s.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			connections.Add(1)
		}
	}
	s.Config.ErrorLog = nil
	if secure {
		s.StartTLS()
	} else {
		s.Start()
	}
	t.Cleanup(s.Close)
	return s, connections
}

// target asks that server; rise and fall are 2.
func target(address string, check platform.AppCheck) InstanceTarget {
	if check.Timeout == 0 {
		check.Timeout = kit.Patience
	}
	check.Every, check.Rise, check.Fall = every, 2, 2
	return InstanceTarget{App: "web", Instance: platform.Instance{Name: "web-e1", Address: address}, Check: check}
}

func TestCheckHTTP(t *testing.T) {
	s, connections := app(t, false)
	at := s.Listener.Addr().String()
	p := New(nil, nil, boottime.Now)
	short := 200 * time.Millisecond
	for _, c := range []struct {
		name  string
		check platform.AppCheck
		want  string // of the error; "" for well
	}{
		{"2xx", platform.AppCheck{HTTP: "http://{address}/ok"}, ""},
		{"not 2xx", platform.AppCheck{HTTP: "http://{address}/bad"}, "503 Service Unavailable: no primary  <b>"},
		{"a status that is wanted", platform.AppCheck{HTTP: "http://{address}/gone", Status: 410}, ""},
		{"another than is wanted", platform.AppCheck{HTTP: "http://{address}/ok", Status: 204}, "200 OK: all is up"},
		{"redirects are not followed", platform.AppCheck{HTTP: "http://{address}/moved"}, "302 Found"},
		{"a redirect that is wanted", platform.AppCheck{HTTP: "http://{address}/moved", Status: 302}, ""},
		{"a text in the body", platform.AppCheck{HTTP: "http://{address}/ok", Body: "is up"}, ""},
		{"a text that is not there", platform.AppCheck{HTTP: "http://{address}/ok", Body: "is down"},
			`200, but the first 64 KiB of the body do not contain "is down"`},
		{"a text that comes too late", platform.AppCheck{HTTP: "http://{address}/late-word", Body: "needle"},
			`200, but the first 64 KiB of the body do not contain "needle"`},
		{"a text in a body without end", platform.AppCheck{HTTP: "http://{address}/long", Body: "needle"}, ""},
		{"headers", platform.AppCheck{HTTP: "http://{address}/who", Headers: map[string]string{"Host": "social.example.org", "X-Probe": "yes"},
			Body: "GET social.example.org yes mainstay-controller"}, ""},
		{"no answer", platform.AppCheck{HTTP: "http://{address}/hangs", Timeout: short}, "did not answer in time"},
		{"no end of the answer", platform.AppCheck{HTTP: "http://{address}/drips", Timeout: short},
			"its answer does not end: did not answer in time"},
		{"too much of a header", platform.AppCheck{HTTP: "http://{address}/headers"}, "server response headers exceeded"},
		{"no HTTP where TLS is spoken", platform.AppCheck{HTTP: "https://{address}/ok"}, "server gave HTTP response to HTTPS client"},
	} {
		before := connections.Load()
		err := p.askInstance(t.Context(), target(at, c.check), instance{}).err
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(evidence(err.Error()), c.want)) {
			t.Errorf("%s: got %v, want %q", c.name, err, c.want)
		}
		if errors.As(err, new(*unable)) {
			t.Errorf("%s: says nothing of the server", c.name)
		}
		if n := connections.Load() - before; n != 1 {
			t.Errorf("%s: %d new connections", c.name, n)
		}
	}
}

// TestCheckTLS: a certificate counts by the authority that is named, else by the system's.
func TestCheckTLS(t *testing.T) {
	s, _ := app(t, true)
	dir := t.TempDir()
	own, other, empty := filepath.Join(dir, "own.crt"), filepath.Join(dir, "other.crt"), filepath.Join(dir, "empty.crt")
	kit.Check(t, os.WriteFile(own, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw}), 0o600))
	raw, err := os.ReadFile(filepath.Join(newPKI(t).Dir, "ca.crt"))
	kit.Check(t, err)
	kit.Check(t, errors.Join(os.WriteFile(other, raw, 0o600), os.WriteFile(empty, nil, 0o600)))
	p := New(nil, nil, boottime.Now)
	for _, c := range []struct {
		name, ca, want string
		unable         bool
	}{
		{"its own", own, "", false},
		{"another's", other, "certificate", false},
		{"the system's", "", "certificate", false},
		{"a file that is not there", filepath.Join(dir, "none"), "no such file", true},
		{"a file without one", empty, "contains no certificate", true},
	} {
		err := p.check(t.Context(), target(s.Listener.Addr().String(), platform.AppCheck{HTTP: "https://{address}/ok", CA: c.ca}), &instance{})
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: got %v, want %q", c.name, err, c.want)
		}
		if errors.As(err, new(*unable)) != c.unable {
			t.Errorf("%s: says nothing: %v", c.name, !c.unable)
		}
	}
}

// TestAuthorityThatHangs: a disk that does not answer holds up one reader; the others give up when their time is over.
func TestAuthorityThatHangs(t *testing.T) {
	pipe := filepath.Join(t.TempDir(), "pipe")
	kit.Check(t, mkfifo(pipe))
	p := New(nil, nil, boottime.Now)
	for range 3 {
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		if _, err := p.authority(ctx, pipe); err == nil || !strings.Contains(err.Error(), "takes too long") {
			t.Error(err)
		}
		cancel()
	}
	w, err := os.OpenFile(pipe, os.O_WRONLY, 0) // opens because exactly one still reads
	kit.Check(t, err)
	kit.Check(t, w.Close())
	if _, err := p.authority(t.Context(), filepath.Join(t.TempDir(), "none")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the next one after it: %v", err)
	}
}

func TestCheckTCP(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	kit.Check(t, err)
	p := New(nil, nil, boottime.Now)
	at := l.Addr().String()
	if err := p.check(t.Context(), target(at, platform.AppCheck{}), &instance{}); err != nil {
		t.Error(err)
	}
	kit.Check(t, l.Close())
	if err := p.check(t.Context(), target(at, platform.AppCheck{}), &instance{}); err == nil || !strings.Contains(err.Error(), "refused") {
		t.Error(err)
	}
}

// TestInstanceAsked: one check after the other, with the counts of rise and fall, what a controller cannot do, and a reachability check.
func TestInstanceAsked(t *testing.T) {
	s, _ := app(t, false)
	at := s.Listener.Addr().String()
	const ok, bad, gone, hangs = "http://{address}/ok", "http://{address}/bad", "http://{address}/gone", "http://{address}/hangs"
	p := New(nil, nil, boottime.Now)
	var known instance
	for n, c := range []struct {
		check, reachable string
		health, reaches  health.Working
		err              string
	}{
		{ok, "", health.Well, "", ""},
		{bad, "", health.Well, "", "503"},
		{bad, ok, health.Down, health.Well, "503"},
		{ok, bad, health.Down, health.Well, "reachability check: 503 Service Unavailable: no primary"},
		{ok, bad, health.Well, health.Down, "reachability check: 503"},
		{ok, gone, health.Well, "", "reachability check: the answer is neither 2xx nor 5xx, so it does not count: 410 Gone"},
		{ok, bad, health.Well, "", "503"}, // the count began anew
		{ok, bad, health.Well, health.Down, "503"},
		{ok, hangs, health.Well, "", "reachability check: did not answer in time"},
		{ok, ok, health.Well, health.Well, ""},
		{ok, "", health.Well, "", ""},
		{"https://{address}/ok", "", "", "", "no such file"}, // for want of its authority's file
	} {
		x := target(at, platform.AppCheck{HTTP: c.check})
		x.Reachable = c.reachable
		if c.reachable == hangs {
			x.Check.Timeout = 200 * time.Millisecond
		}
		if strings.HasPrefix(c.check, "https") {
			x.Check.CA = "/nowhere/ca.crt"
		}
		known = p.askInstance(t.Context(), x, known)
		if known.health.Verdict != c.health || known.reaches.Verdict != c.reaches {
			t.Errorf("%d: %q, reaches %q; want %q, %q", n, known.health.Verdict, known.reaches.Verdict, c.health, c.reaches)
		}
		if c.err == "" != (known.err == nil) || known.err != nil && !strings.Contains(known.err.Error(), c.err) {
			t.Errorf("%d: error %v, want %q", n, known.err, c.err)
		}
	}
	s.Close() // no answer says nothing
	x := target(at, platform.AppCheck{HTTP: ok})
	x.Reachable = ok
	for range 3 {
		known = p.askInstance(t.Context(), x, known)
	}
	if known.health.Verdict != health.Down || known.reaches.Verdict != health.WorkingUnknown {
		t.Errorf("a dead one: %q, reaches %q", known.health.Verdict, known.reaches.Verdict)
	}
}

// TestInstanceObservations: all of it through Run, where one that hangs does not delay the others, and what is no longer a target is
// no longer observed.
func TestInstanceObservations(t *testing.T) {
	s, _ := app(t, false)
	at := s.Listener.Addr().String()
	p := probing(t, newPKI(t).controller())
	well, hung, frozen := target(at, platform.AppCheck{HTTP: "http://{address}/ok"}),
		target(at, platform.AppCheck{HTTP: "http://{address}/hangs", Timeout: limit}),
		target(silent(t), platform.AppCheck{HTTP: "http://{address}/ok"})
	hung.Instance.Name, frozen.Instance.Name = "web-e2", "web-e3"
	p.AimInstances([]InstanceTarget{frozen, hung, well})
	observations := func() []health.InstanceObservation { return p.InstanceObservations(boottime.Now()) }
	kit.Eventually(t, "one well and one down", func() bool {
		v := observations() // none of the frozen one: its first check has not ended
		return len(v) == 2 && v[0].Instance == "web-e2" && v[0].Health == health.Down && v[1].Health == health.Well
	})
	if v := observations(); v[0].Error != "did not answer in time" || v[1].Error != "" || v[1].App != "web" || v[1].AgeMS < 0 ||
		v[1].AgeMS > kit.Patience.Milliseconds() {
		t.Errorf("%+v", v)
	}
	moved := well
	moved.Instance.Address = "127.0.0.1:1"
	p.AimInstances([]InstanceTarget{moved})
	kit.Eventually(t, "nothing well known of another address",
		func() bool { v := observations(); return len(v) == 1 && v[0].Health == health.Down })
	p.AimInstances(nil)
	kit.Eventually(t, "nobody", func() bool { return len(observations()) == 0 })
}

// silent is an address where the kernel accepts and no process ever answers, as with a frozen process.
func silent(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	kit.Check(t, err)
	t.Cleanup(func() { l.Close() })
	return l.Addr().String()
}

// TestFewProgramsAtOnce: many app servers that are checked by a program take turns.
func TestFewProgramsAtOnce(t *testing.T) {
	dir := t.TempDir()
	p := probing(t, newPKI(t).controller())
	var targets []InstanceTarget
	for n := range 3 * programsAtOnce {
		x := target(fmt.Sprintf("10.0.0.1:%d", n+1), platform.AppCheck{Exec: []string{"/bin/sh", "-c",
			`mkdir "$0/$1"; sleep 0.1; n=$(ls "$0" | wc -l); rmdir "$0/$1"; echo $n; test $n -le 4`, dir, "{address}"}})
		x.Instance.Name = fmt.Sprintf("web-%d", n)
		targets = append(targets, x)
	}
	p.AimInstances(targets)
	kit.Eventually(t, "all to be checked", func() bool {
		well := 0
		for _, v := range p.InstanceObservations(boottime.Now()) {
			if v.Error != "" {
				t.Fatalf("more than %d at once: %s", programsAtOnce, v.Error)
			}
			if v.Health == health.Well {
				well++
			}
		}
		return well == len(targets)
	})
}
