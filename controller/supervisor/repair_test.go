package supervisor

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"

	"mainstay/controller/platform"
	"mainstay/controller/postgres"
)

func TestOfMember(t *testing.T) {
	goal := platform.Goal{OtherMembers: []string{"feed-e2", "feed-w1"}}
	for application, want := range map[string]bool{
		"feed-e2_7": true, "feed-w1_12": true, "feed-e3_7": false, "pg_receivewal": false, "mainstay-clone": false, "feed-e2": false, "_7": false,
		"": false,
	} {
		if got := ofMember(goal, application); got != want {
			t.Errorf("%q: %v, want %v", application, got, want)
		}
	}
}

// A receiver of the user's that hangs holds up a shutdown for as long as wal_sender_timeout says, which is its user's. A
// planned stop is clean all the same, and in time.
func TestStopDespiteAHungReceiver(t *testing.T) {
	pg := runningPrimary(t)
	m := supervisorOf(t, pg)
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	m.observer.process(ctx, pg, &glance{})
	hba := filepath.Join(pg.Data, "pg_hba.conf")
	rules, err := os.ReadFile(hba)
	check(t, err)
	check(t, os.WriteFile(hba, append([]byte("local replication postgres trust\n"), rules...), 0o600))
	check(t, pg.Reload(ctx))
	check(t, sqlOf(ctx, pg, "SELECT pg_create_physical_replication_slot('archive')")) // without one it tells no flush position
	tool := exec.Command(filepath.Join(pg.Binaries.Dir, "pg_receivewal"), "-h", pg.Socket, "-p", strconv.Itoa(pg.Port), "-U", "postgres",
		"-S", "archive", "-s", "1", "-D", pg.Conf) // any folder of the owner's
	tool.Dir, tool.SysProcAttr = "/", &syscall.SysProcAttr{Credential: pg.Owner.Credential()}
	check(t, tool.Start())
	t.Cleanup(func() {
		_ = tool.Process.Kill()
		_ = tool.Wait()
	})
	eventually(t, "the receiver", func() bool {
		s, err := pg.Status(ctx)
		return err == nil && len(s.Senders) == 1 && s.Senders[0].State == "streaming" && s.Senders[0].Flush > 0
	})
	check(t, tool.Process.Signal(syscall.SIGSTOP))
	check(t, sqlOf(ctx, pg, "CREATE TABLE public.t AS SELECT generate_series(1, 1000)"))

	begun := time.Now()
	check(t, m.actor.stopClean(ctx, pg, platform.Goal{Kind: platform.GoalStopped, Clean: true, OtherMembers: []string{"feed-e2"}}))
	took := time.Since(begun)
	data, err := pg.InspectData(ctx)
	check(t, err)
	if data.State != postgres.DataPresent || !data.Control.Clean() || took < outsideBound || took >= stopBound {
		t.Errorf("stopped within %s, data %+v", took, data)
	}
}
