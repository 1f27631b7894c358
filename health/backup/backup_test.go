package backup

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"mainstay/controller/platform"
	"mainstay/health/backup/target"
	"mainstay/test/damage"
	"mainstay/test/kit"
	"mainstay/test/kit/pg"
)

// TestBackup shares one server among its parts, which run in this order: later ones use what earlier ones have released.
func TestBackup(t *testing.T) {
	pg.Versions(t, func(t *testing.T, v pg.Version) {
		l := newLab(t, v)
		for _, c := range []struct {
			name string
			test func(*lab)
		}{
			{"good", (*lab).good}, {"restored", (*lab).restored}, {"target damaged", (*lab).targetDamaged}, {"assertions", (*lab).assertions},
			{"damaged copy", (*lab).damagedCopy}, {"archive", (*lab).archive}, {"tablespace in the archive", (*lab).tablespaceInArchive},
			{"refused", (*lab).refused}, {"no room", (*lab).noRoom}, {"unprivileged", (*lab).unprivileged}, {"killed", (*lab).killed},
			{"incremental", (*lab).incremental},
			{"standby", (*lab).standby}, {"rotten source", (*lab).rottenSource},
		} {
			if !t.Run(c.name, func(t *testing.T) { c.test(l.in(t)) }) {
				t.FailNow() // the next parts need it
			}
		}
	})
}

var (
	postsHold  = Assertion{Name: "posts", Database: "postgres", SQL: "SELECT count(*) >= 4000 FROM posts"}
	secretHold = Assertion{Name: "secret", Database: "postgres", SQL: "SELECT count(*) = 1 FROM secret"}
	farHolds   = Assertion{Name: "far", Database: "postgres", SQL: "SELECT count(*) = 1000 FROM far"}
)

func (l *lab) good() {
	var told []Progress
	ctx := kit.Context(l.t, 2*time.Minute)
	proposed := kit.Must[[]Assertion](l.t)(Propose(ctx, l.engine.Server.Local(), "postgres"))
	if len(proposed) < 4 || !strings.Contains(fmt.Sprint(proposed), "orphans") {
		l.t.Errorf("proposed: %+v", proposed)
	}
	fresh := ProposeFresh("postgres", "likes", "at", "1 hour")
	o := l.order("good", append(proposed, postsHold, secretHold, farHolds, fresh)...)
	r, err := l.engine.Make(ctx, o, func(p Progress) { told = append(told, p) })
	if err != nil || r.Proof.Verdict != Good {
		l.t.Fatalf("%v: %+v", err, r)
	}
	evidence(l.t, r.Proof, "manifest", "recovery", "assertion", "stop", "pages")
	if r.Timeline != 1 || r.Start == 0 || r.End <= r.Start || r.Proof.Reached < r.End || r.SystemID == "" || r.Size < 1<<20 || r.Packed == 0 {
		l.t.Errorf("%+v", r)
	}
	if len(r.Proof.Checks) != 4+len(o.Checks) || len(r.Receipts) != 1 || r.Receipts[0].SHA256 != r.SHA256 || len(r.Spaces) != 1 {
		l.t.Errorf("%+v", r)
	}
	if os.Geteuid() == 0 && strings.Contains(r.Proof.Isolation, "refused") {
		l.t.Errorf("isolation: %s", r.Proof.Isolation)
	}
	for _, want := range []StepName{StepRoom, StepTake, StepPack, StepRecover, StepAssert, StepStop, StepPages, StepRelease} {
		if !slices.ContainsFunc(r.Proof.Steps, func(s Step) bool { return s.Name == want && s.Took > 0 }) ||
			!slices.ContainsFunc(told, func(p Progress) bool { return p.Step == want }) {
			l.t.Errorf("step %s is missing in the record or in the progress", want)
		}
	}
	there := kit.Must[*Record](l.t)(ReadRecord(ctx, l.vault, "feed", "good"))
	if a, b := mustJSON(l.t, there.Receipts), mustJSON(l.t, r.Receipts); a != b || there.Proof.Verdict != Good {
		l.t.Errorf("the released record differs: %s and %s", a, b)
	}
	var names []string
	for _, o := range kit.Must[[]target.Object](l.t)(l.vault.List(ctx, Folder("feed"))) {
		names = append(names, o.Name)
	}
	want := Objects("feed", "good")
	if slices.Sort(want); !slices.Equal(names, want) {
		l.t.Errorf("at the target: %v", names)
	}
	again, err := l.engine.Make(ctx, l.order("good"), nil)
	if err != nil || len(again.Receipts) > 0 || !strings.Contains(again.Failed["vault"], target.ErrExists.Error()) || !l.released("good") {
		l.t.Errorf("an id used twice: %v, %+v", err, again)
	}
}

