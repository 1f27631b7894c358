package consensus

import (
	"context"
	"errors"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
)

func TestStreamAdmitsAndClosesWhatItGave(t *testing.T) {
	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	seen := 0
	core, lines := observer.New(zap.InfoLevel)
	dial := func(context.Context, string) (net.Conn, error) { // one that does not heed its context
		a, b := net.Pipe()
		t.Cleanup(func() { b.Close() })
		return a, nil
	}
	s := newStream(Options{Listener: tcp, Address: "c1:7000", Logger: zap.New(core), Dial: dial, Admit: func(net.Conn) error {
		if seen++; seen == 1 {
			return errors.New("c9 is not configured")
		}
		return nil
	}})
	t.Cleanup(func() { s.Close() })
	var clients []net.Conn
	for range 2 {
		c, err := net.Dial("tcp", tcp.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		clients = append(clients, c)
	}
	got, err := s.Accept()
	if err != nil || got.RemoteAddr().String() != clients[1].LocalAddr().String() {
		t.Fatalf("accepted %v, %v", got, err)
	}
	if lines.FilterMessage("raft connection refused").Len() != 1 {
		t.Error(lines.All())
	}
	s.Close()
	got.SetReadDeadline(time.Now().Add(3 * time.Second))
	if _, err := got.Read(make([]byte, 1)); !errors.Is(err, net.ErrClosed) {
		t.Errorf("an accepted connection outlives the stream: %v", err)
	}
	if _, err := s.Dial("c2:7000", time.Second); !errors.Is(err, net.ErrClosed) {
		t.Errorf("dialled after Close: %v", err)
	}
	if s.Addr().String() != "c1:7000" {
		t.Error(s.Addr())
	}
}

func TestRaftLogsToZap(t *testing.T) {
	core, lines := observer.New(zap.DebugLevel)
	var quiet atomic.Bool
	l := raftLogger(zap.New(core), &quiet).Named("x").With("peer", "c2")
	l.Debug("no")
	l.Warn("yes", "n", 1, "list", hclog.Fmt("%02d", 7))
	quiet.Store(true)
	l.Error("late")
	all := lines.All()
	if len(all) != 2 || all[0].Level != zap.WarnLevel || all[1].Level != zap.DebugLevel {
		t.Fatal(all)
	}
	f := all[0].ContextMap()
	if f["peer"] != "c2" || f["n"] != int64(1) || f["list"] != "07" {
		t.Error(f)
	}
}
