package target

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"mainstay/test/kit"
	"mainstay/test/kit/certs"
	"mainstay/test/kit/s3"
)

func bucketAt(s *s3.Server) Config {
	return Config{S3: &S3{Endpoint: "http://" + s.Address, Bucket: s.Bucket, Prefix: "prod/e1", Credentials: s.Credentials}}
}

// clean fails where an error shows a secret or has several lines.
func clean(t *testing.T, s *s3.Server, err error) {
	t.Helper()
	if err == nil || strings.Contains(err.Error(), s.Secret) || strings.Contains(err.Error(), "\n") {
		t.Errorf("the error %v", err)
	}
}

func TestS3(t *testing.T) {
	s := s3.Start(t, s3.Options{})
	conform(t, open(t, bucketAt(s)))
	entries, err := os.ReadDir(filepath.Join(s.Files, "prod/e1"))
	if err != nil || len(entries) == 0 {
		t.Errorf("below the prefix: %v, %v", entries, err)
	}
}

func TestS3WithTLS(t *testing.T) {
	files := certs.New(t, "home").Files("controller", "s3")
	other := certs.New(t, "other").Files("controller", "s3")
	s := s3.Start(t, s3.Options{Cert: files.Cert, Key: files.Key})
	conf := bucketAt(s)
	conf.S3.Endpoint, conf.S3.CA = "https://"+s.Address, files.CA
	kit.Must[Receipt](t)(put(t.Context(), open(t, conf), "a", "a"))
	for name, ca := range map[string]string{"another's": other.CA, "the system's": ""} {
		conf.S3.CA = ca
		_, err := put(t.Context(), open(t, conf), "b", "b")
		if clean(t, s, err); reasonOf(err) != Unreachable || !strings.Contains(err.Error(), "certificate") {
			t.Errorf("with %s authorities: %v", name, err)
		}
	}
	conf.S3.Endpoint = "http://" + s.Address
	if _, err := put(t.Context(), open(t, conf), "c", "c"); err == nil {
		t.Error("without TLS")
	}
}

func TestS3Config(t *testing.T) {
	dir := t.TempDir()
	keys, text := filepath.Join(dir, "keys"), filepath.Join(dir, "text")
	kit.Check(t, os.WriteFile(keys, []byte("access-key: a\nsecret-key: hidden\n"), 0o600), os.WriteFile(text, []byte("hidden: x"), 0o600))
	for name, c := range map[string]struct {
		edit func(*S3)
		says string // "": it is right
	}{
		"right":              {func(c *S3) {}, ""},
		"no scheme":          {func(c *S3) { c.Endpoint = "s3.example.org" }, "endpoint is no address"},
		"another scheme":     {func(c *S3) { c.Endpoint = "ftp://s3.example.org" }, "endpoint is no address"},
		"a path":             {func(c *S3) { c.Endpoint = "https://s3.example.org/bucket" }, "endpoint is no address"},
		"a password":         {func(c *S3) { c.Endpoint = "https://me:hidden@s3.example.org" }, "endpoint is no address"},
		"no bucket":          {func(c *S3) { c.Bucket = "" }, "no bucket"},
		"a prefix":           {func(c *S3) { c.Prefix = "/a" }, "its prefix"},
		"no credentials":     {func(c *S3) { c.Credentials = filepath.Join(dir, "none") }, "its credentials: open"},
		"other lines":        {func(c *S3) { c.Credentials = text }, "must hold the lines access-key: and secret-key:"},
		"no authority":       {func(c *S3) { c.CA = filepath.Join(dir, "none") }, "its ca: open"},
		"no certificate":     {func(c *S3) { c.CA = text }, "there is no certificate in"},
		"a folder of secret": {func(c *S3) { c.Credentials = dir }, "chmod 600"},
	} {
		conf := S3{Endpoint: "https://s3.example.org:9000/", Bucket: "pg", Credentials: keys}
		c.edit(&conf)
		_, err := Open("cloud", Config{S3: &conf})
		if (err == nil) != (c.says == "") || err != nil && (!strings.Contains(err.Error(), c.says) ||
			!strings.HasPrefix(err.Error(), "target cloud: ") || strings.Contains(err.Error(), "hidden")) {
			t.Errorf("%s: %v", name, err)
		}
	}
	kit.Check(t, os.Chmod(keys, 0o640))
	if _, err := Open("cloud", Config{S3: &S3{Endpoint: "https://h", Bucket: "b", Credentials: keys}}); err == nil ||
		!strings.Contains(err.Error(), "chmod 600") {
		t.Errorf("credentials that a group reads: %v", err)
	}
	if _, err := Open("both", Config{Directory: dir, S3: &S3{}}); err == nil {
		t.Error("a target of two kinds")
	}
}

