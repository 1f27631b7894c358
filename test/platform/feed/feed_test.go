package feed_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"mainstay/test/kit"
	"mainstay/test/platform/feed"
	"mainstay/test/platform/internal/pgtest"
	"mainstay/test/platform/pgclient"
)

const (
	id1 = "00000000-0000-4000-8000-000000000001"
	id2 = "00000000-0000-4000-8000-00000000000a"
)

// serve starts an app server and returns its URL and a function that stops it and returns what Serve returned.
func serve(t *testing.T, dsn string, retry time.Duration) (url string, stop func() error) {
	t.Helper()
	return serveWith(t, feed.Server{DSN: dsn, Retry: retry, Database: pgclient.Options{Statement: 2 * time.Second}})
}

func serveWith(t *testing.T, s feed.Server) (url string, stop func() error) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	s.Name, s.Logf = "web-1", t.Logf
	go func() { done <- s.Serve(ctx, l) }()
	var result error
	stopped := false
	stop = func() error {
		cancel()
		if !stopped {
			stopped, result = true, <-done
		}
		return result
	}
	t.Cleanup(func() { stop() })
	return "http://" + l.Addr().String(), stop
}

func call(t *testing.T, method, url, body string) (int, string) {
	t.Helper()
	r, err := http.NewRequest(method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	resp, err := (&http.Client{Timeout: 30 * time.Second}).Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var b bytes.Buffer
	b.ReadFrom(resp.Body)
	return resp.StatusCode, b.String()
}

func ready(t *testing.T, url string) {
	t.Helper()
	kit.Within(t, time.Minute, "app server is ready", func() bool {
		status, _ := call(t, "GET", url+"/ready", "")
		return status == http.StatusOK
	})
}

// expect makes a call and compares what is answered.
func expect(t *testing.T, method, url, body string, status int, contains string) {
	t.Helper()
	if got, answer := call(t, method, url, body); got != status || !strings.Contains(answer, contains) {
		t.Errorf("%s %s: %d %s, want %d and %q", method, url, got, answer, status, contains)
	}
}

func newPost(id, text string) string {
	return fmt.Sprintf(`{"id":%q,"author":"ann","text":%q}`, id, text)
}

func TestFeed(t *testing.T) {
	s := pgtest.Start(t)
	url, stop := serve(t, s.DSN(), 0)
	ready(t, url)
	post := newPost

	for _, c := range []struct {
		name, method, path, body string
		status                   int
		contains                 string
	}{
		{"new post", "POST", "/posts", post(id1, "hello"), 201, id1},
		{"the same again", "POST", "/posts", post(id1, "hello"), 201, id1},
		{"another post of that id", "POST", "/posts", post(id1, "bye"), 409, "another post"},
		{"no id", "POST", "/posts", `{"author":"ann","text":"x"}`, 400, "UUID"},
		{"no text", "POST", "/posts", post(id2, ""), 400, "text"},
		{"no JSON", "POST", "/posts", `hello`, 400, "JSON"},
		{"too long a body", "POST", "/posts", post(id2, strings.Repeat("x", 1<<20)), 400, "at most"},
		{"like", "POST", "/posts/" + id1 + "/like", `{"who":"bob"}`, 204, ""},
		{"like again", "POST", "/posts/" + id1 + "/like", `{"who":"bob"}`, 204, ""},
		{"like of nobody", "POST", "/posts/" + id1 + "/like", `{}`, 400, "who"},
		{"like of nothing", "POST", "/posts/" + id2 + "/like", `{"who":"bob"}`, 404, "no post"},
		{"read", "GET", "/posts/" + id1, "", 200, `"likes":1`},
		{"read of nothing", "GET", "/posts/" + id2, "", 404, "no post"},
		{"read of nonsense", "GET", "/posts/x", "", 404, "no post"},
		{"by author", "GET", "/posts?author=ann", "", 200, `"text":"hello"`},
		{"by nobody", "GET", "/posts?author=bob", "", 200, `[]`},
		{"lookup", "POST", "/lookup", fmt.Sprintf(`{"ids":[%q,%q]}`, id1, id2), 200, fmt.Sprintf(`{"ids":[%q]}`, id1)},
		{"bad lookup", "POST", "/lookup", `{"ids":["x"]}`, 400, "UUID"},
	} {
		status, body := call(t, c.method, url+c.path, c.body)
		if status != c.status || !strings.Contains(body, c.contains) {
			t.Errorf("%s: %d %s, want %d and %q", c.name, status, body, c.status, c.contains)
		}
	}
	if err := stop(); err != nil {
		t.Errorf("stopping: %v", err)
	}
}

// A request that meets no primary is held, repeated, and answered by the next one.
func TestWriteOutlivesTheServer(t *testing.T) {
	s := pgtest.Start(t)
	url, _ := serve(t, s.DSN(), 40*time.Second)
	ready(t, url)
	s.Kill()
	expect(t, "GET", url+"/ready", "", 503, `"ok":false`)
	expect(t, "GET", url+"/healthz", "", 200, `"name":"web-1"`)
	answered := make(chan int, 1)
	go func() {
		status, _ := call(t, "POST", url+"/posts", fmt.Sprintf(`{"id":%q,"author":"ann","text":"patience"}`, id1))
		answered <- status
	}()
	select {
	case status := <-answered:
		t.Fatalf("answered %d while the server was down", status)
	case <-time.After(300 * time.Millisecond):
	}
	s.Up()
	if status := <-answered; status != http.StatusCreated {
		t.Fatalf("answered %d after the server came back, want 201", status)
	}
	status, body := call(t, "GET", url+"/posts/"+id1, "")
	var p feed.Post
	if err := json.Unmarshal([]byte(body), &p); status != 200 || err != nil || p.Text != "patience" {
		t.Errorf("the post reads %d %s", status, body)
	}
}

func TestRetryIsBounded(t *testing.T) {
	s := pgtest.Start(t)
	url, _ := serve(t, s.DSN(), 200*time.Millisecond)
	ready(t, url)
	s.Stop()
	begun := time.Now()
	status, body := call(t, "POST", url+"/posts", fmt.Sprintf(`{"id":%q,"author":"ann","text":"x"}`, id1))
	if took := time.Since(begun); status != 503 || took < 200*time.Millisecond || took > 10*time.Second {
		t.Errorf("%d %s after %v, want 503 after 200 ms", status, body, took)
	}
}

// The app server may start before its database does.
func TestStartsWithoutAPrimary(t *testing.T) {
	s := pgtest.Start(t)
	s.Stop()
	url, _ := serve(t, s.DSN(), 0)
	expect(t, "GET", url+"/ready", "", 503, "error")
	s.Up()
	ready(t, url)
}
