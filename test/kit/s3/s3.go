// Package s3 is a real S3 server for tests: Versity's gateway, which keeps objects as files. Its version is that of test/s3server, a module
// of its own, because nothing of it may become a part of Mainstay. Nothing but tests imports it.
package s3

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"mainstay/test/kit"
)

// Server is a running server with one bucket.
type Server struct {
	Address     string // HOST:PORT
	Bucket      string
	Credentials string // a file of access-key and secret-key, with mode 0600
	Secret      string // that must never be seen
	Files       string // where the bucket's objects are, as files of their names
	process     *os.Process
}

// Options of a server.
type Options struct {
	Cert, Key string   // PEM files; none: no TLS
	Flags     []string // more of the gateway's own
	Root      string   // where it keeps all; empty is a temporary folder
}

// built is the gateway's program, built once for each test binary. The go command keeps it: the first build took 39 s of two CPUs, and
// each later one a third of a second.
var built = sync.OnceValues(func() (string, error) {
	_, file, _, _ := runtime.Caller(0)
	root := filepath.Join(filepath.Dir(file), "../../..")
	cmd := exec.Command("go", "tool", "-modfile="+filepath.Join(root, "test/s3server/go.mod"), "-n", "versitygw")
	cmd.Dir = root
	cmd.Env = append(os.Environ(), "GOFLAGS=-buildvcs=false")
	out, err := cmd.Output()
	if e, ok := err.(*exec.ExitError); ok {
		err = fmt.Errorf("%w: %s", err, e.Stderr)
	}
	return strings.TrimSpace(string(out)), err
})

// Start runs a server until the test ends. The test is skipped where it cannot be built, unless MAINSTAY_NEED_S3 is set.
func Start(t testing.TB, o Options) *Server {
	t.Helper()
	path, err := built()
	if err != nil {
		if os.Getenv("MAINSTAY_NEED_S3") != "" {
			t.Fatal("build the S3 server:", err)
		}
		t.Skip("the S3 server cannot be built:", err)
	}
	dir := t.TempDir()
	if o.Root == "" {
		o.Root = filepath.Join(dir, "objects")
	}
	s := &Server{Address: kit.FreeAddress(t), Bucket: "backups", Credentials: filepath.Join(dir, "keys.yaml"),
		Secret: "s3cret-of-the-test", Files: filepath.Join(o.Root, "backups")}
	for _, folder := range []string{s.Files, filepath.Join(dir, "attributes")} {
		kit.Check(t, os.MkdirAll(folder, 0o700))
	}
	kit.Check(t, os.WriteFile(s.Credentials, []byte("access-key: tester\nsecret-key: "+s.Secret+"\n"), 0o600))
	args := []string{"--port", s.Address, "--quiet", "--keep-alive", "--health", "/health"}
	scheme := "http"
	if o.Cert != "" {
		args, scheme = append(args, "--cert", o.Cert, "--key", o.Key), "https"
	}
	args = append(append(args, o.Flags...), "posix", "--sidecar", filepath.Join(dir, "attributes"), o.Root)
	log := kit.Must[*os.File](t)(os.Create(filepath.Join(dir, "log")))
	defer log.Close()
	cmd := exec.Command(path, args...)
	cmd.Env = []string{"ROOT_ACCESS_KEY=tester", "ROOT_SECRET_KEY=" + s.Secret, "PATH=" + os.Getenv("PATH")}
	cmd.Stdout, cmd.Stderr, cmd.Dir = log, log, dir
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	runtime.LockOSThread() // the signal is sent when the thread ends that started it
	kit.Check(t, cmd.Start())
	runtime.UnlockOSThread()
	s.process = cmd.Process
	t.Cleanup(func() {
		s.Thaw(t)
		kit.Check(t, cmd.Process.Kill())
		_ = cmd.Wait() // killed
		if t.Failed() {
			said, _ := os.ReadFile(log.Name())
			t.Logf("the S3 server said:\n%s", said[max(0, len(said)-4096):])
		}
	})
	client := &http.Client{Timeout: time.Second}
	if scheme == "https" { // whether it is trusted is for the test to see
		kit.Eventually(t, "an answer of the S3 server", func() bool {
			_, err := client.Get("https://" + s.Address + "/health")
			return err != nil && strings.Contains(err.Error(), "certificate")
		})
		return s
	}
	kit.Eventually(t, "an answer of the S3 server", func() bool {
		answer, err := client.Get("http://" + s.Address + "/health")
		if err != nil {
			return false
		}
		answer.Body.Close()
		return answer.StatusCode == http.StatusOK
	})
	return s
}

// Freeze has the server answer nothing, and take connections, until Thaw.
func (s *Server) Freeze(t testing.TB) { kit.Check(t, s.process.Signal(syscall.SIGSTOP)) }

// Thaw ends that.
func (s *Server) Thaw(t testing.TB) { kit.Check(t, s.process.Signal(syscall.SIGCONT)) }
