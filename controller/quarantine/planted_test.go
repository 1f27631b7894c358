package quarantine

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"mainstay/controller/postgres"
	"mainstay/controller/wire"
)

// TestPlantedInQuarantine: a link in a piece, which PostgreSQL's user may have put there, is neither read nor written nor followed by
// a drop.
func TestPlantedInQuarantine(t *testing.T) {
	outside := t.TempDir()
	keep := filepath.Join(outside, "keep")
	write := func(path, text string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	link := func(to, path string) {
		t.Helper()
		if err := os.RemoveAll(path); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(to, path); err != nil {
			t.Fatal(err)
		}
	}
	untouched := func(t *testing.T) {
		t.Helper()
		if text, err := os.ReadFile(keep); err != nil || string(text) != "{}" {
			t.Errorf("what lies outside has changed: %q, %v", text, err)
		}
	}
	write(keep, "{}")
	dir := t.TempDir()
	q, data := store{dir: filepath.Join(dir, "quarantine")}, filepath.Join(dir, "data")
	wal := putPiece(t, q, testPiece("feed-e1_4", wire.Rewound, 1), "")
	whole := putPiece(t, q, testPiece("feed-e1_5", wire.Rebuilt, 1), data)

	t.Run("a record that is read", func(t *testing.T) {
		record := filepath.Join(wal.Place, postgres.RecordFile)
		text, err := os.ReadFile(record)
		if err != nil {
			t.Fatal(err)
		}
		link(keep, record)
		if p, err := q.read(wal.ID); err == nil {
			t.Errorf("read through a link: %+v", p)
		}
		if err := os.Remove(record); err != nil {
			t.Fatal(err)
		}
		write(record, string(text))
	})
	t.Run("a record that is written", func(t *testing.T) {
		link(keep, filepath.Join(wal.Place, postgres.RecordFile+".new"))
		if err := q.record(wal); err != nil {
			t.Error(err)
		}
		untouched(t)
	})
	t.Run("folders of a drop", func(t *testing.T) {
		link(outside, filepath.Join(wal.Place, "outside"))
		link(outside, filepath.Join(whole.Place, "pg_wal", "outside"))
		for _, p := range []wire.Piece{wal, whole} {
			if err := q.remove(t.Context(), p); err != nil {
				t.Error(err)
			}
		}
		untouched(t)
	})
	t.Run("the place of a drop", func(t *testing.T) {
		p := putPiece(t, q, testPiece("feed-e1_6", wire.Rebuilt, 1), data)
		link(outside, p.Place)
		if err := q.remove(t.Context(), p); err == nil || !strings.Contains(err.Error(), "is not a folder") {
			t.Errorf("a link is dropped: %v", err)
		}
		untouched(t)
	})
	t.Run("a folder that becomes a link while it is dropped", func(t *testing.T) {
		p := putPiece(t, q, testPiece("feed-e1_7", wire.Rebuilt, 1), data)
		above, err := os.OpenRoot(p.Place)
		if err != nil {
			t.Fatal(err)
		}
		defer above.Close()
		link(outside, filepath.Join(p.Place, "pg_wal"))
		if err := empty(t.Context(), above, "pg_wal", ""); err == nil {
			t.Error("it was emptied through the link")
		}
		untouched(t)
	})
}
