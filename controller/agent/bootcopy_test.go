package agent

import (
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"testing"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"mainstay/controller/member"
	"mainstay/controller/platform"
)

func reopened(t *testing.T, dir string, log *zap.Logger) home {
	t.Helper()
	h, err := openHome(dir, log)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(h.close)
	return h
}

// An agent's folder that is put back from an older copy of itself within one boot has forgotten a seal that a promotion rests on
// (S1), a member, and a generation of the platform (S3); the agent has not.
func TestFolderPutBackWithinABoot(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "agent")
	backup := dir + ".backup"
	sealed := member.Durable{Epoch: epoch3, Sealed: platform.Epoch{Generation: 1, Number: 4}, SystemID: "7"}
	last := bond{PlatformID: "p", Generation: 2, Mark: "m"}

	h := reopened(t, dir+"/", zap.NewNop())
	run, err := h.run("boot")
	if err != nil {
		t.Fatal(err)
	}
	if err := h.KeepDurable("feed-e1", member.Durable{Epoch: epoch3, SystemID: "7"}); err != nil {
		t.Fatal(err)
	}
	if err := h.keepBond(bond{PlatformID: "p", Generation: 1}); err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(backup, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"feed-e1", "feed-e2"} {
		if err := h.KeepDurable(name, sealed); err != nil {
			t.Fatal(err)
		}
	}
	if err := h.keepBond(last); err != nil {
		t.Fatal(err)
	}
	h.close()
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(backup, dir); err != nil {
		t.Fatal(err)
	}

	core, logs := observer.New(zap.WarnLevel)
	h = reopened(t, dir, zap.New(core))
	if names := h.known(); !slices.Contains(names, "feed-e2") || len(names) != 2 {
		t.Errorf("known: %v", names)
	}
	for range 2 { // put right at the first reading
		for _, name := range []string{"feed-e1", "feed-e2"} {
			if d, err := h.Durable(name); err != nil || !reflect.DeepEqual(d, sealed) {
				t.Errorf("%s: %+v, %v", name, d, err)
			}
		}
		if b, err := h.bond(); err != nil || b != last {
			t.Errorf("platform: %+v, %v", b, err)
		}
	}
	if again, err := h.run("boot"); err != nil || !reflect.DeepEqual(again, run) {
		t.Errorf("run %s became %s: %v", run, again, err)
	}
	if logs.Len() != 3 {
		t.Errorf("said %d times in the log, want once for each of three files", logs.Len())
	}
	h.copies = ""
	if d, err := h.Durable("feed-e1"); err != nil || !reflect.DeepEqual(d, sealed) {
		t.Errorf("on disk is %+v, %v", d, err)
	}
}

// A folder that was wiped is another one: its agent starts from nothing, as one on a new host. The copies of folders that are gone
// and of other boots do not pile up.
func TestFolderWiped(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "agent")
	h := reopened(t, dir, zap.NewNop())
	if err := h.KeepDurable("feed-e1", member.Durable{Epoch: epoch3}); err != nil {
		t.Fatal(err)
	}
	old := filepath.Join(filepath.Dir(bootDir), "another-boot", "folder")
	if err := os.MkdirAll(old, 0o700); err != nil {
		t.Fatal(err)
	}
	h.close()
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	reopened(t, filepath.Join(t.TempDir(), "another"), zap.NewNop())
	for _, gone := range []string{old, string(h.copies)} {
		if _, err := os.Stat(gone); !os.IsNotExist(err) {
			t.Errorf("%s: %v", gone, err)
		}
	}
	h = reopened(t, dir, zap.NewNop())
	if d, err := h.Durable("feed-e1"); err != nil || d != (member.Durable{}) || len(h.known()) != 0 {
		t.Errorf("kept: %+v, %v, known %v", d, err, h.known())
	}
}

// Where no copies can be made the agent does without; old ones that can be neither brought up to date nor removed are an error.
func TestNoCopies(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "agent")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	h := reopened(t, dir, zap.NewNop())
	if err := h.KeepDurable("feed-e1", member.Durable{Epoch: epoch3}); err != nil {
		t.Fatal(err)
	}
	copies := string(h.copies)
	h.close()
	of := filepath.Join(copies, "of")
	if err := os.Remove(of); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(of, 0o700); err != nil {
		t.Fatal(err)
	}
	core, logs := observer.New(zap.WarnLevel)
	h = reopened(t, dir, zap.New(core))
	if _, err := os.Stat(copies); h.copies != "" || logs.Len() != 1 || !os.IsNotExist(err) {
		t.Errorf("copies in %q, %d lines in the log, the old ones: %v", h.copies, logs.Len(), err)
	}
	if d, err := h.Durable("feed-e1"); err != nil || d != (member.Durable{Epoch: epoch3}) {
		t.Errorf("%+v, %v", d, err)
	}
}

// A copy is never older than what is on disk: where it cannot be written there is none, and where it is the file that cannot be
// written, the copy does not say what was not kept.
func TestCopyIsNeverStale(t *testing.T) {
	dir := t.TempDir()
	h := reopened(t, dir, zap.NewNop())
	first, second := member.Durable{Epoch: epoch3}, member.Durable{Epoch: epoch3, Closed: epoch3}
	if err := h.KeepDurable("feed-e1", first); err != nil {
		t.Fatal(err)
	}
	copied := filepath.Join(string(h.copies), "members", "feed-e1.json")
	if err := os.Mkdir(copied+".new", 0o700); err != nil { // stands where the copy is written
		t.Fatal(err)
	}
	if err := h.KeepDurable("feed-e1", second); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(copied); !os.IsNotExist(err) {
		t.Errorf("a copy from before is there: %v", err)
	}
	if err := os.Remove(copied + ".new"); err != nil {
		t.Fatal(err)
	}
	if d, err := h.Durable("feed-e1"); err != nil || d != second {
		t.Errorf("kept: %+v, %v", d, err)
	}
	if err := os.Mkdir(filepath.Join(dir, "members", "feed-e1.json.new"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := h.KeepDurable("feed-e1", first); err == nil {
		t.Error("kept where nothing can be written")
	}
	if d, err := h.Durable("feed-e1"); err != nil || d != second {
		t.Errorf("after the failure: %+v, %v", d, err)
	}
}
