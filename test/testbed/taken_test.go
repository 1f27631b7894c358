package testbed

import (
	"errors"
	"net"
	"os"
	"strconv"
	"strings"
	"testing"
)

// TestTakenAddress: a testbed goes to a subnet where nothing listens, and where there is none, it says which process has which address.
func TestTakenAddress(t *testing.T) {
	listen := func(address string) net.Listener {
		t.Helper()
		l, err := net.Listen("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { l.Close() })
		return l
	}
	free := func(most int) (*Testbed, error) {
		s := &Testbed{Options: Options{Members: 3, Apps: &Apps{}}}
		return s, s.freeSubnet(most)
	}
	first, err := free(subnets)
	if err != nil {
		t.Fatal(err)
	}
	if n := len(first.Hosts); n != 10 {
		t.Fatalf("%d hosts", n)
	}
	address := net.JoinHostPort(first.Host("web-w2").Address, AppPort)
	listen(address)
	var taken *TakenError
	if _, err := free(1 + (first.Subnet-1-os.Getpid()%200+200)%200); !errors.As(err, &taken) {
		t.Fatalf("%v", err)
	}
	second, err := free(subnets)
	if err != nil || second.Subnet == first.Subnet {
		t.Errorf("subnet %d after %d: %v", second.Subnet, first.Subnet, err)
	}
	if e := first.taken(); e == nil || e.Address != address || e.PID != os.Getpid() || !strings.Contains(e.By(), os.Args[0]) {
		t.Errorf("%+v", e)
	}

	_, port, _ := net.SplitHostPort(listen("0.0.0.0:0").Addr().String())
	if pid, _ := listener(first.Host("feed-e1").Address, port); pid != os.Getpid() {
		t.Errorf("who listens on all addresses: %d", pid)
	}
	_, port, _ = net.SplitHostPort(listen("127.0.0.1:0").Addr().String())
	if pid, _ := listener(first.Host("feed-e1").Address, port); pid != 0 {
		t.Errorf("process %d listens on another address", pid)
	}
}

func TestShown(t *testing.T) {
	long := strings.Repeat("x", 200)
	for cmdline, want := range map[string]string{"": "", "web\x00-p\x00\n80\x00": "(web -p 80)", long: "(" + long[:100] + "...)"} {
		if got := shown(cmdline); got != want {
			t.Errorf("%s: %q", strconv.Quote(cmdline), got)
		}
	}
}
