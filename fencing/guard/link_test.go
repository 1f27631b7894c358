package guard

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"mainstay/fencing/process"
)

// A call that is late before it is sent leaves the connection whole; one that broke is seen to be broken, so that the
// agent connects again though the guard lives.
func TestABrokenConnectionShows(t *testing.T) {
	ln, err := net.Listen("unix", filepath.Join(t.TempDir(), "s"))
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	conn, err := net.Dial("unix", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	far, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	self, err := process.Watch(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	l := &link{member: "feed-e1", slot: "a", conn: conn.(*net.UnixConn), handle: self, pending: map[uint64]chan reply{}}
	l.wg.Go(l.read)
	defer l.close()
	late, cancel := context.WithDeadline(t.Context(), time.Now().Add(-time.Millisecond))
	defer cancel()
	if _, err := l.call(late, request{Op: opStatus}); !errors.Is(err, ErrNoAnswer) || !l.whole() {
		t.Errorf("a late call said %v and left the connection whole: %v", err, l.whole())
	}
	far.Close()
	for deadline := time.Now().Add(10 * time.Second); l.whole(); <-time.After(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the broken connection counts as whole")
		}
	}
}
