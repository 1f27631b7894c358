package identity

import (
	"crypto/tls"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// world is a CA and a folder of certificates.
type world struct {
	t   *testing.T
	dir string
}

func newWorld(t *testing.T, platform string) world {
	t.Helper()
	w := world{t, t.TempDir()}
	if err := InitCA(w.dir, platform); err != nil {
		t.Fatal(err)
	}
	return w
}

func (w world) path(name string) string { return filepath.Join(w.dir, name) }

func (w world) issue(role, name string, days int) Files {
	w.t.Helper()
	r := Request{Role: role, Name: name, Days: days}
	if role == RolePostgres {
		r.Addresses = []string{"127.0.0.1"}
	}
	paths, err := Issue(w.dir, w.dir, r)
	if err != nil {
		w.t.Fatal(err)
	}
	return Files{CA: w.path("ca.crt"), Cert: paths[0], Key: paths[1]}
}

func (w world) store(role, name string) *Store {
	w.t.Helper()
	return w.storeAt(w.issue(role, name, 0), time.Now())
}

func (w world) storeAt(f Files, now time.Time) *Store {
	w.t.Helper()
	s, err := load(f, func() time.Time { return now })
	if err != nil {
		w.t.Fatal(err)
	}
	return s
}

// shake performs one TLS handshake in memory and returns what each side made of it.
func shake(t *testing.T, server, client *tls.Config) (serverErr, clientErr error) {
	t.Helper()
	a, b := net.Pipe()
	deadline := time.Now().Add(5 * time.Second)
	a.SetDeadline(deadline)
	b.SetDeadline(deadline)
	defer a.Close()
	defer b.Close()
	done := make(chan error, 1)
	go func() {
		c := tls.Server(a, server)
		err := c.Handshake()
		if err == nil {
			_, err = c.Write([]byte("x"))
		} else {
			a.Close()
		}
		done <- err
	}()
	c := tls.Client(b, client)
	clientErr = c.Handshake()
	if clientErr == nil {
		_, clientErr = c.Read(make([]byte, 1)) // TLS 1.3: the server's refusal arrives here
	} else {
		b.Close()
	}
	return <-done, clientErr
}

func rewrite(t *testing.T, path string, data []byte, mode os.FileMode) {
	t.Helper()
	if err := os.WriteFile(path, data, mode); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, path string) []byte {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return data
}
