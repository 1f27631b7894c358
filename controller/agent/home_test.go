package agent

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"mainstay/controller/config"
	"mainstay/controller/identity"
	"mainstay/controller/member"
	"mainstay/controller/platform"
)

// certificateOf issues a certificate of the platform social and returns its files.
func certificateOf(t *testing.T, ca, role, name string) config.TLS {
	t.Helper()
	files, err := identity.Issue(ca, ca, identity.Request{Role: role, Name: name})
	if err != nil {
		t.Fatal(err)
	}
	return config.TLS{CA: filepath.Join(ca, "ca.crt"), Cert: files[0], Key: files[1]}
}

// What the agent keeps is never guessed: it does not start on a damaged folder, or with the certificate of somebody else,
// and says which file, and what to do.
func TestDoesNotStart(t *testing.T) {
	ca := filepath.Join(t.TempDir(), "ca")
	if err := identity.InitCA(ca, "social"); err != nil {
		t.Fatal(err)
	}
	mine := certificateOf(t, ca, identity.RoleAgent, "db-e1")
	for _, c := range []struct {
		name string
		tls  config.TLS
		file string // in the agent's folder, with nonsense in it; "" for none
		want string
	}{
		{"its run is damaged", mine, "run.json", "run.json is damaged (invalid character"},
		{"its platform is damaged", mine, "platform.json", "platform.json is damaged (invalid character"},
		{"its folder is a file", mine, "members", "not a directory; create it, or correct `data` in the agent's file"},
		{"its folder is another user's", mine, "",
			"belongs to user 54321 or is writable by it, so that user could change the agent's promises; set `data`"},
		{"another host's certificate", certificateOf(t, ca, identity.RoleAgent, "db-w1"), "",
			"is the certificate of agent db-w1, this is agent db-e1; run `mainstay cert issue --role agent --name db-e1 --address ADDRESS`"},
		{"a controller's certificate", certificateOf(t, ca, identity.RoleController, "db-e1"), "",
			"is the certificate of controller db-e1, this is agent db-e1"},
	} {
		dir := t.TempDir()
		if c.file != "" {
			if err := os.WriteFile(filepath.Join(dir, c.file), []byte("nonsense"), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if c.name == "its folder is another user's" {
			if os.Geteuid() != 0 {
				continue
			}
			if err := os.Chown(dir, 54321, 54321); err != nil {
				t.Fatal(err)
			}
		}
		_, err := open(config.Agent{Host: "db-e1", Data: dir, TLS: c.tls}, Options{})
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
		if c.file == "" {
			continue
		}
		if kept, err := os.ReadFile(filepath.Join(dir, c.file)); err != nil || string(kept) != "nonsense" {
			t.Errorf("%s: the file was changed: %q, %v", c.name, kept, err)
		}
	}
}

// A member whose file is damaged is left alone, said once in the log, and shown by the agent and in its reports; a restored
// file ends that. The other members keep running.
func TestDamagedMember(t *testing.T) {
	dir := t.TempDir()
	a := life(t, dir, "r")
	defer a.home.close()
	core, logs := observer.New(zap.ErrorLevel)
	a.log, a.unmanaged, a.ctx = zap.New(core), map[string]string{}, context.Background()
	path := filepath.Join(dir, "members", "feed-e1.json")
	if err := os.WriteFile(path, []byte(`{"epo`), 0o600); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if a.supervisor("feed-e1") != nil {
			t.Fatal("it is managed from a file that cannot be read")
		}
	}
	if logs.Len() != 1 {
		t.Errorf("said %d times in the log, want once", logs.Len())
	}
	why := a.cannot()["feed-e1"]
	if !strings.Contains(why, path+" is damaged") || !strings.Contains(why, "restore it, or ") {
		t.Errorf("reported as %q", why)
	}
	all := a.clusters()
	if len(all) != 1 || len(all[0].Members) != 1 || all[0].Members[0].Seen.Error != why {
		t.Errorf("shown as %+v", all)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if _, err := a.newSupervisor("feed-e1"); err != nil {
		t.Errorf("without the damaged file: %v", err)
	}
}

// The resume record is in the folder for the next process of the agent (S6); one that cannot be read counts as none.
func TestResumeRecord(t *testing.T) {
	dir := t.TempDir()
	h := reopened(t, dir, zap.NewNop())
	check(t, h.KeepResume("feed-e1", member.Resume{Run: "r1", Goal: platform.Goal{Cluster: "feed", MembersVersion: 5}}))
	h.close()
	h = reopened(t, dir, zap.NewNop())
	if r := h.Resume("feed-e1"); r.Run != "r1" || r.Goal.MembersVersion != 5 {
		t.Errorf("read %+v", r)
	}
	check(t, h.copies.put(filepath.Join("tenures", "feed-e1.json"), []byte("nonsense")))
	if r := h.Resume("feed-e1"); r.Run != "" {
		t.Errorf("read from nonsense: %+v", r)
	}
}

// TestRunsOfOneDisk: each boot has a run of its own, and the disk remembers the last ones: an older copy of it lacks the newest.
func TestRunsOfOneDisk(t *testing.T) {
	dir := t.TempDir()
	of := func(boot string) run {
		t.Helper()
		h, err := openHome(dir, zap.NewNop())
		if err != nil {
			t.Fatal(err)
		}
		defer h.close()
		h.copies = "" // as after a boot
		r, err := h.run(boot)
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	first := of("1")
	if again := of("1"); again.Run != first.Run || len(again.Earlier) != 0 {
		t.Errorf("another process of the same boot: %+v, then %+v", first, again)
	}
	second := of("2")
	if second.Run == first.Run || !slices.Equal(second.Earlier, []string{first.Run}) {
		t.Errorf("the next boot: %+v after %+v", second, first)
	}
	for i := range earlierRuns {
		of(fmt.Sprint(3 + i))
	}
	last := of("last")
	if len(last.Earlier) != earlierRuns || slices.Contains(last.Earlier, second.Run) {
		t.Errorf("it remembers %d runs: %v", len(last.Earlier), last.Earlier)
	}
}
