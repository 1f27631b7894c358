package quarantine

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"mainstay/controller/wire"
)

// A drop takes the parts of data that was set aside along, unless the data is no longer where it was: a server may use them.
func TestQuarantineParts(t *testing.T) {
	dir := t.TempDir()
	q, data := store{dir: filepath.Join(dir, "quarantine")}, filepath.Join(dir, "data")
	part := func(name string) wire.Part {
		place := filepath.Join(dir, name+"."+asideSuffix+"x")
		if err := os.MkdirAll(filepath.Join(place, "PG_15_202209061"), 0o700); err != nil {
			t.Fatal(err)
		}
		return wire.Part{Link: "pg_tblspc/16384", From: filepath.Join(dir, name), Place: place}
	}
	there := func(path string) bool {
		_, err := os.Lstat(path)
		return !errors.Is(err, os.ErrNotExist)
	}
	p := testPiece("feed-e1_5", wire.Rebuilt, 1)
	p.Parts = []wire.Part{part("a"), part("b")}
	p = putPiece(t, q, p, data)
	p, err := q.read(p.ID)
	if err != nil || len(p.Parts) != 2 {
		t.Fatalf("read: %+v, %v", p, err)
	}

	if err := os.Rename(p.Place, data); err != nil {
		t.Fatal(err)
	}
	if err := q.remove(t.Context(), p); err == nil || !strings.Contains(err.Error(), "is not in its place") || !there(p.Parts[0].Place) {
		t.Errorf("a drop after its data was moved back: %v", err)
	}
	if err := os.Rename(data, p.Place); err != nil {
		t.Fatal(err)
	}

	wrong := p
	wrong.Parts = []wire.Part{{Link: "pg_wal", From: dir, Place: dir}}
	if err := q.remove(t.Context(), wrong); err == nil || !there(p.Place) {
		t.Errorf("a record that names another folder: %v", err)
	}
	if err := q.remove(t.Context(), p); err != nil {
		t.Error(err)
	}
	for _, path := range []string{p.Place, p.Parts[0].Place, p.Parts[1].Place, filepath.Join(q.dir, p.ID)} {
		if there(path) {
			t.Errorf("%s is still there", path)
		}
	}
}
