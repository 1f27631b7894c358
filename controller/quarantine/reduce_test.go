package quarantine

import (
	"context"
	"errors"
	"math"
	"net"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"testing"

	"go.uber.org/zap"

	"mainstay/controller/config"
	"mainstay/controller/member"
	"mainstay/controller/platform"
	"mainstay/controller/postgres"
	"mainstay/controller/wire"
	"mainstay/test/kit/pg"
)

func TestContains(t *testing.T) {
	history := platform.History{{Timeline: 1, End: 100}, {Timeline: 3, End: 300}}
	for _, c := range []struct {
		name string
		end  wire.End
		want bool
	}{
		{"on its timeline", wire.End{Timeline: 4, LSN: 350, History: history}, true},
		{"at its position", wire.End{Timeline: 4, LSN: 400, History: history}, true},
		{"beyond its position", wire.End{Timeline: 4, LSN: 401, History: history}, false},
		{"on its timeline, which forked elsewhere", wire.End{Timeline: 4, LSN: 350,
			History: platform.History{{Timeline: 1, End: 100}, {Timeline: 3, End: 299}}}, false},
		{"on an ancestor", wire.End{Timeline: 3, LSN: 300, History: history[:1]}, true},
		{"past the fork of an ancestor", wire.End{Timeline: 3, LSN: 301, History: history[:1]}, false},
		{"on an ancestor that came from elsewhere", wire.End{Timeline: 3, LSN: 300, History: platform.History{{Timeline: 2, End: 100}}}, false},
		{"on the first one", wire.End{Timeline: 1, LSN: 99}, true},
		{"on another line", wire.End{Timeline: 2, LSN: 99, History: history[:1]}, false},
	} {
		if got := contains(history, 4, 400, c.end); got != c.want {
			t.Errorf("%s: %t", c.name, got)
		}
	}
	if contains(history, 4, 200, wire.End{Timeline: 3, LSN: 250, History: history[:1]}) {
		t.Error("what is not replayed yet counts")
	}
}

// TestReductionCutShort: the record tells of a reduction before the first file goes, and the next run of the agent comes to its end.
// WAL, wherever it lies, the control file and what is the user's stay; a piece without the mark is left alone.
func TestReductionCutShort(t *testing.T) {
	dir := t.TempDir()
	h := New(Options{Config: config.Agent{Data: filepath.Join(dir, "agent")}, Log: zap.NewNop()})
	q := h.of("feed-e1")
	p := putPiece(t, q, testPiece("feed-e1_4", wire.Rebuilt, 1000), filepath.Join(dir, "data"))
	whole := putPiece(t, q, testPiece("feed-e1_5", wire.Rebuilt, 1000), filepath.Join(dir, "data"))
	space, wal := filepath.Join(dir, "space."+asideSuffix+"x"), filepath.Join(dir, "wal."+asideSuffix+"x")
	for _, place := range []string{p.Place, whole.Place} {
		for _, file := range []string{"base/5/1", "global/pg_control", "global/1260", "log/postgresql.log", "server.key", "pg_tblspc/none"} {
			check(t, os.MkdirAll(filepath.Join(place, filepath.Dir(file)), 0o700))
			check(t, os.WriteFile(filepath.Join(place, file), make([]byte, 10), 0o600))
		}
	}
	outside := filepath.Join(dir, "outside")
	for _, folder := range []string{space, wal, outside} {
		check(t, os.Mkdir(folder, 0o700))
		check(t, os.WriteFile(filepath.Join(folder, "file"), make([]byte, 10), 0o600))
	}
	check(t, os.Symlink(outside, filepath.Join(p.Place, "base", "link")))
	p.Parts = []wire.Part{{Link: "pg_wal", Place: wal}, {Link: "pg_tblspc/16384", Place: space}}
	p.Reduced = &wire.Reduced{Why: "nothing", When: p.When}
	check(t, q.record(p))

	h.removeDropped(t.Context())
	for path, there := range map[string]bool{"base": false, "global/1260": false, "global/pg_control": true, "log/postgresql.log": true,
		"server.key":                      true,
		"pg_wal/000000010000000000000003": true} {
		if _, err := os.Lstat(filepath.Join(p.Place, path)); (err == nil) != there {
			t.Errorf("%s: %v", path, err)
		}
		if _, err := os.Lstat(filepath.Join(whole.Place, path)); err != nil {
			t.Errorf("%s of the one that is kept whole: %v", path, err)
		}
	}
	for path, there := range map[string]bool{space: false, wal + "/file": true, outside + "/file": true} {
		if _, err := os.Lstat(path); (err == nil) != there {
			t.Errorf("%s: %v", path, err)
		}
	}
	got, err := q.read(p.ID)
	check(t, err)
	if !got.Reduced.Done || got.Size != 150 || len(got.Parts) != 1 || got.Parts[0].Link != "pg_wal" || got.Problem != "" {
		t.Errorf("the record: %+v, %+v", got, got.Reduced)
	}
	check(t, q.remove(t.Context(), got))
	if _, err := os.Lstat(wal); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("after the drop: %v", err)
	}
}

