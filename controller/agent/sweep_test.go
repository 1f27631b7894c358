package agent

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"

	"mainstay/controller/config"
	"mainstay/controller/member"
	"mainstay/fencing/process"
	"mainstay/fencing/process/fakepg"
)

func TestMain(m *testing.M) {
	fakepg.Main()
	dir, err := os.MkdirTemp("", "ms-boot-")
	if err != nil {
		panic(err)
	}
	bootDir = filepath.Join(dir, "boot")
	code := m.Run()
	os.RemoveAll(dir)
	os.Exit(code)
}

// left is the folder of an agent that has ended, and a PostgreSQL of its member feed-e1 that has not.
func left(t *testing.T, systemID string, inCgroup bool) (config.Agent, *fakepg.Server) {
	t.Helper()
	dir, err := os.MkdirTemp("", "ms-sweep-") // a socket's path is short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	cfg := config.Agent{Data: dir}
	h, err := openHome(dir, zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	defer h.close()
	o := fakepg.Options{DataDir: cfg.DataDir("feed-e1"), Detached: inCgroup}
	err = errors.Join(h.KeepDurable("feed-e1", member.Durable{SystemID: systemID}), os.MkdirAll(o.DataDir, 0o700),
		os.MkdirAll(cfg.GuardDir("feed-e1"), 0o700))
	if err != nil {
		t.Fatal(err)
	}
	if inCgroup {
		if o.Cgroup, err = process.Create(process.CgroupName("feed-e1", o.DataDir)); err != nil {
			t.Skip(err)
		}
		t.Cleanup(func() { o.Cgroup.Remove() })
	}
	return cfg, fakepg.Start(t, o)
}

func sweep(t *testing.T, cfg config.Agent) []Swept {
	t.Helper()
	swept, err := Sweep(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	return swept
}

// TestSweep: processes without a guard are ended, to the last one, and reported; a second sweep finds nothing.
func TestSweep(t *testing.T) {
	for name, inCgroup := range map[string]bool{"by its folder": false, "by its cgroup": true} {
		t.Run(name, func(t *testing.T) {
			cfg, pg := left(t, "7000000000000000001", inCgroup)
			alive := pg.Alive()
			swept := sweep(t, cfg)
			if len(swept) != 1 || swept[0].Err != nil || len(swept[0].Killed) != len(alive) ||
				!strings.HasPrefix(swept[0].String(), "feed-e1: PostgreSQL ran without any guard") {
				t.Errorf("swept %v, want all of %v", swept, alive)
			}
			if !pg.WaitEnded(5 * time.Second) {
				t.Errorf("%v are left", pg.Alive())
			}
			if again := sweep(t, cfg); len(again) != 0 {
				t.Errorf("the second sweep did %v", again)
			}
		})
	}
}

// TestSweepLeavesAlone the processes of any guard, whatever its state, and those that were never Mainstay's.
func TestSweepLeavesAlone(t *testing.T) {
	for _, slot := range []string{"a", "b"} {
		cfg, pg := left(t, "7000000000000000001", false)
		l, err := net.Listen("unix", filepath.Join(cfg.GuardDir("feed-e1"), "guard-"+slot+".sock"))
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		if swept := sweep(t, cfg); len(swept) != 0 || len(pg.Alive()) != 3 {
			t.Errorf("guard %s lives: swept %v, %v are left", slot, swept, pg.Alive())
		}
	}
	cfg, pg := left(t, "", false)
	if swept := sweep(t, cfg); len(swept) != 0 || len(pg.Alive()) != 3 {
		t.Errorf("a stranger's: swept %v, %v are left", swept, pg.Alive())
	}
}

// TestSweepErrors: nothing is guessed.
func TestSweepErrors(t *testing.T) {
	cfg, pg := left(t, "7000000000000000001", false)
	h, err := openHome(cfg.Data, zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Sweep(t.Context(), cfg); err == nil || !strings.Contains(err.Error(), "in use by another agent") {
		t.Errorf("beside an agent: %v", err)
	}
	h.close()
	if err := os.RemoveAll(string(h.copies)); err != nil { // as after a boot
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(cfg.Data, "members", "feed-e1.json"), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if swept := sweep(t, cfg); len(swept) != 1 || swept[0].Err == nil || len(pg.Alive()) != 3 {
		t.Errorf("with damaged promises: swept %v", swept)
	}
}
