package testbed

import (
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
	"time"

	"mainstay/controller/postgres"
)

// StartPostgres starts a member's PostgreSQL by pg_ctl, with the command line that its agent would use, as somebody might who
// copied it from the list of processes. It returns once it accepts connections. Only for root, on a Network.
func (s *Testbed) StartPostgres(ctx context.Context, member string) error {
	found, err := postgres.Find(s.Binaries)
	if err != nil {
		return err
	}
	h := s.Host(member)
	own := filepath.Join(s.path("agent-"+h.Name), "members", member)
	cmd := s.Network.Command(h.Name, "runuser", "-u", Owner(), "--", filepath.Join(found.Dir, "pg_ctl"), "start", "-w", "-D", s.Data(member),
		"-l", filepath.Join(own, "postgresql.log"),
		"-o", "-c config_file="+filepath.Join(own, "conf", "postgresql.conf"))
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	cmd = withContext(ctx, cmd)
	cmd.Dir = "/"
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("pg_ctl start of %s: %w: %s", member, err, out)
	}
	return nil
}

// withContext is cmd, killed when ctx ends. It does not wait for the command's background processes.
func withContext(ctx context.Context, cmd *exec.Cmd) *exec.Cmd {
	bounded := exec.CommandContext(ctx, cmd.Args[0], cmd.Args[1:]...)
	bounded.WaitDelay = time.Second
	return bounded
}
