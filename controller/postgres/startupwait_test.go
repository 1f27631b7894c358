package postgres

import (
	"os"
	"path/filepath"
	"testing"
)

// TestStartupWait: by these names of wait events the agent tells a standby that is held back from one that gets nothing.
func TestStartupWait(t *testing.T) {
	ca := newAuthority(t)
	a := newPrimary(t, ca, "feed-e1")
	b, _ := newStandby(t, ca, "feed-e2", a)
	ctx := testContext(t)
	waits := func(event string) {
		t.Helper()
		eventually(t, "wait event "+event, func() bool { s, err := b.Status(ctx); return err == nil && s.StartupWait == event })
	}
	check(t, b.exec(ctx, "SELECT pg_wal_replay_pause()"))
	waits("RecoveryPause")
	check(t, b.exec(ctx, "SELECT pg_wal_replay_resume()"))
	insert(t, a, 6)
	eventually(t, "a transaction that it has replayed", func() bool {
		s, err := b.Status(ctx)
		return err == nil && s.Receive == s.Replay && s.ReplayAgeMS == 0 && s.Receive >= mustStatus(t, a).Flush
	})

	conf, err := os.ReadFile(b.userConfig())
	check(t, err)
	check(t, os.WriteFile(b.userConfig(), append(conf, "\nrecovery_min_apply_delay = '1h'\n"...), 0o600))
	check(t, b.exec(ctx, "SELECT pg_reload_conf()"))
	insert(t, a, 7)
	waits("RecoveryApplyDelay")
	eventually(t, "the age of what it has replayed", func() bool {
		s, err := b.Status(ctx)
		return err == nil && s.Receive > s.Replay && s.ReplayAgeMS >= 100 && s.ReplayAgeMS < patience.Milliseconds()
	})
	if s := mustStatus(t, a); s.ReplayAgeMS != 0 {
		t.Errorf("its primary has replayed transactions that are %d ms old", s.ReplayAgeMS)
	}

	if b.Binaries.Major < 15 {
		return // it is not told of
	}
	check(t, b.StopFast(ctx))
	eventually(t, "the end of the standby", func() bool { _, _, ok := b.Running(); return !ok })
	slow := filepath.Join(b.Conf, "slow")
	check(t, os.WriteFile(b.userConfig(), append(conf, "\nrestore_command = 'test -e "+slow+" && sleep 60; false'\n"...), 0o600))
	start(t, b, false)
	check(t, os.WriteFile(slow, nil, 0o600))
	check(t, a.StopFast(ctx))
	waits("RestoreCommand")
	s, err := b.Status(ctx)
	check(t, err)
	if s.Oldest == 0 || s.Oldest > s.Replay {
		t.Errorf("its oldest WAL begins at %s, and it has replayed up to %s", s.Oldest, s.Replay)
	}
}
