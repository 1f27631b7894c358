package sinktest

import (
	"net"
	"os"
	"os/exec"
	"testing"
)

// StartEtcd starts a real etcd on loopback for one test, with further options, and returns its URL. Where none is installed the test
// is skipped, or fails if MAINSTAY_NEED_ETCD is set.
func StartEtcd(t *testing.T, options ...string) (url string) {
	t.Helper()
	if _, err := exec.LookPath("etcd"); err != nil {
		if os.Getenv("MAINSTAY_NEED_ETCD") != "" {
			t.Fatal("etcd is not installed, and MAINSTAY_NEED_ETCD is set")
		}
		t.Skip("etcd is not installed: `apt-get install etcd-server`")
	}
	url, peer := "http://"+free(t), "http://"+free(t)
	cmd := exec.Command("etcd", append([]string{"--data-dir", t.TempDir(), "--listen-client-urls", url, "--advertise-client-urls", url,
		"--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer, "--initial-cluster", "default=" + peer}, options...)...)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait() // killed, so it says so
	})
	return url
}

// free is a port that was free a moment ago.
func free(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}