// TestProvable: whatever is in doubt is kept whole.
func TestProvable(t *testing.T) {
	sound := wire.Piece{How: wire.Rebuilt, End: &wire.End{Timeline: 1, LSN: 100}}
	if !provable(sound) {
		t.Error("one without a transaction of its own is not")
	}
	for name, change := range map[string]func(*wire.Piece){
		"no end of WAL": func(p *wire.Piece) { p.End = nil }, "not counted": func(p *wire.Piece) { p.Uncounted = "no WAL" },
		"WAL": func(p *wire.Piece) { p.Bytes = 1 }, "a transaction": func(p *wire.Piece) { p.Transactions = 1 },
		"a rewind's": func(p *wire.Piece) { p.How = wire.Rewound }, "reduced": func(p *wire.Piece) { p.Reduced = &wire.Reduced{} },
		"proven":  func(p *wire.Piece) { p.Needless = "x" },
		"dropped": func(p *wire.Piece) { p.Dropped = &wire.Drop{} }, "gone": func(p *wire.Piece) { p.Problem = "its files are gone" },
	} {
		p := sound
		if change(&p); provable(p) {
			t.Errorf("%s: provable", name)
		}
	}
}

// stoppedFast stops a server cleanly and waits for its end.
func stoppedFast(t *testing.T, ctx context.Context, i *postgres.Server) {
	t.Helper()
	check(t, i.StopFast(ctx))
	eventually(t, "the end of the server", func() bool { _, _, ok := i.Running(); return !ok })
}

