package api

import (
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"mainstay/controller/identity"
	"mainstay/controller/platform"
	"mainstay/controller/state"
	"mainstay/health"
)

// TestBackupMetrics: the newest good backup, the last restore test from each target, and the archive, of clusters that have any of them.
func TestBackupMetrics(t *testing.T) {
	scrape := func(change func(s *subject)) string {
		s := subjectWith(t, func(_, replica *health.Member) {
			replica.Backups = &health.Backups{Targets: []health.BackupTarget{{Name: "vault"}},
				Archive: &health.Archiving{Timeline: 1, Until: 0x3000000, Partial: 0x3000100, BehindMS: 1500, Gaps: []string{"a gap"}}}
		})
		s.snapshot.Input.Wall = time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)
		s.conf.Backup = &platform.BackupPlan{Targets: []string{"vault"}, Keep: 7}
		change(s)
		a := New(Options{Loop: seen{snapshot: s.snapshot}, Log: quiet{}, Certificates: func() []identity.End { return nil }})
		w := httptest.NewRecorder()
		a.metrics.ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
		return w.Body.String()
	}
	one := func(name, labels string) string { return "mainstay_" + name + `{cluster="feed"` + labels + "} " }
	text := scrape(func(*subject) {})
	for _, want := range []string{one("backup_good", "") + "0\n", one("backups", `,verdict="good"`) + "0\n",
		one("archive_behind_seconds", "") + "1.5\n", one("archive_position_bytes", "") + "5.0331904e+07\n", one("archive_gaps", "") + "1\n"} {
		if !strings.Contains(text, want) {
			t.Errorf("without a backup: no %q in\n%s", want, text)
		}
	}
	if strings.Contains(text, "backup_age") || strings.Contains(text, "restore_test") {
		t.Errorf("without a backup there is no age:\n%s", text)
	}
	text = scrape(func(s *subject) {
		b := &state.Backups{Job: &platform.BackupJob{Work: platform.BackupTest, Member: "m2"}, Records: []platform.Backup{
			{ID: "feed-b1", Verdict: platform.BackupGood, Ended: "2026-11-29T12:00:00Z", Removed: "2026-11-30T00:00:00Z"},
			{ID: "feed-b2", Verdict: platform.BackupGood, Ended: "2026-11-30T11:00:00Z", Bytes: 5000, Packed: 1000,
				Tests: []platform.RestoreTest{{Target: "vault", At: "2026-11-30T11:30:00Z", Good: true, Took: 90 * time.Second}}},
			{ID: "feed-b3", Verdict: platform.BackupBad, Ended: "2026-11-30T11:50:00Z",
				Tests: []platform.RestoreTest{{Target: "tape", At: "2026-11-30T11:58:00Z", Took: 2 * time.Second}}},
		}}
		s.snapshot.Input.State.Backups = map[string]*state.Backups{"feed": b}
	})
	for _, want := range []string{one("backup_good", "") + "1\n", one("backup_age_seconds", "") + "3600\n", one("backup_bytes", "") + "5000\n",
		one("backup_packed_bytes", "") + "1000\n", one("backups", `,verdict="good"`) + "1\n", one("backups", `,verdict="bad"`) + "1\n",
		one("backups", `,verdict="unfinished"`) + "0\n", one("backup_running", `,work="test"`) + "1\n",
		one("backup_running", `,work="make"`) + "0\n",
		one("restore_test_age_seconds", `,target="vault"`) + "1800\n", one("restore_test_seconds", `,target="vault"`) + "90\n",
		one("restore_test_good", `,target="vault"`) + "1\n", one("restore_test_good", `,target="tape"`) + "0\n"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
	text = scrape(func(s *subject) { s.conf.Backup = nil })
	if strings.Contains(text, "mainstay_backup") || strings.Contains(text, "mainstay_archive") {
		t.Errorf("a cluster without a plan and without a backup has such metrics:\n%s", text)
	}
}

// TestBackupMetricsAreDocumented: the guide names each of them.
func TestBackupMetricsAreDocumented(t *testing.T) {
	page, err := os.ReadFile("../../deploy/guide/backups.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range backupMetrics {
		_, name, _ := strings.Cut(d.String(), `fqName: "`)
		name, _, _ = strings.Cut(name, `"`)
		if !strings.Contains(string(page), "`"+name+"`") {
			t.Errorf("the guide of backups does not name %s", name)
		}
	}
}
