package quarantine

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"mainstay/controller/platform"
	"mainstay/controller/wire"
)

func testPiece(successor, how string, size int64) wire.Piece {
	return wire.Piece{Cluster: "feed", Member: "feed-e1", When: "2026-11-22T20:58:2" + successor[len(successor)-1:] + "Z", How: how,
		Successor: successor,
		Timeline:  1, From: 0x3000148, To: 0x3004D58, Bytes: 0x4C10, Size: size}
}

// put keeps a piece as a repair does, with a file of WAL, or a data directory set aside.
func putPiece(t *testing.T, q store, p wire.Piece, data string) wire.Piece {
	t.Helper()
	base := q.dir + "/"
	if p.How == wire.Rebuilt {
		base = data + "." + asideSuffix
	}
	if kept, err := q.name(&p, base); err != nil || kept {
		t.Fatalf("name: %v, kept %t", err, kept)
	}
	if err := q.record(p); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join(p.Place, "pg_wal"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(p.Place, "pg_wal", "000000010000000000000003"), make([]byte, 100), 0o600); err != nil {
		t.Fatal(err)
	}
	return p
}

// A repair waits where the limit would be passed, and says what to run; nothing older is touched (S9).
func TestQuarantineLimit(t *testing.T) {
	dir := t.TempDir()
	q := store{dir: filepath.Join(dir, "quarantine"), limit: 10 << 20}
	if err := q.room(testPiece("feed-e1_4", wire.Rewound, 1<<40)); err != nil {
		t.Errorf("the first one must fit, whatever its size: %v", err)
	}
	putPiece(t, q, testPiece("feed-e1_4", wire.Rewound, 6<<20), "")
	for _, c := range []struct {
		name  string
		piece wire.Piece
		full  bool
	}{
		{"it just fits", testPiece("feed-e1_5", wire.Rewound, 4<<20), false},
		{"it does not", testPiece("feed-e1_5", wire.Rewound, 4<<20+1), true},
		{"the same repair continues as a rebuild", testPiece("feed-e1_4", wire.Rebuilt, 1<<40), false},
	} {
		err := q.room(c.piece)
		var full *fullError
		if errors.As(err, &full) != c.full || !c.full && err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
		if c.full && !strings.Contains(err.Error(),
			"holds 6 MB in 1 pieces, and this repair needs 5 MB more, which exceeds the limit of 10 MB") ||
			c.full && !strings.Contains(err.Error(), "`mainstay member quarantine drop feed-e1_4-rewind`") {
			t.Errorf("%s: %v", c.name, err)
		}
	}
	if all, err := q.list(); err != nil || len(all) != 1 {
		t.Errorf("kept: %v, %v", all, err)
	}
}

