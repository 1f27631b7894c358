package controller

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"mainstay/controller/consensus"
	"mainstay/controller/identity"
	"mainstay/controller/wire"
)

// TestRecover: c3 continues alone after c1 and c2 were lost for good. When they come back they do not become leader, and change nothing.
func TestRecover(t *testing.T) {
	b := newBed(t)
	nodes := b.three()
	jane := b.client(identity.RoleOperator, "jane")
	b.apply(jane, social())
	c1, c2, c3 := nodes[0], nodes[1], nodes[2]
	b.eventually("c3 holds the platform", 10*time.Second, func() bool { return c3.machine.State().Platform != nil })
	if _, err := Recover(t.Context(), c3.cfg, "root", "fire", true); err == nil ||
		!strings.Contains(err.Error(), "controller c3 runs; stop it first") {
		t.Errorf("while it runs: %v", err)
	}
	b.crash(c3)
	if _, err := Recover(t.Context(), c3.cfg, "root", "fire", false); err == nil || !strings.Contains(err.Error(), "controller c1 answers") ||
		!strings.Contains(err.Error(), "a majority; start this one again") {
		t.Errorf("while the others run: %v", err)
	}
	b.crash(c1)
	five := []consensus.Server{{Name: "c3"}, {Name: "c2", Address: c2.cfg.Advertise}, {Name: "x1", Address: c1.cfg.Advertise},
		{Name: "x2", Address: c1.cfg.Advertise}, {Name: "x3", Address: c1.cfg.Advertise}}
	if err := othersGone(t.Context(), c3.cfg, five); err == nil || !strings.Contains(err.Error(), "controller c2 answers") ||
		!strings.Contains(err.Error(), "stop it for good") {
		t.Errorf("while another minority runs: %v", err)
	}
	b.crash(c2)
	copied := c2.cfg
	copied.Data = b.t.TempDir()
	if err := os.CopyFS(copied.Data, os.DirFS(c2.cfg.Data)); err != nil {
		t.Fatal(err)
	}
	if _, err := Recover(t.Context(), copied, "root", "fire", true); err == nil ||
		!strings.Contains(err.Error(), "recover another remaining controller") || strings.Contains(err.Error(), "controllers remove") {
		t.Errorf("a copied folder: %v", err) // no majority is left that could remove it and add it again
	}
	if err := noteHeard(c3.cfg.Data, 4, 1); err != nil {
		t.Fatal(err)
	}
	plan, err := Recover(t.Context(), c3.cfg, "root", "fire", true)
	if err != nil || plan.Generation != 5 {
		t.Fatalf("agents were heard to obey generation 4: %+v, %v", plan, err)
	}
	if err := os.Remove(filepath.Join(c3.cfg.Data, heardFile)); err != nil {
		t.Fatal(err)
	}
	plan, err = Recover(t.Context(), c3.cfg, "root", "fire", true)
	if err != nil || plan.Done || plan.Platform != "social" || plan.Generation != 2 || strings.Join(plan.Lost, " ") != "c1 c2" {
		t.Fatalf("%+v, %v", plan, err)
	}
	done, err := Recover(t.Context(), c3.cfg, "root", "fire", false)
	if err != nil || !done.Done {
		t.Fatalf("%+v, %v", done, err)
	}
	c3 = b.start(c3.cfg)
	b.eventually("c3 leads alone", 20*time.Second, func() bool { return c3.list.Leading() && c3.machine.State().Generation == 2 })

	c1, c2 = b.start(c1.cfg), b.start(c2.cfg) // the old majority, on its old log
	b.eventually("the old ones lead each other", 20*time.Second, func() bool { return c1.list.Leading() || c2.list.Leading() })
	old := c1
	if c2.list.Leading() {
		old = c2
	}
	b.eventually("they continue, without c3", 20*time.Second, func() bool {
		return jane.DoAt(b.ctx(10*time.Second), old.cfg.Advertise, "PUT", "/v1/platform", wire.ApplyRequest{Platform: social()}, nil) == nil
	})
	if s := c3.machine.State(); s.Generation != 2 || s.Mark == "" || !c3.list.Leading() || old.machine.State().Generation != 1 {
		t.Errorf("c3 has generation %d, the old ones %d; c3 leads: %v", s.Generation, old.machine.State().Generation, c3.list.Leading())
	}
	err = jane.DoAt(b.ctx(10*time.Second), c3.cfg.Advertise, "POST", "/v1/controllers", wire.AddController{Address: c1.cfg.Advertise}, nil)
	if r := refusal(t, err); !strings.Contains(r.Error(), "a controller c1 was given up") {
		t.Errorf("c1 is to be added: %v", r)
	}
	c4 := b.start(b.config("c4"))
	if err := jane.DoAt(b.ctx(30*time.Second), c3.cfg.Advertise, "POST", "/v1/controllers", wire.AddController{Address: c4.cfg.Advertise},
		nil); err != nil {
		t.Error("c4, a new one, is added: ", err)
	}
}

// The generation that agents obey is kept for the next recovery, and nothing else.
func TestHeard(t *testing.T) {
	dir := t.TempDir()
	for _, c := range []struct{ heard, own, want uint64 }{{0, 1, 0}, {1, 1, 0}, {3, 1, 3}, {2, 1, 3}, {4, 5, 3}, {6, 5, 6}} {
		if err := noteHeard(dir, c.heard, c.own); err != nil {
			t.Fatal(err)
		}
		if got, err := readHeard(dir); err != nil || got != c.want {
			t.Errorf("after %d was heard, with %d its own: %d, %v", c.heard, c.own, got, err)
		}
	}
	path := filepath.Join(dir, heardFile)
	if err := os.WriteFile(path, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := noteHeard(dir, 9, 1); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("a damaged file: %v", err)
	}
}

func TestRecoverRefuses(t *testing.T) {
	b := newBed(t)
	cfg := b.config("c1")
	if _, err := Recover(t.Context(), cfg, "root", "fire", true); err == nil || !strings.Contains(err.Error(), "check data:") {
		t.Errorf("no folder: %v", err)
	}
	n := b.start(cfg)
	b.crash(n)
	if _, err := Recover(t.Context(), cfg, "root", "fire", false); err == nil {
		t.Error("a controller of no platform was recovered")
	}
	if os.Geteuid() != 0 {
		return
	}
	if err := os.Chown(cfg.Data, 65534, 65534); err != nil {
		t.Fatal(err)
	}
	if _, err := Recover(t.Context(), cfg, "root", "fire", true); err == nil || !strings.Contains(err.Error(), "run this as that user") {
		t.Errorf("somebody else's folder: %v", err)
	}
}