func TestS3Refuses(t *testing.T) {
	s := s3.Start(t, s3.Options{})
	conf := bucketAt(s)
	wrong := filepath.Join(t.TempDir(), "wrong")
	kit.Check(t, os.WriteFile(wrong, []byte("access-key: tester\nsecret-key: nothing-right\n"), 0o600))
	nowhere, gone, denied := *conf.S3, *conf.S3, *conf.S3
	nowhere.Bucket, gone.Endpoint, denied.Credentials = "nowhere", "http://"+kit.FreeAddress(t), wrong
	for name, c := range map[string]struct {
		conf   S3
		reason Reason
		says   string
	}{
		"no such bucket": {nowhere, Failed, "NoSuchBucket"},
		"no server":      {gone, Unreachable, "connection refused"},
		"wrong keys":     {denied, Denied, "permissions and credentials"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			to, ctx := open(t, Config{S3: &c.conf}), t.Context()
			_, err1 := put(ctx, to, "a", "a")
			_, err2 := to.Get(ctx, "a")
			_, err3 := to.List(ctx, "")
			for _, err := range []error{err1, err2, err3} {
				if clean(t, s, err); reasonOf(err) != c.reason || errors.Is(err, ErrNotThere) || !strings.Contains(err.Error(), c.says) ||
					strings.Contains(err.Error(), "nothing-right") {
					t.Errorf("%v (%s)", err, reasonOf(err))
				}
			}
		})
	}
}

func TestReadOnlyS3(t *testing.T) {
	s := s3.Start(t, s3.Options{Flags: []string{"--readonly"}})
	_, err := put(t.Context(), open(t, bucketAt(s)), "a", "a")
	if clean(t, s, err); reasonOf(err) != Denied {
		t.Errorf("%v (%s)", err, reasonOf(err))
	}
}

func TestFullS3(t *testing.T) {
	root := mounted(t, "8m")
	s := s3.Start(t, s3.Options{Root: root})
	to := open(t, bucketAt(s))
	small := kit.Must[Receipt](t)(put(t.Context(), to, "small", "small"))
	_, err := to.Put(t.Context(), "large", bytes.NewReader(content(1, 40<<20)), 40<<20)
	if clean(t, s, err); reasonOf(err) != Full {
		t.Errorf("%v (%s)", err, reasonOf(err))
	}
	if _, err := get(t.Context(), to, "large"); !errors.Is(err, ErrNotThere) {
		t.Error(err)
	}
	kit.Check(t, Verify(t.Context(), to, small))
}

// TestFrozenS3: a server that stops to answer in the middle holds nobody past the deadline, nor past the target's patience.
func TestFrozenS3(t *testing.T) {
	s := s3.Start(t, s3.Options{})
	conf := bucketAt(s)
	conf.Patience = time.Second
	to, patient := open(t, conf), open(t, bucketAt(s))
	large := content(3, 40<<20)
	kit.Must[Receipt](t)(to.Put(t.Context(), "large", bytes.NewReader(large), -1))
	reader := kit.Must[io.ReadCloser](t)(to.Get(t.Context(), "large"))
	defer reader.Close()
	if _, err := io.ReadFull(reader, make([]byte, 1<<20)); err != nil {
		t.Fatal(err)
	}
	frozen := &freezing{Reader: bytes.NewReader(large), after: 20 << 20, freeze: func() { s.Freeze(t) }}
	begun := time.Now()
	_, err := to.Put(t.Context(), "other", frozen, int64(len(large)))
	_, rest := io.Copy(io.Discard, reader) // more than the buffers on the way hold
	late, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer cancel()
	_, listed := patient.List(late, "")
	for what, err := range map[string]error{"put": err, "get": rest, "list": listed, "remove": to.Remove(t.Context(), "large")} {
		if clean(t, s, err); reasonOf(err) != Slow {
			t.Errorf("%s: %v (%s)", what, err, reasonOf(err))
		}
	}
	if took := time.Since(begun); took > 40*time.Second {
		t.Errorf("after %v", took)
	}
	s.Thaw(t)
	kit.Must[Receipt](t)(to.Put(t.Context(), "other", bytes.NewReader(large), int64(len(large))))
}

type freezing struct {
	io.Reader
	after  int
	freeze func()
}