func mustJSON(t testing.TB, v any) string {
	t.Helper()
	return string(kit.Must[[]byte](t)(json.Marshal(v)))
}

func (l *lab) from(id string) Restoration {
	return Restoration{Cluster: "feed", ID: id, From: l.vault, Checks: []Assertion{postsHold, farHolds}}
}

// test restores a backup into staging.
func (l *lab) test(o Restoration, verdict Verdict) *Tested {
	l.t.Helper()
	r, err := l.engine.TestRestore(kit.Context(l.t, 2*time.Minute), o, nil)
	if r.Proof.Verdict != verdict || (err == nil) != (verdict != Unverified) {
		l.t.Fatalf("%s: %v: %s", r.Proof.Verdict, err, r.Proof.Evidence)
	}
	return r
}

func (l *lab) restored() {
	l.test(l.from("good"), Good)
	into := filepath.Join(l.dir, "r", "data")
	kit.Check(l.t, os.Mkdir(filepath.Dir(into), 0o755))
	ctx := kit.Context(l.t, 2*time.Minute)
	r, err := l.engine.Restore(ctx, l.from("good"), into, nil)
	if err != nil || r.Proof.Verdict != Good {
		l.t.Fatalf("%v: %+v", err, r)
	}
	auto := string(kit.Must[[]byte](l.t)(os.ReadFile(filepath.Join(into, autoConf))))
	if !strings.Contains(auto, "shared_preload_libraries") {
		l.t.Errorf("the configuration did not come back: %s", auto)
	}
	l.serves(into, "SELECT (SELECT count(*) FROM posts) || '|' || (SELECT count(*) FROM far) || '|' || (SELECT count(*) FROM pg_roles "+
		"WHERE rolname LIKE 'mainstay_check%')", "4000|1000|0")
	if _, err := l.engine.Restore(ctx, l.from("good"), into, nil); err == nil || !strings.Contains(err.Error(), "holds files") {
		l.t.Errorf("a directory in use: %v", err)
	}
	if _, err := os.Stat(filepath.Join(into, "PG_VERSION")); err != nil {
		l.t.Errorf("a refused restore has touched the directory: %v", err)
	}
	empty := filepath.Join(l.dir, "empty")
	kit.Check(l.t, os.Mkdir(empty, 0o755))
	o := l.from("good")
	o.Checks = []Assertion{{Name: "none", Database: "postgres", SQL: "SELECT false"}}
	if r, err := l.engine.Restore(ctx, o, empty, nil); err != nil || r.Proof.Verdict != Bad {
		l.t.Errorf("%v: %+v", err, r)
	}
	if left := kit.Must[[]os.DirEntry](l.t)(os.ReadDir(empty)); len(left) > 0 {
		l.t.Errorf("a restore that failed has left %v", left)
	}
	if _, err := os.Stat(empty + ".tablespaces"); !os.IsNotExist(err) {
		l.t.Errorf("a restore that failed has left its tablespaces: %v", err)
	}
}

// serves starts a server on a restored directory, and asks it.
func (l *lab) serves(data, query, want string) {
	l.t.Helper()
	ctx := kit.Context(l.t, kit.Patience)
	s := *l.source
	s.Dir, s.Data = filepath.Dir(data), data
	kit.Check(l.t, os.Chown(s.Dir, int(s.Owner.UID), int(s.Owner.GID)))
	l.t.Cleanup(func() { kit.Check(l.t, s.Kill(context.Background())) })
	kit.Check(l.t, s.Start(ctx, "shared_preload_libraries="))
	if got := kit.Must[string](l.t)(s.SQL(ctx, "postgres", query)); got != want {
		l.t.Errorf("%s: %s, and %s was wanted", query, got, want)
	}
	kit.Check(l.t, s.Stop(ctx))
}

