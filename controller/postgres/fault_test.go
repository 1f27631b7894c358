package postgres

import (
	"database/sql"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"mainstay/controller/platform"
	"mainstay/fencing/process"
)

// TestFault: a standby that ends for its host's sake is told apart from one whose data may be at fault, with the server's own words.
func TestFault(t *testing.T) {
	ca := newAuthority(t)
	a := newPrimary(t, ca, "feed-e1")
	b, settings := newStandby(t, ca, "feed-e2", a)
	ctx := testContext(t)
	check(t, b.StopFast(ctx))
	eventually(t, "the end of the standby", func() bool { _, _, ok := b.Running(); return !ok })
	conf, err := os.ReadFile(b.userConfig())
	check(t, err)
	setting := func(line string) func(t *testing.T) {
		return func(t *testing.T) { check(t, os.WriteFile(b.userConfig(), append(conf, "\n"+line+"\n"...), 0o600)) }
	}
	taken := func(t *testing.T) {
		l, err := net.Listen("tcp", net.JoinHostPort(b.Listen, "0"))
		check(t, err)
		t.Cleanup(func() { l.Close() })
		b.Port = l.Addr().(*net.TCPAddr).Port
		check(t, b.WriteSettings(ctx, settings))
	}
	for _, c := range []struct {
		name   string
		breaks func(t *testing.T)
		mend   func()
		said   string
		data   bool
	}{
		{"its port is taken", taken, nil, "could not bind", false},
		{"its port is taken, and its log is collected", func(t *testing.T) {
			setting("logging_collector = on")(t)
			taken(t)
		}, nil, "could not bind", false},
		{"its recovery ends, and its log is collected", setting("logging_collector = on\nmax_connections = 50"), nil,
			"insufficient parameter settings", true},
		{"its recovery ends, and its log is collected as csvlog",
			setting("logging_collector = on\nlog_destination = csvlog\nmax_connections = 50"), nil, "insufficient parameter settings", true},
		{"a library is missing", setting("shared_preload_libraries = 'no_such_library'"), nil, "no_such_library", false},
		{"a setting is wrong", setting("work_mem = lots"), nil, "work_mem", false},
		{"its recovery ends", setting("max_connections = 50"), nil, "insufficient parameter settings", true},
		{"its WAL is lost as well, and a setting is wrong", func(t *testing.T) {
			check(t, os.Rename(filepath.Join(b.Data, "pg_wal"), b.Data+".wal"))
			check(t, os.MkdirAll(filepath.Join(b.Data, "pg_wal", "archive_status"), 0o700))
			check(t, b.Owner.give(filepath.Join(b.Data, "pg_wal")))
			setting("work_mem = lots")(t)
		}, func() {
			check(t, os.RemoveAll(filepath.Join(b.Data, "pg_wal")))
			check(t, os.Rename(b.Data+".wal", filepath.Join(b.Data, "pg_wal")))
		}, "work_mem", false},
		{"its control file is damaged", func(t *testing.T) { flip(t, b.controlFile()) }, func() { flip(t, b.controlFile()) }, "control file",
			true},
	} {
		t.Run(c.name, func(t *testing.T) {
			port := b.Port
			c.breaks(t)
			p, err := b.Start(ctx, StartOptions{})
			check(t, err)
			select {
			case <-p.Done():
			case <-ctx.Done():
				t.Fatal("it has not ended")
			}
			tree, err := process.NewTree(b.Data, nil)
			check(t, err)
			eventually(t, "the end of its tree", func() bool { left, err := tree.Pids(); return err == nil && len(left) == 0 })
			f := b.Fault(ctx, p)
			if f.Data != c.data || !strings.Contains(f.Said, c.said) || f.Said == "" {
				t.Errorf("%+v, want data %v, said %q", f, c.data, c.said)
			}
			t.Log(f.Said)
			b.Port = port
			check(t, b.WriteSettings(ctx, settings))
			check(t, os.WriteFile(b.userConfig(), conf, 0o600))
			if c.mend != nil {
				c.mend()
			}
		})
	}
	start(t, b, false)
}

// flip changes one byte of a file, or changes it back.
func flip(t *testing.T, path string) {
	t.Helper()
	raw, err := os.ReadFile(path)
	check(t, err)
	raw[64] ^= 0xff
	check(t, os.WriteFile(path, raw, 0o600))
}

