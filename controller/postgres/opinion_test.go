package postgres

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"mainstay/controller/platform"
)

var damages = flag.Int("damages", 6, "damage the end of WAL so many times, in each of two ways")

// TestSecondOpinion compares what this process reads of control files and WAL with what pg_controldata and pg_waldump print,
// for every version that is installed: on stopped, killed, recycled, promoted and damaged data.
func TestSecondOpinion(t *testing.T) {
	for _, b := range installations(t) {
		t.Run(fmt.Sprint(b.Major), func(t *testing.T) {
			l := &lab{t: t, programs: b, owner: testOwner(t)}
			p := l.initialised()
			l.agree(p, "a new database", clean)
			l.killedUnderLoad(p)
			l.damaged(p)
			l.otherVersions(p)
			l.switched(p)
			l.recycled(p)
			s := l.standbyStopped(p)
			c := l.copyOf(s, "c")
			l.overwritten(p, s)
			l.promoted(p, s, c)
		})
	}
}

// installations are those of the usual places and of MAINSTAY_PG_BINS, a list of directories of programs.
func installations(t *testing.T) (all []Binaries) {
	t.Helper()
	need := []Binaries{needPostgres(t)}
	for _, dir := range filepath.SplitList(os.Getenv("MAINSTAY_PG_BINS")) {
		need = append(need, must(inspectBinaries(dir)))
	}
	for _, dir := range must(filepath.Glob("/usr/lib/postgresql/*/bin")) {
		b, err := inspectBinaries(dir)
		if err != nil {
			t.Logf("%s is not used: %v", dir, err)
			continue
		}
		need = append(need, b)
	}
	for _, b := range need {
		if !slices.Contains(all, b) {
			all = append(all, b)
		}
	}
	return all
}

// lab makes data with plain servers, without Mainstay's settings.
type lab struct {
	t        *testing.T
	programs Binaries
	owner    Owner
}

// segmentOfLab is small, so that records span segments, and segments are recycled soon.
const segmentOfLab = 1 << 20

// plain is an instance whose directory goes away with the test.
func (l *lab) plain(name string) *Server {
	l.t.Helper()
	dir := must(os.MkdirTemp("", "mst"))
	check(l.t, errors.Join(os.Chmod(dir, 0o755), os.Chown(dir, int(l.owner.UID), int(l.owner.GID))))
	i := &Server{Member: name, Data: filepath.Join(dir, "data"), Socket: dir, Log: filepath.Join(dir, "log"), Port: 5432,
		Binaries: l.programs, Owner: l.owner}
	l.t.Cleanup(func() {
		if l.t.Failed() {
			log, _ := os.ReadFile(i.Log)
			l.t.Logf("log of %s:\n%s", name, log)
		}
		kill(l.t, i)
		if err := os.RemoveAll(dir); err != nil {
			l.t.Error(err)
		}
	})
	return i
}

func (l *lab) initialised() *Server {
	l.t.Helper()
	i := l.plain("p")
	_, err := i.run(testContext(l.t), "initdb", "-N", "-k", "-A", "trust", "-U", "postgres", "--locale=C", "--wal-segsize=1", "-D", i.Data)
	check(l.t, err)
	return i
}

// copyOf copies a stopped server's data.
func (l *lab) copyOf(from *Server, name string) *Server {
	l.t.Helper()
	i := l.plain(name)
	out, err := exec.CommandContext(testContext(l.t), "cp", "-a", from.Data, i.Data).CombinedOutput()
	if err != nil {
		l.t.Fatalf("%v: %s", err, out)
	}
	return i
}

// run starts a server, and waits until it answers; with an upstream as a standby.
func (l *lab) run(i, upstream *Server) {
	l.t.Helper()
	args := []string{"-D", i.Data, "-k", i.Socket}
	for _, s := range []string{"listen_addresses=", "fsync=off", "checkpoint_timeout=1h", "wal_retrieve_retry_interval=50ms"} {
		args = append(args, "-c", s)
	}
	if upstream != nil {
		check(l.t, i.restoreSignal())
		args = append(args, "-c", "primary_conninfo=host="+upstream.Socket+" port=5432 user=postgres")
	}
	log := must(os.OpenFile(i.Log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644))
	defer log.Close()
	cmd := exec.Command(filepath.Join(i.Binaries.Dir, "postgres"), args...)
	cmd.Dir, cmd.Env, cmd.Stdout, cmd.Stderr = "/", i.Owner.environment(), log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Credential: i.Owner.Credential()}
	check(l.t, cmd.Start())
	go cmd.Wait() // its end shows in Running
	eventually(l.t, i.Member+" to answer", func() bool { return i.exec(testContext(l.t), "SELECT 1") == nil })
}

