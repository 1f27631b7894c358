package supervisor

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"mainstay/controller/member"
	"mainstay/controller/platform"
	"mainstay/controller/postgres"
	"mainstay/health"
)

// agrees: the controllers would give other data a name whenever they are asked.
func agrees() bool { return true }

// streaming is a ladder whose replica streams, and its slot.
func streaming(t *testing.T) *ladder {
	l := newLadder(t)
	check(t, l.primary.EnsureSlots(l.ctx, []string{postgres.SlotName("feed-e2")}, nil))
	l.begin()
	l.until("the first copy", nil, l.streams)
	l.took("the first copy", 1, 1)
	return l
}

// inVain waits until three starts have ended, and the reason is told. It returns how many there were: on a busy machine a look may end
// after the pause before the next.
func (l *ladder) inVain(why string) (starts int) {
	l.Helper()
	l.until("three starts in vain", agrees, func() bool {
		return l.acts[member.StartStandby] >= 3 && l.m.starts.started == nil && l.m.view.seen.Process == health.ProcessEnded &&
			strings.Contains(l.m.activity.fault, why)
	})
	return l.acts[member.StartStandby]
}

// configure appends to the replica's own configuration, and returns what undoes that.
func (l *ladder) configure(lines string) (undo func()) {
	l.Helper()
	path := filepath.Join(l.m.pg.Data, "postgresql.conf")
	before, err := os.ReadFile(path)
	check(l.T, err)
	check(l.T, os.WriteFile(path, append(before[:len(before):len(before)], lines...), 0o600))
	return func() {
		l.Helper()
		check(l.T, os.WriteFile(path, before, 0o600))
	}
}

// flushed is the primary's position, which the replica's agent is told.
func (l *ladder) flushed() platform.LSN {
	l.Helper()
	s, err := l.primary.Status(l.ctx)
	check(l.T, err)
	l.m.Learn(Others{Positions: map[string]platform.LSN{"feed-e1": s.Flush}})
	return s.Flush
}

// looks passes some more looks.
func (l *ladder) looks(what string) {
	l.Helper()
	n := 0
	l.until(what, agrees, func() bool { n++; return n > 10 })
}

// TestHostsCauses: what a replica's host or its user causes takes the starts that show it, and neither a copy nor a checkpoint on the
// primary, although the controllers would agree to a copy at once.
func TestHostsCauses(t *testing.T) {
	l := streaming(t)
	t.Run("its port is taken", func(t *testing.T) {
		l.stop()
		other, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", l.m.pg.Port))
		check(t, err)
		l.begin()
		starts := l.inVain("Address already in use")
		check(t, other.Close())
		l.until("its stream", agrees, l.streams)
		l.took("for its port", 0, starts+1)
	})

	t.Run("it lacks a library", func(t *testing.T) {
		l.stop()
		undo := l.configure("\nshared_preload_libraries = 'no_such_library'\n")
		l.begin()
		starts := l.inVain(`could not access file "no_such_library"`)
		undo()
		l.until("its stream", agrees, l.streams)
		l.took("for a library", 0, starts+1)
	})

	t.Run("it lacks the folder of a tablespace", func(t *testing.T) {
		l.stop()
		fast := filepath.Join(filepath.Dir(l.primary.Data), "fast")
		folder := func() {
			check(t, errors.Join(os.Mkdir(fast, 0o700), os.Chown(fast, int(l.primary.Owner.UID), int(l.primary.Owner.GID))))
		}
		folder()
		l.sql("CREATE TABLESPACE fast LOCATION '" + fast + "'")
		check(t, os.Rename(fast, fast+".primary")) // as on another host
		l.begin()
		starts := l.inVain(fast)
		folder()
		l.until("its stream", agrees, l.streams)
		l.took("for a folder", 0, starts+1)
		l.sql("DROP TABLESPACE fast")
	})

	t.Run("its max_connections is below its primary's", func(t *testing.T) {
		l.sql("ALTER SYSTEM SET max_connections = 130")
		restart(l, l.primary, true)
		l.begin()
		l.until("its start with as much", agrees, func() bool {
			return l.acts[member.StartStandby] > 0 && l.streams() && strings.Join(l.m.view.report.Raised, " ") == "max_connections"
		})
		l.took("for a setting", 0, 1)
	})

	t.Run("its replay is delayed", func(t *testing.T) {
		undo := l.configure("\nrecovery_min_apply_delay = '10min'\n")
		check(t, l.m.pg.Reload(l.ctx))
		l.sql("CREATE TABLE public.late AS SELECT 1")
		end := l.flushed()
		l.until("the WAL of what is delayed", nil, func() bool { return l.m.view.report.Position >= end })
		l.stop()
		l.begin()
		delayed := func() bool { return l.acts[member.StartStandby] == 1 && l.m.view.seen.Recovery == member.Delayed }
		l.until("the delay", agrees, delayed)
		l.long(time.Hour)
		l.looks("an hour of it")
		l.took("for a delay", 0, 1)
		undo()
		check(t, l.m.pg.Reload(l.ctx))
		l.until("its stream", agrees, l.streams)
		l.took("for a delay that has ended", 0, 1)
	})

	t.Run("it catches up from its archive", l.archive)
	t.Run("it has left its primary's timeline, and has files that nobody may write", l.diverged)
}