func (l *lab) targetDamaged() {
	path := filepath.Join(l.vaultAt, "feed", "backup", "good", objectPack)
	content := kit.Must[[]byte](l.t)(os.ReadFile(path))
	spoil := func(b []byte, words ...string) {
		l.t.Helper()
		kit.Check(l.t, os.WriteFile(path, b, 0o600))
		evidence(l.t, l.test(l.from("good"), Bad).Proof, words...)
	}
	flipped := bytes.Clone(content)
	flipped[len(flipped)/2] ^= 1
	spoil(flipped, "SHA-256")
	spoil(content[:len(content)-1000], "SHA-256")
	kit.Check(l.t, os.Remove(path))
	evidence(l.t, l.test(l.from("good"), Bad).Proof, "lost")
	kit.Check(l.t, os.WriteFile(path, content, 0o600))
	l.test(l.from("good"), Good)
	evidence(l.t, l.test(l.from("never"), Bad).Proof, "lost")
}

func (l *lab) assertions() {
	l.engine.Limits.Assertion = 500 * time.Millisecond
	defer func() { l.engine.Limits.Assertion = 0 }()
	cases := []struct {
		sql     string
		verdict Verdict
		words   string
	}{
		{"SELECT true", Good, ""},
		{"SELECT count(*) = 1 FROM secret", Good, ""}, // row security hides it from others
		{"SELECT false", Bad, "false"},
		{"SELECT NULL::bool", Bad, "NULL"},
		{"SELECT true WHERE false", Bad, "no row"},
		{"SELECT count(*) > 0 FROM dropped", Bad, "does not exist"},
		{"SELECT true FROM posts", Unverified, "one row"},
		{"SELECT 1", Unverified, "one row"},
		{"SELEC true", Unverified, "syntax"},
		{"SELECT pg_sleep(100) IS NULL", Unverified, "no answer"},
		{"DELETE FROM posts RETURNING true", Unverified, "read-only"},
		{"SELECT true; SELECT true", Unverified, "multiple commands"},
		{"COMMIT", Unverified, "one row"},
		{"SELECT pg_read_file('PG_VERSION') IS NOT NULL", Unverified, "denied"},
	}
	var checks []Assertion
	for n, c := range cases {
		checks = append(checks, Assertion{Name: fmt.Sprint(n), Database: "postgres", SQL: c.sql})
	}
	checks = append(checks, Assertion{Name: "nowhere", Database: "nowhere", SQL: "SELECT true"})
	r := l.make(l.order("asked", checks...), Bad)
	n := 0
	for _, c := range r.Proof.Checks {
		if c.Kind != CheckAssertion || c.Name == "nowhere" {
			continue
		}
		if want := cases[n]; c.Verdict != want.verdict || !strings.Contains(c.Detail, want.words) {
			l.t.Errorf("%s: %+v", want.sql, c)
		}
		n++
	}
	if n != len(cases) {
		l.t.Errorf("%d of %d assertions have a result", n, len(cases))
	}
	r = l.make(l.order("mistaken", postsHold, Assertion{Name: "m", Database: "postgres", SQL: "SELEC"}), Unverified)
	evidence(l.t, r.Proof, "syntax")
}

// spot is where damages strike.
func (l *lab) spot() damage.Spot {
	path := func(what string) string { return l.sql("SELECT pg_relation_filepath(" + what + ")") }
	var xid uint32
	if _, err := fmt.Sscan(l.sql("SELECT xmin FROM posts WHERE id = 4000"), &xid); err != nil {
		l.t.Fatal(err)
	}
	return damage.Spot{Heap: path("'posts'"), Index: path("'posts_pkey'"), Block: 1, Other: 2,
		TOAST: path("(SELECT reltoastrelid FROM pg_class WHERE relname = 'wide')"), XID: xid}
}

// during calls f once when a step has ended, at its last word of progress.
func (l *lab) during(step StepName, ready func() bool, f func()) func(Progress) {
	var done atomic.Bool
	return func(p Progress) {
		if p.Step == step && ready() && done.CompareAndSwap(false, true) {
			f()
		}
	}
}

// copied tells whether pg_basebackup has ended: it writes the manifest last.
func (l *lab) copied() bool {
	_, err := os.Stat(filepath.Join(l.engine.Staging, runFolder, copyFolder, manifestName))
	return err == nil
}

