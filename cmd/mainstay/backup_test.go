package main

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"mainstay/controller/platform"
	"mainstay/controller/state"
	"mainstay/controller/wire"
	"mainstay/health"
)

func backupsOfFeed() wire.Backups {
	return wire.Backups{Cluster: "feed", Plan: &platform.BackupPlan{Every: 24 * time.Hour, Targets: []string{"vault"}}, DueSeconds: 3600,
		Archiver: "feed-e2", Archive: &health.Archiving{Timeline: 2, Until: 0x5000000, Partial: 0x5000060},
		Backups: []platform.Backup{
			{ID: "feed-b1", Member: "feed-e2", Began: "2026-11-29T03:00:00Z", Verdict: platform.BackupGood, Bytes: 5 << 20, Packed: 1 << 20,
				Start: 0x2000028, End: 0x2000100, Timeline: 1, Version: "17.2",
				Steps:    []platform.BackupStep{{Name: "take", Took: 1200 * time.Millisecond}},
				Results:  []platform.CheckResult{{Name: "pages", Good: true, Detail: "640 pages"}},
				Receipts: []platform.BackupReceipt{{Target: "vault", Object: "feed/backup/feed-b1/base.tar.zst", Bytes: 1 << 20, SHA256: "abcd"}},
				Tests:    []platform.RestoreTest{{Target: "vault", At: "2026-11-29T04:00:00Z", Good: true, Took: 2300 * time.Millisecond}}},
			{ID: "feed-b2", Member: "feed-e2", Base: "feed-b1", Began: "2026-11-30T03:00:00Z", Verdict: platform.BackupBad,
				Evidence: "check posts: it answers false"},
		},
		Problems: []health.Problem{{Kind: health.BackupBad, Cluster: "feed", Evidence: "feed-b2: check posts: it answers false"}}}
}

func TestBackupList(t *testing.T) {
	b, s := leader(t)
	s.answer("GET /v1/status", http.StatusOK, wire.Status{Clusters: []wire.ClusterState{
		{Name: "feed", Backup: &wire.BackupBrief{}},
		{Name: "mail", Backup: &wire.BackupBrief{Newest: "mail-b2", Age: 3 * time.Hour, Tested: "vault", TestAge: 26 * time.Hour,
			Took: 2300 * time.Millisecond}}}})
	s.answer("GET /v1/clusters/feed/backups", http.StatusOK, backupsOfFeed())
	s.answer("GET /v1/clusters/mail/backups", http.StatusOK, wire.Backups{Cluster: "mail"})
	b.want(exitDone, []string{"backup", "list"}, "backups of feed   the next is due in 1h0m0s", "BackupBad: feed-b2: check posts",
		"archive: WAL up to 0/5000060 of timeline 2, by the agent of feed-e2", "in 2.3s from vault", "since feed-b1", "it answers false", "!mail")
	b.want(exitDone, []string{"status"}, "backup: there is no good one yet",
		"backup mail-b2, 3h0m ago; the last restore, 26h0m ago from vault, took 2.3s")
	b.want(exitDone, []string{"backup", "list", "mail"}, "backups of mail   none is made", "no backup was made yet")
	b.want(exitDone, []string{"backup", "show", "feed", "feed-b1"}, "good", "taken from", "PostgreSQL 17.2",
		"from 0/2000028, consistent at 0/2000100, timeline 1", "take", "1.2s", "640 pages", "sha256 abcd")
	b.want(exitRefused, []string{"backup", "show", "feed", "feed-b9"}, "there is no backup feed-b9 of cluster feed")
	b.want(exitUsage, []string{"backup", "show", "feed"}, "BACKUP is missing")
}

// ends answers a request for work, and then that it has ended.
func ends(s *server, done bool, outcome string) {
	s.answer("POST /v1/clusters/feed/backups", http.StatusOK, wire.OperationAnswer{Plan: []string{"the agent of feed-e2 does it"}, Work: 70,
		Backup: "feed-b3"})
	after := backupsOfFeed()
	after.Last = &state.EndedBackupJob{Job: platform.BackupJob{Number: 70, Backup: "feed-b3"}, Done: done, Outcome: outcome}
	s.answer("GET /v1/clusters/feed/backups", http.StatusOK, after)
}

func TestBackupWork(t *testing.T) {
	b, s := leader(t)
	ends(s, true, "feed-b3 is good, and vault holds it")
	b.want(exitDone, []string{"backup", "run", "feed", "--full"}, "the agent of feed-e2 does it", "feed-b3 is good, and vault holds it")
	if body := s.body("POST /v1/clusters/feed/backups"); !strings.Contains(body, `"work":"make"`) || !strings.Contains(body, `"full":true`) {
		t.Errorf("it asked for %s", body)
	}
	b.want(exitDone, []string{"backup", "verify", "feed", "feed-b3", "--from", "vault", "--dry-run"}, "nothing was changed")
	body := s.body("POST /v1/clusters/feed/backups")
	if !strings.Contains(body, `"backup":"feed-b3"`) || !strings.Contains(body, `"target":"vault"`) {
		t.Errorf("it asked for %s", body)
	}
	b.want(exitRefused, []string{"backup", "drop", "feed", "feed-b3"}, "no terminal")
	b.want(exitDone, []string{"backup", "drop", "feed", "feed-b3", "--yes"}, "feed-b3 is good")
	b.want(exitDone, []string{"backup", "cancel", "feed"}, "cancelled")
	b, s = leader(t)
	ends(s, false, "check posts: it answers false")
	b.want(exitFailed, []string{"backup", "run", "feed"}, "it answers false", "mainstay backup show feed feed-b3")
	b.want(exitFailed, []string{"restore", "feed", "--to", "latest"}, "it answers false")
	if body := s.body("POST /v1/clusters/feed/backups"); !strings.Contains(body, `"until":{"latest":true}`) {
		t.Errorf("it asked for %s", body)
	}
}

func TestRestorePoint(t *testing.T) {
	for to, want := range map[string]platform.RestorePoint{
		"":                          {},
		"latest":                    {Latest: true},
		"0/6000198":                 {LSN: 0x6000198},
		"2026-11-30T12:00:00Z":      {Time: "2026-11-30T12:00:00Z"},
		"2026-11-30T12:00:00+01:00": {Time: "2026-11-30T11:00:00Z"},
		"2026-11-30 12:00:00.5+00":  {Time: "2026-11-30T12:00:00.5Z"},
		"before-patch-42":           {Name: "before-patch-42"},
	} {
		if got, err := restorePoint(to); err != nil || got != want {
			t.Errorf("%q: %+v, %v", to, got, err)
		}
	}
	b, _ := leader(t)
	b.want(exitUsage, []string{"restore", "feed", "--to", "2026-11-30 12:00:00"}, "a time needs its zone")
	b.want(exitUsage, []string{"restore", "feed", "--to", "6/x"}, "is no LSN")
	b.want(exitUsage, []string{"restore", "feed", "--to", strings.Repeat("x", 64)}, "want latest, a time, an LSN or the name")
}
