package statefile

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

type kept struct{ N int }

func TestReadAndWrite(t *testing.T) {
	path := filepath.Join(t.TempDir(), "goal.json")
	got := kept{N: 7}
	if err := Read(path, &got); err != nil || got.N != 7 {
		t.Errorf("no file: %+v, %v", got, err)
	}
	for n := range 2 {
		if err := Write(path, kept{N: n}); err != nil {
			t.Fatal(err)
		}
		if err := Read(path, &got); err != nil || got.N != n {
			t.Errorf("%+v, %v; want %d", got, err, n)
		}
	}
	if _, err := os.Stat(path + ".new"); !os.IsNotExist(err) {
		t.Error("the new file is left beside the old one: ", err)
	}
}

// TestFailures: what is wrong with a file, and what to do; the old content stays.
func TestFailures(t *testing.T) {
	path := filepath.Join(t.TempDir(), "goal.json")
	if err := Write(path, kept{N: 1}); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(path+".new", 0o700); err != nil { // nothing can be written there
		t.Fatal(err)
	}
	if err := Write(path, kept{N: 2}); err == nil || !strings.Contains(err.Error(), "look at that disk") {
		t.Error(err)
	}
	var got kept
	if err := Read(path, &got); err != nil || got.N != 1 {
		t.Errorf("%+v, %v", got, err)
	}
	if err := os.WriteFile(path, []byte("nonsense"), 0o600); err != nil {
		t.Fatal(err)
	}
	err := Read(path, &got)
	if err == nil || !strings.Contains(err.Error(), path+" is damaged") || !strings.Contains(err.Error(), "restore it") {
		t.Error(err)
	}
}
