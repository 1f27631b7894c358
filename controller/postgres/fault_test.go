package postgres

import (
	"net"
	"os"
	"strings"
	"testing"
)

// TestFault: a standby that ends for its host's sake is told apart from one whose data may be at fault, with the server's own words.
func TestFault(t *testing.T) {
	ca := newAuthority(t)
	a := newPrimary(t, ca, "feed-e1")
	b, settings := newStandby(t, ca, "feed-e2", a)
	ctx := testContext(t)
	check(t, b.StopFast(ctx))
	eventually(t, "the end of the standby", func() bool { _, _, ok := b.Running(); return !ok })
	conf, err := os.ReadFile(b.userConfig())
	check(t, err)
	setting := func(line string) func(t *testing.T) {
		return func(t *testing.T) { check(t, os.WriteFile(b.userConfig(), append(conf, "\n"+line+"\n"...), 0o600)) }
	}
	for _, c := range []struct {
		name   string
		breaks func(t *testing.T)
		mend   func()
		said   string
		data   bool
	}{
		{"its port is taken", func(t *testing.T) {
			l, err := net.Listen("tcp", net.JoinHostPort(b.Listen, "0"))
			check(t, err)
			t.Cleanup(func() { l.Close() })
			b.Port = l.Addr().(*net.TCPAddr).Port
			check(t, b.WriteSettings(ctx, settings))
		}, nil, "could not bind", false},
		{"a library is missing", setting("shared_preload_libraries = 'no_such_library'"), nil, "no_such_library", false},
		{"a setting is wrong", setting("work_mem = lots"), nil, "work_mem", false},
		{"its recovery ends", setting("max_connections = 50"), nil, "insufficient parameter settings", true},
		{"its control file is damaged", func(t *testing.T) { flip(t, b.controlFile()) }, func() { flip(t, b.controlFile()) }, "control file", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			port := b.Port
			c.breaks(t)
			p, err := b.Start(ctx, StartOptions{})
			check(t, err)
			select {
			case <-p.Done():
			case <-ctx.Done():
				t.Fatal("it has not ended")
			}
			f := b.Fault(ctx, p)
			if f.Data != c.data || !strings.Contains(f.Said, c.said) || f.Said == "" {
				t.Errorf("%+v, want data %v, said %q", f, c.data, c.said)
			}
			t.Log(f.Said)
			b.Port = port
			check(t, b.WriteSettings(ctx, settings))
			check(t, os.WriteFile(b.userConfig(), conf, 0o600))
			if c.mend != nil {
				c.mend()
			}
		})
	}
	start(t, b, false)
}

// flip changes one byte of a file, or changes it back.
func flip(t *testing.T, path string) {
	t.Helper()
	raw, err := os.ReadFile(path)
	check(t, err)
	raw[64] ^= 0xff
	check(t, os.WriteFile(path, raw, 0o600))
}