func (f *freezing) Read(p []byte) (int, error) {
	n, err := f.Reader.Read(p[:min(len(p), 1<<20)])
	if f.after -= n; f.after <= 0 && f.freeze != nil {
		f.freeze()
		f.freeze = nil
	}
	return n, err
}

func TestDamagedAtRestInS3(t *testing.T) {
	s := s3.Start(t, s3.Options{})
	to := open(t, bucketAt(s))
	r := kit.Must[Receipt](t)(to.Put(t.Context(), "feed/base", bytes.NewReader(content(4, 17<<20)), 17<<20))
	path := filepath.Join(s.Files, "prod/e1/feed/base")
	f := kit.Must[*os.File](t)(os.OpenFile(path, os.O_RDWR, 0))
	defer f.Close()
	var b [1]byte
	_, err := f.ReadAt(b[:], 9<<20)
	kit.Check(t, err)
	b[0] ^= 4
	_, err = f.WriteAt(b[:], 9<<20)
	kit.Check(t, err)
	if err := Verify(t.Context(), to, r); !errors.Is(err, ErrDamaged) || !strings.Contains(err.Error(), "SHA-256") {
		t.Error(err)
	}
	kit.Check(t, unix.Truncate(path, 9<<20))
	if err := Verify(t.Context(), to, r); err == nil {
		t.Error("a truncated object is right")
	}
}

// between is a proxy before a server, which may answer itself.
func between(t *testing.T, s *s3.Server, first func(w http.ResponseWriter, r *http.Request) (answered bool)) Config {
	t.Helper()
	to := kit.Must[*url.URL](t)(url.Parse("http://" + s.Address))
	proxy := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) { r.Out.URL.Scheme, r.Out.URL.Host = to.Scheme, to.Host }}
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !first(w, r) {
			proxy.ServeHTTP(w, r)
		}
	}))
	t.Cleanup(front.Close)
	conf := bucketAt(s)
	conf.S3.Endpoint = front.URL
	return conf
}

// TestNotFoundOfAnother: a proxy that finds no way to the server says 404 as well, and that is no word about the object. A restore that
// took it for one would end early, and take writes.
func TestNotFoundOfAnother(t *testing.T) {
	s := s3.Start(t, s3.Options{})
	lost := false
	to := open(t, between(t, s, func(w http.ResponseWriter, r *http.Request) bool {
		if lost {
			http.Error(w, "no such route", http.StatusNotFound)
		}
		return lost
	}))
	kit.Must[Receipt](t)(put(t.Context(), to, "a", "a"))
	lost = true
	_, err := to.Get(t.Context(), "a")
	if clean(t, s, err); errors.Is(err, ErrNotThere) {
		t.Error(err)
	}
	if all, err := to.List(t.Context(), ""); err == nil {
		t.Error("it lists", all)
	}
}

// TestUnconditional: a server that knows no condition is asked without one, once it has said so.
func TestUnconditional(t *testing.T) {
	s := s3.Start(t, s3.Options{})
	refused := 0
	to := open(t, between(t, s, func(w http.ResponseWriter, r *http.Request) bool {
		if r.Header.Get("If-None-Match") == "" {
			return false
		}
		refused++
		w.WriteHeader(http.StatusNotImplemented)
		_, _ = io.WriteString(w, "<Error><Code>NotImplemented</Code><Message>a header is not implemented</Message></Error>")
		return true
	}))
	large := content(5, 17<<20)
	kit.Must[Receipt](t)(to.Put(t.Context(), "large", bytes.NewReader(large), int64(len(large))))
	kit.Must[Receipt](t)(put(t.Context(), to, "a", "a"))
	if _, err := put(t.Context(), to, "a", "b"); !errors.Is(err, ErrExists) || refused != 1 {
		t.Errorf("%v, asked %d times", err, refused)
	}
}

// TestLargeIsNotReplaced: of two that put a large object at once, the second gets ErrExists, though it found none when it began.
func TestLargeIsNotReplaced(t *testing.T) {
	s := s3.Start(t, s3.Options{})
	to := open(t, bucketAt(s))
	first, second := content(6, 17<<20), content(7, 17<<20)
	meanwhile := &freezing{Reader: bytes.NewReader(second), after: 16 << 20, freeze: func() {
		kit.Must[Receipt](t)(to.Put(t.Context(), "large", bytes.NewReader(first), -1))
	}}
	if _, err := to.Put(t.Context(), "large", meanwhile, int64(len(second))); !errors.Is(err, ErrExists) {
		t.Error(err)
	}
	if text, err := get(t.Context(), to, "large"); err != nil || text != string(first) {
		t.Errorf("the first is not there: %v", err)
	}
}
