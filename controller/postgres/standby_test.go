package postgres

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"mainstay/controller/platform"
)

// TestStandby covers what a replica goes through besides a failover: a position after restart, a wanted delay, a failed promotion's
// reserved numbers, blocked replay, settings overridden by ALTER SYSTEM.
func TestStandby(t *testing.T) {
	ca := newAuthority(t)
	a := newPrimary(t, ca, "feed-e1")
	b, s := newStandby(t, ca, "feed-w1", a)
	t.Run("override", func(t *testing.T) { overridden(t, b, s) })
	t.Run("blocked", func(t *testing.T) { blocked(t, a, b, s) })
	t.Run("frozen", func(t *testing.T) { frozen(t, a, b, s) })
	t.Run("restart", func(t *testing.T) { restarted(t, a, b, s) })
	t.Run("restored", func(t *testing.T) { restored(t, a, b, s) })
	t.Run("delayed", func(t *testing.T) { delayed(t, a, b, s) })
	t.Run("clean stop", func(t *testing.T) { cleanStop(t, a) })
	t.Run("let go of", func(t *testing.T) { letGo(t, b, s) })
	t.Run("no next segment", func(t *testing.T) { noNextSegment(t, a) })
}

// letGo: a standby whose list nobody satisfies streams on with the same settings but for that, and if it is promoted by hand its
// commits do not wait.
func letGo(t *testing.T, b *Server, s Settings) {
	ctx := testContext(t)
	s.SyncNames = `ANY 1 ("mainstay_not_primary")`
	check(t, b.WriteSettings(ctx, s))
	check(t, b.Reload(ctx))
	check(t, b.Loaded(ctx, "synchronous_standby_names", s.SyncNames))
	check(t, b.EmptySyncNames(ctx))
	check(t, b.Reload(ctx))
	check(t, b.Loaded(ctx, "synchronous_standby_names", ""))
	check(t, b.Loaded(ctx, "primary_conninfo", s.PrimaryConnInfo))
	check(t, b.Loaded(ctx, "primary_slot_name", s.PrimarySlot))
	check(t, b.exec(ctx, "SELECT pg_promote()"))
	insert(t, b, 77)
}

// noNextSegment: WAL that ends with its segment, where the next one is not there, has an end as any other.
func noNextSegment(t *testing.T, a *Server) {
	ctx := testContext(t)
	start(t, a, true)
	check(t, a.exec(ctx, "CHECKPOINT"))
	check(t, a.exec(ctx, "SELECT pg_switch_wal()"))
	kill(t, a)
	c, err := a.ControlData(ctx)
	check(t, err)
	all, err := a.wal().segments(c.SegmentSize)
	check(t, err)
	for _, s := range all {
		if s.number > uint64(c.Redo)/c.SegmentSize {
			check(t, os.Remove(filepath.Join(a.wal().dir(), s.name(c.SegmentSize))))
		}
	}
	end, err := a.EndOfWAL(ctx)
	check(t, err)
	if want := platform.LSN((uint64(c.Redo)/c.SegmentSize + 1) * c.SegmentSize); !end.Known || end.LSN != want {
		t.Errorf("end of WAL %+v, want %s", end, want)
	}
}

// overridden: a seal must not believe a file that ALTER SYSTEM wins over; it removes what that has set.
func overridden(t *testing.T, b *Server, s Settings) {
	ctx := testContext(t)
	check(t, b.AlterSystem(ctx, map[string]string{"primary_conninfo": s.PrimaryConnInfo}))
	_, _, err := b.Seal(ctx, s)
	check(t, err)
	check(t, b.Loaded(ctx, "primary_conninfo", ""))
	if raw := must(b.Owner.readFile(filepath.Join(b.Data, autoConf))); strings.Contains(string(raw), "primary_conninfo") {
		t.Fatalf("sealed, but after the next start ALTER SYSTEM would win: %s", raw)
	}
	check(t, b.WriteSettings(ctx, s))
	check(t, b.Reload(ctx))
	check(t, b.Loaded(ctx, "primary_conninfo", s.PrimaryConnInfo))
	streams(t, b)
	if err := b.AlterSystem(ctx, map[string]string{"work_mem": "1MB"}); err == nil {
		t.Fatal("a user's setting was taken for ours")
	}
}