func (l *lab) stop(i *Server) {
	l.t.Helper()
	check(l.t, i.StopFast(testContext(l.t)))
	eventually(l.t, "the stop of "+i.Member, func() bool { _, _, ok := i.Running(); return !ok })
}

func (l *lab) do(i *Server, statements ...string) {
	l.t.Helper()
	for _, s := range statements {
		if err := i.exec(testContext(l.t), s); err != nil {
			l.t.Fatalf("%s: %v", s, err)
		}
	}
}

// message is a statement that writes one record of so many bytes; only the next commit makes it durable.
func message(bytes int) string {
	return fmt.Sprintf("SELECT pg_logical_emit_message(false, 'big', repeat('x', %d))", bytes)
}

// caughtUp waits until the standby has replayed what the primary has written.
func (l *lab) caughtUp(standby, primary *Server) {
	l.t.Helper()
	p := mustStatus(l.t, primary)
	eventually(l.t, standby.Member+" to catch up", func() bool {
		s, err := standby.Status(testContext(l.t))
		return err == nil && s.Replay >= p.Flush
	})
}

// inProcess has no programs at all.
func inProcess(t *testing.T, i *Server) *Server {
	t.Helper()
	bare := *i
	bare.Binaries.Dir = filepath.Join(i.Socket, "no programs here")
	return &bare
}

// dumped is the end of WAL by pg_waldump, and the timeline.
func dumped(ctx context.Context, i *Server, c Control) (Position, error) {
	line, from, err := i.wal().newest(c)
	if err != nil {
		return Position{}, err
	}
	end, err := i.endOn(ctx, c, line, from)
	if header := headerAt(end, c); end%platform.LSN(c.BlockSize) == header {
		end -= header // on a page without a record pg_waldump looks for one behind the header
	}
	return Position{LSN: end, Timeline: line}, err
}

// headerAt is the size of a page's header in bytes.
func headerAt(at platform.LSN, c Control) platform.LSN {
	if uint64(at)%c.SegmentSize < c.BlockSize {
		return longHeader
	}
	return shortHeader
}

const clean, crashed = true, false

// agree compares both opinions of a stopped server's data.
func (l *lab) agree(i *Server, when string, wantClean bool) (Control, Position) {
	l.t.Helper()
	ctx := testContext(l.t)
	c, err := inProcess(l.t, i).ControlData(ctx)
	check(l.t, err)
	printed, err := i.controlByProgram(ctx)
	check(l.t, err)
	if c != printed || c.Clean() != wantClean {
		l.t.Errorf("%s: control data\n%+v, pg_controldata says\n%+v", when, c, printed)
	}
	p, err := inProcess(l.t, i).EndOfWAL(ctx)
	check(l.t, err)
	second, err := dumped(ctx, i, c)
	check(l.t, err)
	if !p.Known || p.LSN != second.LSN || p.Timeline != second.Timeline {
		l.t.Errorf("%s: the end of WAL is %+v, pg_waldump says %s on timeline %d", when, p, second.LSN, second.Timeline)
	}
	return c, p
}

func (l *lab) killedUnderLoad(p *Server) {
	l.run(p, nil)
	l.do(p, "CREATE TABLE public.t (n int, filler text)", "CHECKPOINT", message(3<<20), message(100), message(9000))
	load, ctx := make(chan error, 1), testContext(l.t)
	go func() {
		for {
			if err := p.exec(ctx, "INSERT INTO public.t SELECT n, repeat('x', n) FROM generate_series(1, 500) AS n"); err != nil {
				load <- err
				return
			}
		}
	}()
	eventually(l.t, "some load", func() bool { return rows(l.t, p, 1) > 5 })
	for range 20 { // the checkpointer overwrites what is read here
		_, err := inProcess(l.t, p).ControlData(testContext(l.t))
		check(l.t, err)
	}
	kill(l.t, p)
	<-load
	l.agree(p, "killed under load", crashed)
}