// archive: a replica whose stream is refused has six segments to fetch, each of which takes its archive minutes.
func (l *ladder) archive(t *testing.T) {
	hba := filepath.Join(l.primary.Data, "pg_hba.conf")
	rules, err := os.ReadFile(hba)
	check(t, err)
	l.stop()
	check(t, os.WriteFile(hba, append([]byte("host replication all 127.0.0.1/32 reject\n"), rules...), 0o600))
	check(t, l.primary.Reload(l.ctx))
	archive := filepath.Join(filepath.Dir(l.m.pg.Data), "slow")
	check(t, errors.Join(os.Mkdir(archive, 0o755), os.Mkdir(archive+".now", 0o755), os.Mkdir(archive+".asked", 0o755)))
	check(t, os.Chmod(archive+".asked", 0o777))
	var segments []string
	for range 6 {
		var name string
		check(t, scanOf(l.ctx, l.primary, "SELECT pg_walfile_name(pg_current_wal_insert_lsn())", &name))
		l.sql("CREATE TABLE public.x AS SELECT 1")
		l.sql("DROP TABLE public.x")
		l.sql("SELECT pg_switch_wal()")
		wal, err := os.ReadFile(filepath.Join(l.primary.Data, "pg_wal", name))
		check(t, err)
		check(t, os.WriteFile(filepath.Join(archive, name), wal, 0o644))
		segments = append(segments, name)
	}
	end := l.flushed()
	// A segment that the archive has is restored once a file of its name says so.
	undo := l.configure(fmt.Sprintf("\nrestore_command = 'test -e %[1]s/%%f && touch %[1]s.asked/%%f && "+
		"until test -e %[1]s.now/%%f; do sleep 0.02; done; cp %[1]s/%%f %%p'\n", archive))
	l.begin()
	// From 15 on PostgreSQL reads ahead: it may fetch a segment before it has replayed anything of the one before. So what is left need
	// not fall from one fetch to the next, and may even grow once the server takes sessions and says what it has replayed.
	var left []int64
	for _, name := range segments {
		l.until("the fetch of "+name, agrees, func() bool {
			_, err := os.Stat(filepath.Join(archive+".asked", name))
			if err != nil || l.m.view.seen.Recovery != member.Fetching {
				return false
			}
			c := l.m.Snapshot().CatchUp
			return c != nil && c.LeftKnown
		})
		r := l.m.Snapshot()
		if want := fmt.Sprintf("catching up from the archive, %d MB left", r.CatchUp.Left>>20); !strings.HasPrefix(r.Doing, want) ||
			r.CatchUp.Left != int64(end-r.Replayed) && r.Replayed != 0 {
			t.Errorf("at %s of %s it says %q, and has %+v left", r.Replayed, end, r.Doing, r.CatchUp)
		}
		left = append(left, r.CatchUp.Left)
		l.long(5 * time.Minute)
		l.looks("five minutes of it")
		check(t, os.WriteFile(filepath.Join(archive+".now", name), nil, 0o644))
	}
	if last := left[len(left)-1]; last >= left[0] {
		t.Errorf("from fetch to fetch it had %v left", left)
	}
	l.until("the end of the archive", agrees, func() bool { return l.m.view.report.Replayed >= end })
	l.took("for an archive", 0, 1)
	check(t, os.WriteFile(hba, rules, 0o600))
	check(t, l.primary.Reload(l.ctx))
	l.until("its stream", agrees, l.streams)
	l.took("for an archive, and then a stream", 0, 1)
	undo()
}