// damagedCopy: what the disk of staging does to a copy is found by the manifest, whatever it is.
func (l *lab) damagedCopy() {
	ctx := kit.Context(l.t, 2*time.Minute)
	spot := l.spot()
	work := filepath.Join(l.dir, "copies")
	kit.Check(l.t, os.Mkdir(work, 0o755))
	saved := false
	data := filepath.Join(l.engine.Staging, runFolder, copyFolder)
	r, err := l.engine.Make(ctx, l.order("spoiled"), l.during(StepTake, l.copied, func() {
		kit.Check(l.t, damage.CopyData(ctx, filepath.Dir(data), filepath.Join(work, "0")))
		d := kit.Must[damage.Data](l.t)(damage.Open(data))
		spot.Old = bytes.Repeat([]byte{0}, d.Layout.Size)
		kit.Check(l.t, d.Edit(spot.Heap, 1, true, func(p []byte) { p[len(p)-1] ^= 1 }))
		saved = true
	}))
	if err != nil || !saved || r.Proof.Verdict != Bad || l.released("spoiled") {
		l.t.Fatalf("%v, %v: %+v", err, saved, r)
	}
	evidence(l.t, r.Proof, "manifest", spot.Heap, "checksum")
	pristine, oid := treeIn(filepath.Join(work, "0"), r.Spaces), r.Spaces[0].OID
	link0 := filepath.Join(pristine.data, link(oid))
	kit.Check(l.t, os.Remove(link0), os.Symlink(pristine.spaces[oid], link0))
	check := func(t tree) error {
		m, err := readTreeManifest(t.data)
		if err != nil {
			return err
		}
		return verify(ctx, t, m, 0, &watch{began: time.Now()})
	}
	kit.Check(l.t, check(pristine))
	skip := map[damage.Kind]bool{damage.TruncatedMiddle: true, damage.MissingMiddle: true} // there is one segment only
	for n, d := range damage.All {
		if skip[d.Kind] {
			continue
		}
		kit.Check(l.t, backUp(filepath.Join(work, "saved"), pristine.data, spot))
		opened := kit.Must[damage.Data](l.t)(damage.Open(pristine.data))
		if err := d.Do(opened, spot); err != nil {
			l.t.Fatalf("%s: %v", d.Kind, err)
		}
		found := (*finding)(nil)
		if err := check(pristine); !errors.As(err, &found) || found.kind != CheckManifest || found.text == "" {
			l.t.Errorf("%d: %s: %v", n, d.Kind, err)
		}
		kit.Check(l.t, backUp(pristine.data, filepath.Join(work, "saved"), spot))
	}
	kit.Check(l.t, check(pristine))
	other := filepath.Join(pristine.data, "base", "more")
	kit.Check(l.t, os.WriteFile(other, nil, 0o600))
	if err := check(pristine); err == nil || !strings.Contains(err.Error(), "base/more is in the copy and not in the manifest") {
		l.t.Errorf("a file too many: %v", err)
	}
	kit.Check(l.t, os.Remove(other), os.Symlink("/etc", other))
	if err := check(pristine); err == nil || !strings.Contains(err.Error(), "neither a file nor a folder") {
		l.t.Errorf("a link: %v", err)
	}
	kit.Check(l.t, os.Remove(other), os.Remove(link0), os.Symlink("/etc", link0))
	if err := check(pristine); err == nil || !strings.Contains(err.Error(), "out of the copy") {
		l.t.Errorf("a tablespace elsewhere: %v", err)
	}
	s := scratch{tree: pristine, owner: l.source.Owner, conf: work}
	if err := s.prepare(replay{}); err == nil || !strings.Contains(err.Error(), "leaves the scratch instance") {
		l.t.Errorf("a tablespace elsewhere is started: %v", err)
	}
	raw := kit.Must[[]byte](l.t)(os.ReadFile(filepath.Join(pristine.data, manifestName)))
	raw[len(raw)/2] ^= 1
	kit.Check(l.t, os.WriteFile(filepath.Join(pristine.data, manifestName), raw, 0o600))
	if err := check(pristine); !errors.Is(err, errManifest) {
		l.t.Errorf("a damaged manifest: %v", err)
	}
}