// TestComplaints: of what a log says, what the server ended for is found, and whether its host is at fault.
func TestComplaints(t *testing.T) {
	const at = "2026-03-01 10:00:00.000 UTC [7] "
	redo := at + "CONTEXT:  WAL redo at 0/3000028 for Heap/INSERT: off: 3, flags: 0x08; blkref #0: rel 1663/5/16384, blk 0\n"
	for _, c := range []struct {
		name, log   string
		first, last string
		host        bool
		redo        platform.LSN
	}{
		{"nothing", "", "", "", false, 0},
		{"no reason", "something else\n", "something else", "something else", false, 0},
		{"a full disk", at + "FATAL:  could not extend file \"base/5/16384\": No space left on device\n" + at +
			"HINT:  Check free disk space.\n" + redo,
			"could not extend file", "could not extend file", true, 0x3000028},
		{"a full disk of WAL", at + "PANIC:  could not write to file \"pg_wal/xlogtemp.7\": No space left on device\n", "could not write",
			"could not write", true, 0},
		{"no files", at + "LOG:  out of file descriptors: Too many open files; release and retry\n" + at +
			"FATAL:  could not open file \"base/5/1\": Too many open files\n",
			"out of file descriptors", "could not open file", true, 0},
		{"a tablespace's folder", at + "FATAL:  directory \"/srv/space\" does not exist\n" + redo, "directory", "directory", true, 0x3000028},
		{"no memory", at + "FATAL:  out of memory\n" + redo, "out of memory", "out of memory", true, 0x3000028},
		{"its replay", at + "FATAL:  could not connect to the primary server: Permission denied\n" + at +
			"PANIC:  WAL contains references to invalid pages\n" + redo +
			at + "FATAL:  the database system is in recovery mode\n", "WAL contains", "WAL contains", false, 0x3000028},
		{"in another language", at + "FATAL:  ungültige Seite\n" + at + "ZUSAMMENHANG:  WAL-Redo bei 0/3000028 für Heap/INSERT: off 3\n" +
			at + "FATAL:  das Datenbanksystem startet\n", "ungültige Seite", "ungültige Seite", false, 0x3000028},
		{"a session", at + "FATAL:  password authentication failed\n" + at + "FATAL:  could not open directory\n", "password",
			"could not open directory", false, 0},
		{"a conflict", at + "FATAL:  terminating connection\n" + at + "LOG:  recovery still waiting after 1000 ms\n" + redo, "terminating",
			"terminating", false, 0},
		{"its replay dies", at + "LOG:  startup process (PID 8) was terminated by signal 11: Segmentation fault\n" + at +
			"FATAL:  the database system is in recovery mode\n",
			"startup process", "startup process", false, 0},
	} {
		all := complaints(c.log)
		first, last := first(all), last(all)
		if !strings.HasPrefix(first.text, c.first) || !strings.HasPrefix(last.text, c.last) || (first.text == "") != (c.first == "") ||
			max(first.redo, last.redo) != c.redo {
			t.Errorf("%s: first %+v, last %+v", c.name, first, last)
		}
		i := &Server{Data: t.TempDir()}
		if got := i.hostAtFault([]complaint{first}); got != c.host {
			t.Errorf("%s: its host is at fault: %v", c.name, got)
		}
	}
}

// TestCrash: a standby that has answered and cannot replay what comes is told apart from one that was killed, or stopped.
func TestCrash(t *testing.T) {
	ca := newAuthority(t)
	a := newPrimary(t, ca, "feed-e1")
	b, _ := newStandby(t, ca, "feed-e2", a)
	ctx := testContext(t)
	again := func(ends func()) Fault {
		t.Helper()
		p := start(t, b, false)
		ends()
		select {
		case <-p.Done():
		case <-ctx.Done():
			t.Fatal("it has not ended")
		}
		return b.Crash(p)
	}
	stop := func() { check(t, b.StopFast(ctx)) }
	stop()
	eventually(t, "the end of the standby", func() bool { _, _, ok := b.Running(); return !ok })
	if f := again(stop); f.Data || f.Said != "" {
		t.Errorf("somebody stopped it: %+v", f)
	}
	if f := again(func() {
		pid, _, _ := b.Running()
		check(t, syscall.Kill(pid, syscall.SIGKILL))
	}); f.Data || f.Said != "" {
		t.Errorf("somebody killed it: %+v", f)
	}
	eventually(t, "the end of its tree", func() bool { left, err := b.children(); return err != nil || len(left) == 0 })

	// Without whole pages in the WAL, a page that is missing cannot be made from it.
	check(t, a.exec(ctx, "ALTER SYSTEM SET full_page_writes = off"))
	check(t, a.exec(ctx, "CHECKPOINT"))
	check(t, a.Reload(ctx))
	var path string
	check(t, a.with(ctx, func(c *sql.Conn) error {
		return c.QueryRowContext(ctx, "SELECT pg_relation_filepath('public.t')").Scan(&path)
	}))
	check(t, a.exec(ctx, "CHECKPOINT"))
	start(t, b, false)
	streams(t, b)
	eventually(t, "its replay of the CHECKPOINT", func() bool {
		from, err := a.Status(ctx)
		check(t, err)
		to, err := b.Status(ctx)
		return err == nil && to.Replay >= from.Flush
	})
	stop()
	eventually(t, "the end of the standby", func() bool { _, _, ok := b.Running(); return !ok })
	check(t, os.Truncate(filepath.Join(b.Data, path), 0))
	f := again(func() {
		streams(t, b)
		insert(t, a, 2)
	})
	if !f.Data || f.At == 0 || !strings.Contains(f.Said, "invalid pages") {
		t.Errorf("%+v", f)
	}
}
