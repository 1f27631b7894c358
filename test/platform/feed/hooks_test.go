package feed_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"mainstay/test/kit"
	"mainstay/test/platform/feed"
	"mainstay/test/platform/internal/pgtest"
	"mainstay/test/platform/pgclient"
)

// TestReady: the answer follows the primary.
func TestReady(t *testing.T) {
	s := pgtest.Start(t)
	url, _ := serve(t, s.DSN(), 0)
	ready(t, url)
	answers := func(want int) func() bool {
		return func() bool { status, _ := call(t, "GET", url+"/ready", ""); return status == want }
	}
	s.SQL("ALTER SYSTEM SET default_transaction_read_only = on")
	s.SQL("SELECT pg_reload_conf()")
	kit.Within(t, time.Minute, "no, while it is read-only", answers(503))
	s.SQL("ALTER SYSTEM RESET default_transaction_read_only")
	s.SQL("SELECT pg_reload_conf()")
	kit.Within(t, time.Minute, "yes again", answers(200))
	standby, _ := serve(t, pgtest.DSN(s.Standby()), 0)
	expect(t, "GET", standby+"/ready", "", 503, `"ok":false`)
}

// TestReadyInTime: a primary that hangs is answered for long before its statement's deadline: a reachability check without an answer
// says nothing.
func TestReadyInTime(t *testing.T) {
	s := pgtest.Start(t)
	url, _ := serveWith(t, feed.Server{DSN: s.DSN(), Database: pgclient.Options{Statement: 10 * time.Minute}})
	ready(t, url)
	if s.Freeze("web-1") == 0 {
		t.Fatal("no session to freeze")
	}
	expect(t, "GET", url+"/ready", "", 503, "no writable primary answered within")
}

func TestVerify(t *testing.T) {
	s := pgtest.Start(t)
	url, _ := serve(t, s.DSN(), 200*time.Millisecond)
	ready(t, url)
	expect(t, "POST", url+"/verify", "", 200, `"ok":true`)
	expect(t, "GET", url+"/posts?author=verify+by+web-1", "", 200, "a post that verifies the app")
	s.SQL("ALTER TABLE posts RENAME TO lost")
	expect(t, "POST", url+"/verify", "", 503, "write a post")
	s.SQL("ALTER TABLE lost RENAME TO posts")
	s.Stop()
	expect(t, "POST", url+"/verify", "", 503, "no primary answered in time")
}

func TestQuiesce(t *testing.T) {
	s := pgtest.Start(t)
	url, _ := serve(t, s.DSN(), 40*time.Second)
	ready(t, url)
	expect(t, "POST", url+"/posts", newPost(id1, "before"), 201, id1)
	expect(t, "POST", url+"/quiesce", "", 200, `"ok":true`)
	expect(t, "POST", url+"/quiesce", "", 200, `"ok":true`)
	for path, body := range map[string]string{"/posts": newPost(id2, "no"), "/posts/" + id1 + "/like": `{"who":"bob"}`, "/verify": ""} {
		expect(t, "POST", url+path, body, 503, "refuses writes")
	}
	resp, err := http.Post(url+"/posts", "", strings.NewReader(newPost(id2, "no")))
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.Header.Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
	expect(t, "GET", url+"/posts/"+id1, "", 200, "before")
	expect(t, "GET", url+"/posts/"+id2, "", 404, "")
	expect(t, "POST", url+"/lookup", fmt.Sprintf(`{"ids":[%q]}`, id1), 200, id1)
	expect(t, "GET", url+"/healthz", "", 200, `"quiesced":true`)
	expect(t, "GET", url+"/ready", "", 200, "")
	expect(t, "POST", url+"/resume", "", 200, "")
	expect(t, "POST", url+"/posts", newPost(id2, "after"), 201, id2)
	expect(t, "GET", url+"/healthz", "", 200, `"quiesced":false`)
}

// pendingWrite begins a write that waits for a primary, and returns what it is answered in the end.
func pendingWrite(t *testing.T, url string) <-chan string {
	t.Helper()
	answered := make(chan string, 1)
	go func() {
		status, body := call(t, "POST", url+"/posts", newPost(id1, "patience"))
		answered <- fmt.Sprint(status, " ", body)
	}()
	kit.Within(t, time.Minute, "a write is running", func() bool {
		_, body := call(t, "GET", url+"/healthz", "")
		return strings.Contains(body, `"writes":1`)
	})
	return answered
}

// TestQuiesceWaits: it says yes only once the last write has been answered.
func TestQuiesceWaits(t *testing.T) {
	s := pgtest.Start(t)
	url, _ := serve(t, s.DSN(), 40*time.Second)
	ready(t, url)
	s.Stop()
	answered := pendingWrite(t, url)
	expect(t, "POST", url+"/quiesce", "", 503, "1 are still running")
	expect(t, "POST", url+"/verify", "", 503, "refuses writes")
	s.Up()
	if a := <-answered; !strings.HasPrefix(a, "201 ") {
		t.Errorf("a write that had begun: %s", a)
	}
	expect(t, "POST", url+"/quiesce", "", 200, "")
}

// TestStopLetsRequestsFinish: a running write is answered after the stop was asked for; nobody new is let in.
func TestStopLetsRequestsFinish(t *testing.T) {
	s := pgtest.Start(t)
	url, stop := serve(t, s.DSN(), 40*time.Second)
	ready(t, url)
	s.Stop()
	answered := pendingWrite(t, url)
	stopped := make(chan error, 1)
	go func() { stopped <- stop() }()
	kit.Within(t, time.Minute, "nobody new is let in", func() bool {
		resp, err := http.Get(url + "/healthz")
		if err == nil {
			resp.Body.Close()
		}
		return err != nil
	})
	s.Up()
	if a := <-answered; !strings.HasPrefix(a, "201 ") {
		t.Errorf("a running write: %s", a)
	}
	if err := <-stopped; err != nil {
		t.Error(err)
	}
}

// TestStopIsBounded: a write for which no primary comes is told so, and the server ends.
func TestStopIsBounded(t *testing.T) {
	s := pgtest.Start(t)
	url, stop := serve(t, s.DSN(), time.Hour)
	ready(t, url)
	s.Stop()
	answered := pendingWrite(t, url)
	if err := stop(); err != nil {
		t.Error(err)
	}
	if a := <-answered; !strings.HasPrefix(a, "503 ") {
		t.Errorf("a running write: %s", a)
	}
}