// blocked: a query holds a row that the primary's vacuum removes, and replay is paused besides.
func blocked(t *testing.T, a, b *Server, s Settings) {
	ctx := testContext(t)
	check(t, a.exec(ctx, "CREATE TABLE public.v AS SELECT generate_series(1, 100) AS n"))
	eventually(t, "the table on the standby", func() bool {
		return b.exec(ctx, "SELECT FROM public.v LIMIT 1") == nil
	})
	reader, ended := make(chan struct{}), make(chan error, 1)
	go func() {
		ended <- b.with(ctx, func(c *sql.Conn) error {
			tx, err := c.BeginTx(ctx, &sql.TxOptions{Isolation: sql.LevelRepeatableRead, ReadOnly: true})
			if err != nil {
				close(reader)
				return err
			}
			defer tx.Rollback() // its session is ended by then
			_, err = tx.ExecContext(ctx, "SELECT count(*) FROM public.v")
			close(reader)
			if err != nil {
				return err
			}
			_, err = tx.ExecContext(ctx, "SELECT pg_sleep(60)")
			return err
		})
	}()
	<-reader
	check(t, a.exec(ctx, "DELETE FROM public.v"))
	check(t, a.exec(ctx, "VACUUM public.v"))
	eventually(t, "the conflict", func() bool { return mustStatus(t, b).StartupWait == "RecoveryConflictSnapshot" })
	_, _, err := b.Seal(ctx, s)
	check(t, err)
	check(t, b.exec(ctx, "SELECT pg_wal_replay_pause()"))
	check(t, b.with(ctx, func(c *sql.Conn) error { return unblock(ctx, c, nil) }))
	if err := <-ended; err == nil {
		t.Fatal("the blocking query was not ended")
	}
	st := mustStatus(t, b)
	if st.Paused || st.Receiver != nil {
		t.Fatalf("after unblocking: %+v", st)
	}
	check(t, b.with(ctx, func(c *sql.Conn) error { return replayed(ctx, c) }))
	if p, err := b.Position(ctx); err != nil || !p.Known || p.LSN < mustStatus(t, b).Replay {
		t.Fatalf("position %+v: %v", p, err)
	}
	check(t, b.Quieten(ctx, s))
	check(t, b.Loaded(ctx, "wal_retrieve_retry_interval", "5s"))
	if p, err := b.Position(ctx); err != nil || !p.Known || mustStatus(t, b).Receiver != nil {
		t.Fatalf("position %+v once it is quiet: %v", p, err)
	}
}

// restored: a restore to a point in time has left its target in the files, as backup tools do, and the standby was started with them: one
// target would have it stop, or be promoted by itself, the other end it when it is promoted ("let go of" promotes it). Besides, the
// pid that its crash has left is another server's by now, as after a boot.
func restored(t *testing.T, a, b *Server, s Settings) {
	ctx := testContext(t)
	check(t, b.exec(ctx, "ALTER SYSTEM SET recovery_target = 'immediate'"))
	check(t, b.exec(ctx, "ALTER SYSTEM SET recovery_target_action = 'promote'"))
	conf := filepath.Join(b.Data, "postgresql.conf")
	whole, err := os.ReadFile(conf)
	check(t, err)
	check(t, os.WriteFile(conf, append(whole, "recovery_target_name = 'before the migration'\n"...), 0o600))
	kill(t, b)
	other, _, _ := a.Running()
	left := filepath.Join(b.Data, "postmaster.pid")
	raw, err := os.ReadFile(left)
	check(t, err)
	_, rest, _ := strings.Cut(string(raw), "\n")
	check(t, os.WriteFile(left, fmt.Appendf(nil, "%d\n%s", other, rest), 0o600))
	check(t, b.WriteSettings(ctx, s))
	start(t, b, false)
	streams(t, b)
	check(t, a.exec(ctx, "SELECT pg_switch_wal()"))
	insert(t, a, 4)
	end := mustStatus(t, a).Flush
	eventually(t, "what the primary wrote since to be replayed", func() bool {
		st := mustStatus(t, b)
		return st.InRecovery && st.Replay >= end
	})
}