// backUp copies the files that damages change, and removes none.
func backUp(to, from string, s damage.Spot) error {
	for _, name := range []string{s.Heap, s.Heap + "_vm", s.Index, s.TOAST, "pg_xact/0000", "global/pg_control"} {
		b, err := os.ReadFile(filepath.Join(from, name))
		if err == nil {
			err = os.MkdirAll(filepath.Dir(filepath.Join(to, name)), 0o700)
		}
		if err == nil {
			err = os.WriteFile(filepath.Join(to, name), b, 0o600)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// pgWAL is an archive that has what a server's pg_wal has, but for some files.
type pgWAL struct {
	dir     string
	lacks   string
	failure error
	asked   []string
}

func (w *pgWAL) Fetch(_ context.Context, name string, to io.Writer) error {
	w.asked = append(w.asked, name)
	if w.failure != nil {
		return w.failure
	}
	b, err := os.ReadFile(filepath.Join(w.dir, name))
	if os.IsNotExist(err) || name == w.lacks {
		return ErrNotThere
	}
	if err == nil {
		_, err = to.Write(b)
	}
	return err
}

// now is the end of what the source has written, in a segment that is complete.
func (l *lab) now() (at platform.LSN) {
	l.t.Helper()
	kit.Check(l.t, at.UnmarshalText([]byte(l.sql("SELECT pg_current_wal_insert_lsn()"))))
	return at
}

func (l *lab) archive() {
	wal := &pgWAL{dir: filepath.Join(l.source.Data, "pg_wal")}
	l.sql("INSERT INTO posts SELECT n, 'later' FROM generate_series(10001, 10100) n")
	middle := l.now()
	l.sql("INSERT INTO posts SELECT n, 'latest' FROM generate_series(20001, 20100) n")
	l.sql("SELECT pg_switch_wal()", "CREATE TABLE t1 ()", "SELECT pg_switch_wal()", "CREATE TABLE t2 ()")
	end := l.now()
	count := func(n int) []Assertion {
		return []Assertion{{Name: "count", Database: "postgres", SQL: fmt.Sprintf("SELECT count(*) = %d FROM posts", n)}, farHolds}
	}
	o := l.from("good")
	o.WAL, o.Until, o.Checks = wal, Until{LSN: middle}, count(4100)
	r := l.test(o, Good)
	if r.Proof.Timeline != 2 || r.Proof.Reached < middle-100 || r.Proof.Reached > middle || r.Proof.LastCommit == nil {
		l.t.Errorf("%+v", r.Proof)
	}
	o.Until, o.Checks = Until{LSN: end, End: true}, count(4200)
	if r := l.test(o, Good); r.Proof.Reached < end {
		l.t.Errorf("%+v", r.Proof)
	}
	into := filepath.Join(l.dir, "r2", "data")
	kit.Check(l.t, os.Mkdir(filepath.Dir(into), 0o755))
	if r, err := l.engine.Restore(kit.Context(l.t, time.Minute), o, into, nil); err != nil || r.Proof.Verdict != Good {
		l.t.Fatalf("%v: %+v", err, r)
	}
	l.serves(into, "SELECT count(*) FROM posts", "4200")

	wal.lacks = l.sql("SELECT pg_walfile_name(pg_current_wal_lsn() - 1024 * 1024::numeric)")
	evidence(l.t, l.test(o, Bad).Proof, "ends too early", end.String())
	wal.lacks, wal.failure = "", errors.New("no route to the archive")
	evidence(l.t, l.test(o, Unverified).Proof, "no route to the archive")
	o.WAL, o.Until = nil, Until{LSN: end}
	evidence(l.t, l.test(o, Unverified).Proof, "needs the archive")
	o.WAL, o.Until = wal, Until{LSN: 1}
	evidence(l.t, l.test(o, Unverified).Proof, "an older backup")
}

// tablespaceInArchive: replay of a record that creates a tablespace names a folder of the running member. It must not be touched.
func (l *lab) tablespaceInArchive() {
	if os.Geteuid() != 0 {
		l.t.Skip("see unprivileged")
	}
	space := filepath.Join(l.dir, "p", "later")
	kit.Check(l.t, os.MkdirAll(space, 0o700), os.Chown(space, int(l.source.Owner.UID), int(l.source.Owner.GID)))
	at, untouched := l.usedLater(space)
	o := l.from("good")
	o.WAL, o.Until = &pgWAL{dir: filepath.Join(l.source.Data, "pg_wal")}, Until{LSN: at, End: true}
	evidence(l.t, l.test(o, Unverified).Proof, "the WAL creates a tablespace", space)
	untouched()
}

// usedLater creates a tablespace and a table in it, whose page on the disk is older than WAL. untouched checks that it still is, and drops
// both.
func (l *lab) usedLater(space string) (end platform.LSN, untouched func()) {
	l.t.Helper()
	l.admin("CREATE TABLESPACE later LOCATION '" + space + "'")
	l.sql("CREATE TABLE elsewhere (id int) TABLESPACE later", "INSERT INTO elsewhere VALUES (1)", "CHECKPOINT")
	path := filepath.Join(l.source.Data, l.sql("SELECT pg_relation_filepath('elsewhere')"))
	before := kit.Must[[]byte](l.t)(os.ReadFile(path))
	l.sql("UPDATE elsewhere SET id = 2", "SELECT pg_switch_wal()", "CREATE TABLE mark ()", "DROP TABLE mark")
	return l.now(), func() {
		l.t.Helper()
		if after := kit.Must[[]byte](l.t)(os.ReadFile(path)); !bytes.Equal(before, after) {
			l.t.Error("the running member's tablespace was written to")
		}
		l.sql("DROP TABLE elsewhere")
		l.admin("DROP TABLESPACE later")
	}
}

func (l *lab) refused() {
	lock := kit.Must[*os.File](l.t)(lockStaging(l.engine.Staging, true))
	r, err := l.engine.Make(l.t.Context(), l.order("second"), nil)
	if !errors.Is(err, ErrBusy) || r.Proof.Verdict != Unverified {
		l.t.Errorf("two at once: %v: %+v", err, r)
	}
	kit.Check(l.t, Sweep(l.engine.Staging), lock.Close())
	if _, err := l.engine.Make(l.t.Context(), l.order("../x"), nil); err == nil {
		l.t.Error("an id that leads elsewhere is taken")
	}
	foreign := *l.engine
	foreign.Staging = filepath.Join(l.dir, "foreign")
	kit.Check(l.t, os.MkdirAll(filepath.Join(foreign.Staging, runFolder, "x"), 0o755))
	if _, err := foreign.Make(l.t.Context(), l.order("x"), nil); err == nil || !strings.Contains(err.Error(), "not Mainstay's") {
		l.t.Errorf("a folder that is not ours: %v", err)
	}
	kit.Check(l.t, Sweep(foreign.Staging))
	if _, err := os.Stat(filepath.Join(foreign.Staging, runFolder, "x")); err != nil {
		l.t.Errorf("a folder that is not ours is gone: %v", err)
	}
	full := l.order("full-instead")
	full.Kind, full.Targets = Incremental, nil
	if r := l.make(full, Good); r.Kind != Full || r.FullFor == "" {
		l.t.Errorf("%+v", r)
	}
}

// noRoom: staging that is too small is refused, and one that fills up is cleared.
func (l *lab) noRoom() {
	if os.Geteuid() != 0 {
		l.t.Skip("needs a mount")
	}
	small := *l.engine
	small.Staging = filepath.Join(l.dir, "small")
	kit.Check(l.t, os.Mkdir(small.Staging, 0o711))
	for _, c := range []struct {
		mb   int
		want string
	}{{8, "give it room"}, {19, "no space left"}} {
		kit.Check(l.t, unix.Mount("tmpfs", small.Staging, "tmpfs", 0, fmt.Sprintf("size=%dm,mode=0711", c.mb)))
		r, err := small.Make(kit.Context(l.t, time.Minute), l.order("small"), nil)
		has, wrong := free(small.Staging)
		kit.Check(l.t, wrong, unix.Unmount(small.Staging, 0))
		named := strings.Contains(strings.ToLower(r.Proof.Evidence), c.want)
		if err == nil || r.Proof.Verdict != Unverified || !named || has < int64(c.mb-1)<<20 {
			l.t.Errorf("%d MB: %v, %d MB free after it: %+v", c.mb, err, has>>20, r)
		}
	}
}
