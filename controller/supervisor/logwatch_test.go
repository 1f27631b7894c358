package supervisor

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"mainstay/controller/boottime"
	"mainstay/controller/postgres"
	"mainstay/health"
	"mainstay/health/integrity/serverlog"
)

// watched is a supervisor whose watcher the test itself runs.
func watched(t *testing.T, pg *postgres.Server, dir string, scans *int) *Supervisor {
	t.Helper()
	m := supervisorOf(t, pg)
	m.o.Config.Data = dir
	m.o.Config.Integrity.Every = time.Hour
	check(t, os.MkdirAll(m.o.Config.MemberDir(m.o.Name), 0o700))
	m.durable.SystemID, m.durable.Incarnation = "7", "feed-e1_1"
	m.watcher.scan = func() { *scans++ }
	m.watcher.restore()
	return m
}

// TestWatchLog: what the log says of damage is in the report and causes one scan, a restart of the agent forgets none of it and counts none
// twice, and data that a copy has replaced takes it along; a log that is not read is said.
func TestWatchLog(t *testing.T) {
	scans := 0
	dir := t.TempDir()
	pg := &postgres.Server{Data: t.TempDir(), Log: filepath.Join(t.TempDir(), "log"), Lock: &postgres.LockFile{}}
	write := func(text string) {
		t.Helper()
		f, err := os.OpenFile(pg.Log, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
		check(t, err)
		_, err = f.WriteString(text)
		check(t, err)
		check(t, f.Close())
	}
	m := watched(t, pg, dir, &scans)
	if log := m.Snapshot().Log; log != nil {
		t.Errorf("before: %+v", log)
	}
	m.watcher.watch()
	write("ERROR:  invalid page in block 3 of relation base/5/7\n") // before it was read
	m.watcher.watch()
	if log := m.Snapshot().Log; log == nil || log.Form != "stderr" || log.Unread != "" || len(log.Signs) > 0 {
		t.Errorf("of a log that was there: %+v", log)
	}
	write("ERROR:  invalid page in block 3 of relation base/5/7\nERROR:  invalid page in block 4 of relation base/5/7\n" +
		"XX000 ERROR:  cache lookup failed for type 9\n58030 ERROR:  could not fsync file \"base/5/7\": Input/output error\n")
	m.watcher.watch()
	m.watcher.watch()
	signs := func(m *Supervisor) (text string) {
		if log := m.Snapshot().Log; log != nil {
			for _, s := range log.Signs {
				text += s.Kind + " " + s.String() + "; "
			}
		}
		return text
	}
	want := "damage 2 times, the last within the last minute: ERROR: invalid page in block 4 of relation base/5/7; " +
		"internal once, within the last minute: ERROR: cache lookup failed for type 9 (XX000); " +
		"storage once, within the last minute: ERROR: could not fsync file \"base/5/7\": Input/output error (58030); "
	if got := signs(m); got != want || scans != 1 {
		t.Errorf("%s; %d scans", got, scans)
	}

	write("ERROR:  invalid page in block 5 of relation base/5/7\n") // while no agent runs
	m = watched(t, pg, dir, &scans)
	if got := signs(m); got != want {
		t.Errorf("after a restart: %s", got)
	}
	m.watcher.watch()
	if got := signs(m); !strings.Contains(got, "3 times") || scans != 2 {
		t.Errorf("after a restart and a look: %s; %d scans", got, scans)
	}
	m.durable.Lineage, m.durable.Incarnation = "feed-e1_1", "feed-e1_2" // a rewind
	m.watcher.watch()
	if got := signs(m); !strings.Contains(got, "3 times") {
		t.Errorf("after a rewind: %s", got)
	}
	m.durable.Lineage, m.durable.Incarnation = "", "feed-e1_3" // a copy
	m.watcher.watch()
	if got := signs(m); got != "" {
		t.Errorf("after a copy: %s", got)
	}

	write(strings.Repeat("LOG:  nothing\n", 1<<20))
	m.watcher.watch()
	if log := m.Snapshot().Log; !strings.Contains(log.Unread, "MB of it were passed over") {
		t.Errorf("of a fast log: %+v", log)
	}
	m.watcher.follower.Passed = 0
	m.logged.settings = postgres.LogSettings{Destination: "syslog"}
	m.watcher.watch()
	if log := m.Snapshot().Log; !strings.Contains(log.Unread, "log_destination") {
		t.Errorf("with syslog: %+v", log)
	}
	m.view.seen.Process = health.ProcessRunning
	check(t, os.Remove(pg.Log))
	m.watcher.watch()
	if log := m.Snapshot().Log; !strings.Contains(log.Unread, "is not there") {
		t.Errorf("without one: %+v", log)
	}
	m.logged.reading = boottime.Now() - time.Minute
	if log := m.Snapshot().Log; !strings.Contains(log.Unread, "has not ended for 1m0s") {
		t.Errorf("of a disk that hangs: %+v", log)
	}
}

// TestLongEntry: a text of any length is cut at a character.
func TestLongEntry(t *testing.T) {
	var l logged
	l.add(serverlog.Internal, serverlog.Entry{Severity: "ERROR", Message: strings.Repeat("ü", 400)}, instant{})
	if text := l.signs[0].text; len(text) > mostSigned || len(text) < mostSigned-4 || !strings.HasSuffix(text, "ü") {
		t.Errorf("%d bytes: %s", len(text), text)
	}
}