// delayed: after a restart a replica that replays an hour late would not know the end of its WAL for so long, and whatever needs its
// position would wait (S8). A seal lets it replay at once where the end is not known; a delay that costs nothing stays.
func delayed(t *testing.T, a, b *Server, s Settings) {
	ctx := testContext(t)
	check(t, b.WriteSettings(ctx, s))
	check(t, b.exec(ctx, "ALTER SYSTEM SET recovery_min_apply_delay = '1h'"))
	check(t, b.Reload(ctx))
	streams(t, b)
	insert(t, a, 3)
	end := mustStatus(t, a).Flush
	eventually(t, "the row to be received", func() bool { return mustStatus(t, b).Receive >= end })
	known, _, err := b.Seal(ctx, s)
	check(t, err)
	if !known.Known || known.LSN < end {
		t.Errorf("while its receiver ran: %+v", known)
	}
	shows(t, b, map[string]string{"recovery_min_apply_delay": "1h"})
	kill(t, b)
	start(t, b, false)
	eventually(t, "the delay", func() bool { return mustStatus(t, b).StartupWait == "RecoveryApplyDelay" })
	if p, err := b.Position(ctx); err != nil || p.Known {
		t.Errorf("position %+v, %v: it has replayed less than it has", p, err)
	}
	_, _, err = b.Seal(ctx, s)
	check(t, err)
	eventually(t, "the end of its WAL", func() bool {
		p, err := b.Position(ctx)
		return err == nil && p.Known && p.LSN+8192 >= known.LSN // what was received may end inside a record
	})
}

// frozen: a paused standby replays nothing, and one that is started to hold replays no further than it must. A resume is refused there: it
// would promote. Started without, it replays again.
func frozen(t *testing.T, a, b *Server, s Settings) {
	ctx := testContext(t)
	check(t, b.WriteSettings(ctx, s))
	check(t, b.Reload(ctx))
	streams(t, b)
	has := func(n int) bool {
		return b.exec(ctx, fmt.Sprintf("SELECT 1 / count(*) FROM public.f WHERE n = %d", n)) == nil
	}
	check(t, a.exec(ctx, "CREATE TABLE public.f AS SELECT 1 AS n"))
	eventually(t, "the table on the standby", func() bool { return has(1) })
	check(t, b.PauseReplay(ctx))
	at := mustStatus(t, b)
	check(t, a.exec(ctx, "INSERT INTO public.f VALUES (2)"))
	eventually(t, "the standby to receive it", func() bool { return mustStatus(t, b).Receive >= mustStatus(t, a).Flush })
	if st := mustStatus(t, b); has(2) || st.Replay != at.Replay || st.PauseState != ReplayPaused || st.Held {
		t.Fatalf("paused at %s: %+v", at.Replay, st)
	}
	check(t, b.StopFast(ctx))
	eventually(t, "its end", func() bool { _, _, runs := b.Running(); return !runs })
	held := s
	var err error
	held.Hold, err = b.HoldAt(ctx)
	check(t, err)
	if held.Hold > at.Replay {
		t.Errorf("it would be held at %s, after it was paused at %s", held.Hold, at.Replay)
	}
	check(t, b.WriteSettings(ctx, held))
	start(t, b, false)
	eventually(t, "the hold", func() bool { return mustStatus(t, b).PauseState == ReplayPaused })
	if st := mustStatus(t, b); !has(1) || has(2) || !st.Held || st.Replay > at.Replay {
		t.Errorf("held at %s: %+v", held.Hold, st)
	}
	if err := b.ResumeReplay(ctx); !errors.Is(err, ErrHeld) {
		t.Errorf("a resume: %v", err)
	}
	check(t, b.StopFast(ctx))
	eventually(t, "its end", func() bool { _, _, runs := b.Running(); return !runs })
	check(t, b.WriteSettings(ctx, s))
	start(t, b, false)
	eventually(t, "the row that was kept from it", func() bool { return has(2) })
	check(t, b.PauseReplay(ctx))
	check(t, b.ResumeReplay(ctx))
}

// restarted: reserved numbers do not keep a standby from starting, and its position is read without a receiver.
func restarted(t *testing.T, a, b *Server, s Settings) {
	ctx := testContext(t)
	before, _, err := b.Seal(ctx, s)
	check(t, err)
	check(t, b.PrepareTimeline(ctx, 4, nil))
	var taken *TimelineTakenError
	if err := b.PrepareTimeline(ctx, 3, nil); !errors.As(err, &taken) {
		t.Fatalf("a used number was taken again: %v", err)
	}
	kill(t, b)
	end, err := b.EndOfWAL(ctx)
	check(t, err)
	// What was received may end inside a record, which is no valid WAL yet.
	if !end.Known || end.LSN > before.LSN || end.LSN+8192 < before.LSN {
		t.Fatalf("end of WAL %+v, position before the kill %+v", end, before)
	}
	start(t, b, false)
	if exists(b.wal().historyFile(3)) {
		t.Fatal("reserved history left in a starting standby")
	}
	eventually(t, "a known position", func() bool {
		p, err := b.Position(ctx)
		return err == nil && p.Known && p.LSN == end.LSN
	})
	if st := mustStatus(t, b); st.Receive != 0 {
		t.Fatalf("a receiver ran: %+v", st)
	}
	if _, err := b.Start(ctx, StartOptions{}); !errors.As(err, new(*RunningError)) {
		t.Fatalf("a second start: %v", err)
	}
	sess, err := a.Keep(ctx)
	check(t, err)
	defer sess.Close()
	check(t, sess.AdvanceSlot(ctx, SlotName(b.Member), end.LSN))
	for _, sl := range mustStatus(t, a).Slots {
		if sl.Restart < end.LSN {
			t.Fatalf("slot not advanced to %s: %+v", end.LSN, sl)
		}
	}
}