// damaged flips bits of the last segments and cuts them off: the end is never past the damage, nor past pg_waldump's.
func (l *lab) damaged(p *Server) {
	ctx := testContext(l.t)
	c, whole := l.agree(p, "before the damage", crashed)
	random := rand.New(rand.NewPCG(9, uint64(whole.LSN)))
	agreed := 0
	for n := range 2 * *damages {
		at := c.Redo + platform.LSN(random.Uint64N(uint64(whole.LSN-c.Redo)+2*uint64(c.BlockSize)))
		if n%4 > 1 { // near the end
			at = whole.LSN - platform.LSN(random.Uint64N(3*uint64(c.BlockSize)))
		}
		last := segment{1, uint64(whole.LSN-1) / c.SegmentSize} // the next may not be there
		at = min(at, platform.LSN((last.number+1)*c.SegmentSize-1))
		s := segment{1, uint64(at) / c.SegmentSize}
		path, in := filepath.Join(p.wal().dir(), s.name(c.SegmentSize)), int(uint64(at)%c.SegmentSize)
		before := must(os.ReadFile(path))
		after, flip := slices.Clone(before), byte(1)<<random.IntN(8)
		what := fmt.Sprintf("the bits %02x of the byte at %s flipped", flip, at)
		if after[in] ^= flip; n%2 == 1 {
			after, what = before[:in], fmt.Sprintf("%s cut off at %s", filepath.Base(path), at)
		}
		check(l.t, os.WriteFile(path, after, 0o600))
		if l.checkDamaged(ctx, p, c, what, at, n%2 == 1, whole) {
			agreed++
		}
		check(l.t, os.WriteFile(path, before, 0o600))
		ctx = testContext(l.t)
	}
	l.t.Logf("%d damages, the same end by pg_waldump %d times", 2**damages, agreed)
	if agreed < *damages {
		l.t.Errorf("of %d damages the end was the same as by pg_waldump %d times only", 2**damages, agreed)
	}
	l.agree(p, "after the damage", crashed)
}

// checkDamaged tells whether both opinions were the same. pg_waldump has none where it cannot open a file, and a looser one of
// the identity in a segment's header.
func (l *lab) checkDamaged(ctx context.Context, p *Server, c Control, what string, at platform.LSN, cut bool, whole Position) bool {
	l.t.Helper()
	got, err := inProcess(l.t, p).EndOfWAL(ctx)
	if none := (*NoWALError)(nil); errors.As(err, &none) {
		got = Position{LSN: c.Redo}
	} else if err != nil {
		l.t.Fatalf("%s: %v", what, err)
	}
	if got.LSN > whole.LSN || cut && got.LSN > at {
		l.t.Errorf("%s: the end is %s, it was %s", what, got.LSN, whole.LSN)
	}
	second, err := dumped(ctx, p, c)
	if err != nil {
		if none := (*NoWALError)(nil); !errors.As(err, &none) && !strings.Contains(err.Error(), "pg_waldump") {
			l.t.Fatalf("%s: %v", what, err)
		}
		return false
	}
	if got.LSN > second.LSN {
		l.t.Errorf("%s: the end is %s, pg_waldump says %s", what, got.LSN, second.LSN)
	}
	return got.LSN == second.LSN
}

// otherVersions: what is not known here is left to the programs.
func (l *lab) otherVersions(p *Server) {
	ctx := testContext(l.t)
	_, want := l.agree(p, "before other versions", crashed)
	path := filepath.Join(p.Data, "PG_VERSION")
	before := must(os.ReadFile(path))
	check(l.t, os.WriteFile(path, []byte("99\n"), 0o600))
	if got, err := p.EndOfWAL(ctx); err != nil || got.Timeline != want.Timeline || got.LSN < want.LSN || got.LSN > want.LSN+longHeader ||
		!got.Known {
		l.t.Errorf("of an unknown version the end of WAL is %+v (%v), want %+v", got, err, want)
	}
	if _, err := inProcess(l.t, p).EndOfWAL(ctx); err == nil {
		l.t.Error("WAL of an unknown version was read without a program")
	}
	check(l.t, os.WriteFile(path, before, 0o600))

	path = filepath.Join(p.Data, "global", "pg_control")
	before = must(os.ReadFile(path))
	for _, spoil := range []int{8, 60} { // the version, and the data
		after := slices.Clone(before)
		after[spoil] ^= 0xFF
		check(l.t, os.WriteFile(path, after, 0o600))
		if _, err := p.ControlData(ctx); !errors.Is(err, ErrCorruptControl) {
			l.t.Errorf("control file with byte %d spoilt: %v", spoil, err)
		}
		_, err := inProcess(l.t, p).ControlData(ctx)
		if asked := errors.As(err, new(*CommandError)); asked != (spoil == 8) || err == nil {
			l.t.Errorf("control file with byte %d spoilt, without programs: %v", spoil, err)
		}
	}
	check(l.t, os.WriteFile(path, before, 0o600))
}

