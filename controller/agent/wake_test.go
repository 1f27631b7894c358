package agent

import (
	"crypto/tls"
	"net"
	"testing"
	"time"

	"mainstay/controller/wire"
)

// TestHeldRequestFollowsTheLeader: a leader that is cut off keeps what is held at it, so the next leader's first answer ends it.
func TestHeldRequestFollowsTheLeader(t *testing.T) {
	silent, err := net.Listen("tcp", "127.0.0.1:0") // takes connections and says nothing
	check(t, err)
	defer silent.Close()
	old := silent.Addr().String()
	a := life(t, t.TempDir(), "r1")
	a.news, a.wake = make(chan struct{}), make(chan struct{}, 1)
	answer := func(version string) *wire.ReportAnswer {
		return &wire.ReportAnswer{PlatformID: "p1", Generation: 1, RunID: "r1", Version: version}
	}
	a.obey(answer("v1"), way{address: old})
	<-a.wake
	client := wire.NewClient([]string{old}, &tls.Config{})
	defer client.Close()
	ended := make(chan error, 1)
	go func() {
		var w wire.Wake
		ended <- a.held(t.Context(), client, old, "v1", &w)
	}()
	eventually(t, "the request to be held", func() bool {
		a.mu.Lock()
		defer a.mu.Unlock()
		return a.holding != nil
	})
	a.obey(answer("v1"), way{address: old})
	select {
	case err := <-ended:
		t.Fatal("the same leader's answer ended it: ", err)
	case <-a.wake:
		t.Error("nothing has changed")
	default:
	}
	a.obey(answer("v1"), way{address: "another:7200"})
	select {
	case err := <-ended:
		if err == nil {
			t.Error("no leader has answered it")
		}
	case <-time.After(wakeTimeout / 2):
		t.Fatal("it is still held at a leader that is one no longer")
	}
	select {
	case <-a.wake:
	default:
		t.Error("no request is held at the new leader")
	}
}