// Another attempt of a repair finds what an earlier one kept; anything else gets a name of its own.
func TestQuarantineNames(t *testing.T) {
	dir := t.TempDir()
	data := filepath.Join(dir, "data")
	q := store{dir: filepath.Join(dir, "quarantine")}
	first := putPiece(t, q, testPiece("feed-e1_4", wire.Rewound, 1), "")
	again := testPiece("feed-e1_4", wire.Rewound, 1)
	if kept, err := q.name(&again, q.dir+"/"); err != nil || !kept || again.ID != first.ID || again.ID != "feed-e1_4-rewind" {
		t.Errorf("another attempt: %+v, kept %t, %v", again, kept, err)
	}
	longer := testPiece("feed-e1_4", wire.Rewound, 1)
	longer.To++ // an operator has started it by hand meanwhile
	if kept, err := q.name(&longer, q.dir+"/"); err != nil || kept || longer.ID != "feed-e1_4-rewind-2" {
		t.Errorf("more WAL: %+v, kept %t, %v", longer, kept, err)
	}
	whole := testPiece("feed-e1_4", wire.Rebuilt, 1)
	if _, err := q.name(&whole, data+"."+asideSuffix); err != nil || whole.Place != data+".mainstay-aside-feed-e1_4-rebuild" {
		t.Errorf("rebuild: %+v, %v", whole, err)
	}
	if err := q.record(whole); err != nil { // and then the agent died
		t.Fatal(err)
	}
	retry := testPiece("feed-e1_4", wire.Rebuilt, 1)
	if _, err := q.name(&retry, data+"."+asideSuffix); err != nil || retry.ID != whole.ID {
		t.Errorf("what was never set aside: %+v, %v", retry, err)
	}
	if err := os.Mkdir(whole.Place, 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := q.name(&retry, data+"."+asideSuffix); err != nil || retry.ID != whole.ID+"-2" {
		t.Errorf("beside what was: %+v, %v", retry, err)
	}
}

// A removal that is cut short leaves the record, so that it can be gone on with (S7).
func TestQuarantineRemove(t *testing.T) {
	dir := t.TempDir()
	data := filepath.Join(dir, "data")
	q := store{dir: filepath.Join(dir, "quarantine")}
	for _, p := range []wire.Piece{putPiece(t, q, testPiece("feed-e1_4", wire.Rewound, 1), ""),
		putPiece(t, q, testPiece("feed-e1_5", wire.Rebuilt, 1), data)} {
		cut, cancel := context.WithCancel(t.Context())
		cancel()
		if err := q.remove(cut, p); !errors.Is(err, context.Canceled) {
			t.Errorf("%s: %v", p.ID, err)
		}
		if _, err := q.read(p.ID); err != nil {
			t.Errorf("%s: its record is gone first: %v", p.ID, err)
		}
		if err := q.remove(t.Context(), p); err != nil {
			t.Error(err)
		}
		if _, err := os.Lstat(p.Place); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s is still there", p.Place)
		}
	}
	if all, err := q.list(); err != nil || len(all) != 0 {
		t.Errorf("left: %v, %v", all, err)
	}
	wrong := testPiece("feed-e1_6", wire.Rebuilt, 1)
	wrong.ID, wrong.Place = "feed-e1_6-rebuild", dir
	if err := q.remove(t.Context(), wrong); err == nil || !strings.Contains(err.Error(), "not a data directory set aside by a rebuild") {
		t.Errorf("a record that names another folder: %v", err)
	}
}

func TestDivergence(t *testing.T) {
	h := func(f ...platform.Fork) platform.History { return f }
	at := func(tl platform.Timeline, end platform.LSN) platform.Fork {
		return platform.Fork{Timeline: tl, End: end}
	}
	for _, c := range []struct {
		name string
		line platform.History // without its end
		own  platform.Timeline
		goal platform.Timeline
		hist platform.History
		want platform.Fork
		err  string
	}{
		{"a former primary", nil, 1, 2, h(at(1, 100)), at(1, 100), ""},
		{"promoted unseen, at the same place", h(at(1, 100)), 2, 3, h(at(1, 100)), at(2, 100), ""},
		{"promoted unseen, and it was behind", h(at(1, 90)), 2, 3, h(at(1, 100)), at(2, 90), ""},
		{"promoted unseen, and it was ahead: the WAL between is of the older timeline", h(at(1, 120)), 2, 3, h(at(1, 100)), at(1, 100), ""},
		{"it branched off the goal's own timeline", h(at(1, 100), at(3, 150)), 4, 3, h(at(1, 100)), at(4, 150), ""},
		{"another line", h(at(1, 100)), 2, 9, h(at(5, 100)), at(0, 0), "no common history"},
		{"the same timeline", h(at(1, 100)), 3, 3, h(at(1, 100)), at(0, 0), "is unknown"},
	} {
		got, err := divergence(append(c.line, at(c.own, endless)), platform.Goal{Timeline: c.goal, History: c.hist})
		if got != c.want || (err == nil) != (c.err == "") || err != nil && (!strings.Contains(err.Error(), c.err) || !BeyondRewind(err)) {
			t.Errorf("%s: %+v, %v", c.name, got, err)
		}
	}
}