// switched: behind a switch record the rest of the segment is void.
func (l *lab) switched(p *Server) {
	l.run(p, nil)
	l.do(p, "INSERT INTO public.t VALUES (2)", "SELECT pg_switch_wal()")
	kill(l.t, p)
	if _, end := l.agree(p, "killed after a switch of segments", crashed); end.LSN%segmentOfLab != 0 {
		l.t.Errorf("after a switch WAL ends at %s", end.LSN)
	}
}

// recycled: segments behind the end still hold older WAL.
func (l *lab) recycled(p *Server) {
	l.run(p, nil)
	l.do(p, message(12<<20), "SELECT pg_switch_wal()", "CHECKPOINT", "ALTER SYSTEM SET wal_keep_size = '64MB'",
		"INSERT INTO public.t VALUES (3)")
	kill(l.t, p)
	_, end := l.agree(p, "killed with recycled segments", crashed)
	recycled := 0
	for _, s := range must(p.wal().segments(segmentOfLab)) {
		if s.number > uint64(end.LSN)/segmentOfLab {
			recycled++
		}
	}
	if recycled == 0 {
		l.t.Error("no segment was recycled")
	}
}

// standbyStopped makes a standby of a copy, and stops it both ways.
func (l *lab) standbyStopped(p *Server) *Server {
	l.run(p, nil)
	l.stop(p)
	l.agree(p, "stopped", clean)
	s := l.copyOf(p, "s")
	l.run(p, nil)
	l.run(s, p)
	l.do(p, message(2<<20), "INSERT INTO public.t VALUES (4)")
	l.caughtUp(s, p)
	kill(l.t, s)
	l.agree(s, "a standby killed", crashed)
	l.run(s, p)
	l.caughtUp(s, p)
	l.stop(s)
	l.agree(s, "a standby stopped", clean)
	return s
}

// overwritten: a record whose end a crash has lost is replaced when the primary starts again, and its standby passes it.
func (l *lab) overwritten(p, s *Server) {
	l.do(p, message(3<<20), "INSERT INTO public.t VALUES (5)")
	kill(l.t, p)
	_, end := l.agree(p, "killed behind a record of three segments", crashed)
	for n := range uint64(2) {
		last := segment{1, uint64(end.LSN)/segmentOfLab - n}
		check(l.t, os.Remove(filepath.Join(p.wal().dir(), last.name(segmentOfLab))))
	}
	l.agree(p, "with a record cut off", crashed)
	l.run(p, nil)
	l.do(p, "INSERT INTO public.t VALUES (6)")
	l.run(s, p)
	l.caughtUp(s, p)
	kill(l.t, s)
	c, _ := l.agree(s, "a standby killed behind a record that replaces another", crashed)
	found := false
	_, err := s.dump(testContext(l.t), 1, c.Redo, func(r record) { found = found || strings.HasPrefix(r.desc, "OVERWRITE_CONTRECORD") })
	check(l.t, err)
	if !found {
		l.t.Error("no record was replaced")
	}
}

// promoted: WAL goes over to another timeline, on the new primary and on a standby whose last checkpoint is of the old one.
func (l *lab) promoted(p, s, c *Server) {
	l.run(s, p)
	l.caughtUp(s, p)
	l.stop(p)
	l.do(s, "SELECT pg_promote()", "INSERT INTO public.t VALUES (7)")
	kill(l.t, s)
	if _, end := l.agree(s, "killed after its promotion", crashed); end.Timeline != 2 {
		l.t.Errorf("promoted to timeline %d", end.Timeline)
	}
	l.run(s, nil)
	l.run(c, s)
	l.do(s, message(1<<20), "INSERT INTO public.t VALUES (8)")
	l.caughtUp(c, s)
	kill(l.t, c)
	if control, end := l.agree(c, "a standby killed behind a change of timeline", crashed); control.Timeline != 1 || end.Timeline != 2 {
		l.t.Errorf("its checkpoint is of timeline %d, its WAL of %d", control.Timeline, end.Timeline)
	}
}