// TestReduceAfterRebuild: a standby's data is set aside whole, and reduced where a later repair needs the room, once the copy in its
// place has answered and has its WAL.
func TestReduceAfterRebuild(t *testing.T) {
	primary := pg.Primary(t)
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	check(t, os.WriteFile(filepath.Join(primary.Data, "pg_hba.conf"), []byte("local all all trust\nhost all,replication all all trust\n"),
		0o644))
	check(t, primary.Reload(ctx))
	l, err := net.Listen("tcp", "127.0.0.1:0")
	check(t, err)
	pg := *primary
	pg.Port = l.Addr().(*net.TCPAddr).Port
	check(t, l.Close())
	dir, err := os.MkdirTemp("", "mso")
	check(t, err)
	check(t, os.Chmod(dir, 0o755))
	pg.Member, pg.Data, pg.Conf, pg.Socket = "feed-w1", filepath.Join(dir, "data"), filepath.Join(dir, "conf"), filepath.Join(dir, "s")
	pg.Log = filepath.Join(dir, "log")
	pg.Replication.User = "postgres"
	t.Cleanup(func() {
		if pid, _, ok := pg.Running(); ok {
			check(t, syscall.Kill(pid, syscall.SIGQUIT))
			eventually(t, "the end of the standby", func() bool { _, _, ok := pg.Running(); return !ok })
		}
		check(t, os.RemoveAll(dir))
	})
	from := postgres.Source{Host: "127.0.0.1", Port: primary.Port}
	begin := func() postgres.Status {
		t.Helper()
		conninfo, err := pg.ConnInfo(from, "feed-w1", "")
		check(t, err)
		check(t, pg.WriteSettings(ctx, postgres.Settings{PrimaryConnInfo: conninfo}))
		_, err = pg.Start(ctx, postgres.StartOptions{})
		check(t, err)
		var s postgres.Status
		eventually(t, "the standby to answer", func() bool { s, err = pg.Status(ctx); return err == nil })
		return s
	}
	var copied error
	eventually(t, "the rules to be in force, and a copy", func() bool { copied = pg.Clone(ctx, from, "", nil, nil); return copied == nil })
	s := begin()
	stoppedFast(t, ctx, &pg)
	end := provenEnd(ctx, &pg, s.SystemID)
	if end == nil || end.Timeline != 1 || end.LSN < s.Replay || provenEnd(ctx, &pg, "1") != nil || provenEnd(ctx, &pg, "") != nil {
		t.Fatalf("the end of a standby's WAL: %+v, it had replayed up to %s", end, s.Replay)
	}
	wal := filepath.Join(pg.Data, "pg_wal")
	check(t, os.Rename(wal, wal+".away"))
	check(t, os.Mkdir(wal, 0o700))
	if got := provenEnd(ctx, &pg, s.SystemID); got != nil {
		t.Errorf("without its WAL: %+v", got)
	}
	check(t, errors.Join(os.Remove(wal), os.Rename(wal+".away", wal)))

	cfg := config.Agent{Data: filepath.Join(dir, "agent"), Quarantine: config.Quarantine{Limit: math.MaxInt64}}
	h := New(Options{Config: cfg, Log: zap.NewNop(), Server: func(string) *postgres.Server { return &pg }})
	seen := member.Seen{SystemID: s.SystemID, Timeline: 1, End: end.LSN}
	goal := platform.Goal{Cluster: "feed", Incarnation: "feed-w1_5", SystemID: s.SystemID, Timeline: 1}
	check(t, pg.Clone(ctx, from, "", nil, func(ctx context.Context) error {
		_, err := h.SetAside(ctx, &pg, Repair{Member: "feed-w1", Goal: goal, Seen: seen, Doubted: func() bool { return false }})
		return err
	}))
	q := h.of("feed-w1")
	only := func() wire.Piece {
		t.Helper()
		all, err := q.list()
		check(t, err)
		if len(all) != 1 {
			t.Fatalf("kept: %+v", all)
		}
		return all[0]
	}
	before := only()
	if before.End == nil || before.End.LSN != end.LSN {
		t.Fatalf("recorded %+v", before)
	}
	h.prove(ctx, "feed-w1")
	if only().Needless != "" {
		t.Fatal("needless before the successor has answered")
	}
	begin()
	beyond := before
	beyond.End = &wire.End{Timeline: 1, LSN: end.LSN + 1<<30}
	check(t, q.record(beyond))
	h.prove(ctx, "feed-w1")
	if only().Needless != "" {
		t.Fatal("needless, though the successor lacks WAL of it")
	}
	check(t, q.record(before))
	more := wire.Piece{ID: "more", Member: "feed-w1", Successor: "feed-w1_6", Size: 1}
	q.limit = before.Size
	if err := h.room(ctx, q, more); err == nil || only().Reduced != nil {
		t.Fatalf("reduced before anything is proven: %v", err)
	}
	h.prove(ctx, "feed-w1")
	q.limit++
	if err := h.room(ctx, q, more); err != nil || only().Needless == "" || only().Reduced != nil {
		t.Fatalf("where there is room it is kept whole: %v, %+v", err, only())
	}
	q.limit--
	if err := h.room(ctx, q, more); err != nil {
		t.Errorf("no room: %v", err)
	}
	after := only()
	if after.Reduced == nil || !after.Reduced.Done || after.Size >= before.Size {
		t.Fatalf("%d bytes before: %+v, %+v", before.Size, after, after.Reduced)
	}
	var left []string
	entries, err := os.ReadDir(filepath.Join(after.Place, "global"))
	check(t, err)
	for _, e := range entries {
		left = append(left, e.Name())
	}
	segments, err := filepath.Glob(filepath.Join(after.Place, "pg_wal", "0000*"))
	check(t, err)
	if _, err := os.Lstat(filepath.Join(after.Place, "base")); !errors.Is(err, os.ErrNotExist) ||
		!slices.Equal(left, []string{"pg_control"}) || len(segments) == 0 {
		t.Errorf("left: base %v, global %v, WAL %v", err, left, segments)
	}
	stoppedFast(t, ctx, primary)
	if got := provenEnd(ctx, primary, s.SystemID); got != nil {
		t.Errorf("a primary's data: %+v", got)
	}
}
