package kit

import (
	"errors"
	"io/fs"
	"os"
	"strings"
	"testing"
)

// Work is what servers had to do, as their logs say. A situation that needs none of it is shown by counts that do not grow.
type Work struct {
	Starts  int // of PostgreSQL
	Forced  int // checkpoints that somebody asked for, as each base backup does (needs log_checkpoints, the default from 15 on)
	Backups int // base backups that were taken from them, whole or not (needs log_replication_commands)
}

// WorkOf counts in the logs of servers; one that is not there yet has none.
func WorkOf(t testing.TB, logs ...string) (w Work) {
	t.Helper()
	for _, path := range logs {
		raw, err := os.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		Check(t, err)
		for line := range strings.Lines(string(raw)) {
			switch {
			case strings.Contains(line, "LOG:  starting PostgreSQL "):
				w.Starts++
			case strings.Contains(line, "LOG:  checkpoint starting: ") && strings.Contains(line, " force"): // after "immediate", from 18 on "fast"
				w.Forced++
			case strings.Contains(line, "LOG:  received replication command: BASE_BACKUP"):
				w.Backups++
			}
		}
	}
	return w
}

// Since is what was done since before.
func (w Work) Since(before Work) Work {
	return Work{w.Starts - before.Starts, w.Forced - before.Forced, w.Backups - before.Backups}
}