// diverged: a former primary's data is rewound, and its read-only file is as before.
func (l *ladder) diverged(t *testing.T) {
	l.sql("ALTER SYSTEM RESET full_page_writes") // pg_rewind asks for them
	l.stop()
	restart(l, l.primary, false)
	l.sql("SELECT pg_promote()")
	l.sql("CHECKPOINT")
	history, err := l.primary.ReadHistory(l.ctx, 2)
	check(t, err)
	l.m.told.goal.Timeline, l.m.told.goal.History = 2, history

	check(t, l.m.pg.WriteSettings(l.ctx, postgres.Settings{}))
	restart(l, l.m.pg, true)
	check(t, sqlOf(l.ctx, l.m.pg, "CREATE TABLE public.astray AS SELECT 1"))
	key := filepath.Join(l.m.pg.Data, "server.key")
	check(t, errors.Join(os.WriteFile(key, []byte("secret"), 0o400), os.Chown(key, int(l.m.pg.Owner.UID), int(l.m.pg.Owner.GID))))
	pid, _, _ := l.m.pg.Running()
	check(t, syscall.Kill(pid, syscall.SIGQUIT))
	eventually(t, "its end", func() bool { _, _, ok := l.m.pg.Running(); return !ok })
	undo := l.configure("\nshared_preload_libraries = 'no_such_library'\n")
	l.begin()
	l.until("rewinds that its host does not let begin", agrees, func() bool {
		return l.acts[member.Rewind] > 4 && strings.Contains(l.m.activity.fault, `could not access file "no_such_library"`)
	})
	undo()
	l.until("its stream", agrees, l.streams)
	if l.acts[member.Clone] > 0 {
		t.Errorf("it took %v", l.acts)
	}
	l.cost("for a timeline of its own", 0, l.acts[member.Rewind], 1)
	if info, err := os.Stat(key); err != nil || info.Mode().Perm() != 0o400 {
		t.Errorf("its key: %v, %v", info, err)
	}
}

// restart stops a server, if it runs, and starts it outside of any agent.
func restart(l *ladder, pg *postgres.Server, primary bool) {
	l.Helper()
	if _, _, ok := pg.Running(); ok {
		check(l.T, pg.StopFast(l.ctx))
		eventually(l.T, "the end of the server", func() bool { _, _, ok := pg.Running(); return !ok })
	}
	_, err := pg.Start(l.ctx, postgres.StartOptions{AsPrimary: primary, Raise: !primary})
	check(l.T, err)
	eventually(l.T, "its answer", func() bool { _, err := pg.Status(l.ctx); return err == nil })
	if primary {
		check(l.T, pg.WaitWritable(l.ctx))
	}
}

// TestPromotedByHand: a replica that its user has promoted is killed before the first checkpoint of its new timeline. pg_rewind before 16
// finds nothing to do then, so after three it is copied. From 17 on pg_rewind leaves a segment of the discarded timeline, which misleads
// nobody.
func TestPromotedByHand(t *testing.T) {
	l := streaming(t)
	l.sql("ALTER SYSTEM RESET full_page_writes") // pg_rewind asks for them
	check(t, l.primary.Reload(l.ctx))
	var pid int
	check(t, scanOf(l.ctx, l.m.pg, "SELECT pid FROM pg_stat_activity WHERE backend_type = 'checkpointer'", &pid))
	check(t, syscall.Kill(pid, syscall.SIGSTOP))
	check(t, sqlOf(l.ctx, l.m.pg, "SELECT pg_promote()"))
	postmaster, _, _ := l.m.pg.Running()
	check(t, syscall.Kill(postmaster, syscall.SIGQUIT))
	check(t, syscall.Kill(pid, syscall.SIGKILL))
	eventually(t, "its end", func() bool { _, _, ok := l.m.pg.Running(); return !ok })
	l.begin()
	l.until("its stream", agrees, func() bool { return l.acts[member.StartStandby] > 0 && l.streams() })
	if l.m.pg.Binaries.Major >= 16 {
		l.cost("for a promotion by hand", 0, 1, 1)
	} else {
		l.cost("for a promotion by hand", 1, 3, 1)
	}
	if l.acts[member.StopClean] > 0 {
		t.Errorf("it was restarted: %v", l.acts)
	}
}