// cleanStop: the end of WAL is the end of the shutdown checkpoint.
func cleanStop(t *testing.T, a *Server) {
	ctx := testContext(t)
	check(t, a.StopFast(ctx))
	eventually(t, "the stop", func() bool { _, _, ok := a.Running(); return !ok })
	data, err := a.InspectData(ctx)
	check(t, err)
	end, err := a.EndOfWAL(ctx)
	check(t, err)
	if !data.Control.Clean() || !data.StandbySignal || !data.Control.Checksums || !end.Known ||
		end.LSN <= data.Control.Checkpoint || end.LSN > data.Control.Checkpoint+200 {
		t.Fatalf("end %+v, data %+v", end, data)
	}
	d, err := a.CountWAL(ctx, 1, end.LSN)
	check(t, err)
	if d.Bytes != 0 || d.Transactions != 0 {
		t.Fatalf("WAL past the end: %+v", d)
	}
	if _, err := a.CountWAL(ctx, 9, end.LSN); err == nil {
		t.Fatal("a timeline without files counts as nothing to discard")
	}
}

// TestBuildIsWhole: an attempt that dies leaves nothing that could be taken for data, and a retry works.
func TestBuildIsWhole(t *testing.T) {
	i := newServer(t, newAuthority(t), "feed-e1")
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Millisecond)
	defer cancel()
	if err := i.Initialise(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("initialise: %v", err)
	}
	if exists(i.Data) {
		t.Fatal("data after a failed initialise")
	}
	leftover := i.Data + ".mainstay-init-1"
	check(t, os.Mkdir(leftover, 0o700))
	check(t, i.Initialise(testContext(t)))
	if exists(leftover) {
		t.Fatal("what an earlier attempt left is still there")
	}
	data, err := i.InspectData(testContext(t))
	check(t, err)
	if data.State != DataPresent || !data.StandbySignal || data.Major != i.Binaries.Major {
		t.Fatalf("data: %+v", data)
	}
	if err := i.Initialise(testContext(t)); !errors.As(err, new(*DataPresentError)) {
		t.Fatalf("a second initialise: %v", err)
	}
	path, err := i.SetAside(testContext(t), "old")
	check(t, err)
	if !exists(filepath.Join(path, "PG_VERSION")) || exists(i.Data) {
		t.Fatal("not set aside whole")
	}
	check(t, os.Mkdir(i.Data, 0o700))
	check(t, os.WriteFile(filepath.Join(i.Data, "letter"), nil, 0o600))
	if data, err = i.InspectData(testContext(t)); err != nil || data.State != DataForeign {
		t.Fatalf("foreign data: %+v %v", data, err)
	}
	check(t, os.WriteFile(filepath.Join(i.Data, "PG_VERSION"), []byte("12\n"), 0o600))
	if _, err = i.InspectData(testContext(t)); !errors.As(err, new(*VersionError)) {
		t.Fatalf("data of another version: %v", err)
	}
}

// TestAdopt looks at our own cluster as if it were a stranger's.
func TestAdopt(t *testing.T) {
	i := newPrimary(t, newAuthority(t), "feed-e1")
	ctx := testContext(t)
	refusals, facts, err := i.AdoptChecks(ctx)
	check(t, err)
	if len(refusals) != 0 || facts.InRecovery || !facts.Checksums || facts.Timeline != platform.Timeline(1) ||
		facts.ConfigFile != i.userConfig() {
		t.Fatalf("refusals %v, facts %+v", refusals, facts)
	}
	i.Replication = Credentials{User: "nobody"}
	i.Listen = "10.0.0.1"
	if refusals, _, err = i.AdoptChecks(ctx); err != nil || len(refusals) != 3 || !strings.Contains(refusals[0].String(), "listen_addresses") {
		t.Fatalf("refusals where others cannot connect: %v %v", refusals, err)
	}
	i.Listen = "127.0.0.1"
	if refusals, _, err = i.AdoptChecks(ctx); err != nil || len(refusals) != 2 {
		t.Fatalf("refusals for an unknown role: %v %v", refusals, err)
	}
}
