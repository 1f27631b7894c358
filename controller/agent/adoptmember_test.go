package agent

import (
	"context"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"mainstay/controller/platform"
	"mainstay/controller/wire"
)

// TestAdoptMemberOnADiskThatHangs: the answer that names a new member is of the lease path, and so are the other members' leases (L6).
func TestAdoptMemberOnADiskThatHangs(t *testing.T) {
	dir := t.TempDir()
	a := life(t, dir, "r")
	defer a.home.close()
	a.bond, a.news, a.wake, a.unmanaged, a.newMembers = bond{PlatformID: "p", Generation: 1}, make(chan struct{}), make(chan struct{}, 1),
		map[string]string{}, make(chan string, 1)
	hangs := filepath.Join(dir, "members", "feed-e1.json")
	if err := syscall.Mkfifo(hangs, 0o600); err != nil { // it has no writer, so every reader waits
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	a.group, a.ctx = errgroup.WithContext(ctx)
	a.group.Go(func() error { return a.adoptMembers(a.ctx) })
	obeyed := make(chan struct{})
	go func() {
		defer close(obeyed)
		for number := range uint64(3) {
			a.obey(&wire.ReportAnswer{PlatformID: "p", Generation: 1, RunID: "r", Number: number, Version: "2",
				Goals: map[string]platform.Goal{"feed-e1": {Kind: platform.GoalReplica}}}, way{})
		}
	}()
	select {
	case <-obeyed:
	case <-time.After(20 * time.Second):
		t.Error("the answer waits for the disk")
	}
	w, err := os.OpenFile(hangs, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.WriteString("{}"); err != nil {
		t.Error(err)
	}
	w.Close()
	eventually(t, "the member to be managed", func() bool { return a.lookUp("feed-e1") != nil })
	<-a.kick // the next report goes at once, and its answer brings the goal
	cancel()
	_ = a.group.Wait()
}

// TestBondOnADiskThatHangs: while another generation is being written, the answers of the obeyed one still take effect (L6).
func TestBondOnADiskThatHangs(t *testing.T) {
	a := life(t, t.TempDir(), "r")
	defer a.home.close()
	a.bond = bond{PlatformID: "p", Generation: 1}
	a.bonding.Lock() // as long as the write hangs
	defer a.bonding.Unlock()
	trusted := make(chan bool, 1)
	go func() { trusted <- a.trusts(&wire.ReportAnswer{PlatformID: "p", Generation: 1}) }()
	select {
	case ok := <-trusted:
		if !ok {
			t.Error("the generation that is obeyed is not trusted")
		}
	case <-time.After(patience):
		t.Fatal("the answer waits for the disk")
	}
}
