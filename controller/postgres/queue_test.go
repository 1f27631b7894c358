package postgres

import (
	"net"
	"os"
	"testing"
)

// TestQueued: a connection that nobody takes is seen, in both families, by the kernel's answer as by its table.
func TestQueued(t *testing.T) {
	for _, address := range []string{"127.0.0.1:0", "[::1]:0"} {
		t.Run(address, func(t *testing.T) {
			l, err := net.Listen("tcp", address)
			if err != nil {
				t.Skipf("no such address here: %v", err)
			}
			defer l.Close()
			port := l.Addr().(*net.TCPAddr).Port
			want := func(when string, want bool) {
				t.Helper()
				asked, err := askQueue(os.Getpid(), port)
				if err != nil {
					t.Logf("%s: %v: only the table is tested", when, err)
				} else if asked != want {
					t.Errorf("%s: the kernel says %v, want %v", when, asked, want)
				}
				if got := queuedInTable(os.Getpid(), port); got != want {
					t.Errorf("%s: the table says %v, want %v", when, got, want)
				}
			}
			want("nobody has connected", false)
			client, err := net.Dial("tcp", l.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			defer client.Close()
			want("one waits", true)
			taken, err := l.Accept()
			if err != nil {
				t.Fatal(err)
			}
			defer taken.Close()
			want("it was taken", false)
		})
	}
}

func BenchmarkQueued(b *testing.B) {
	for name, look := range map[string]func() bool{
		"asked": func() bool { is, err := askQueue(os.Getpid(), 1); return is || err != nil },
		"table": func() bool { return queuedInTable(os.Getpid(), 1) },
	} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				if look() {
					b.Fatal("nobody waits at port 1")
				}
			}
		})
	}
}
