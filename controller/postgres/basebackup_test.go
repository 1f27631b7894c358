package postgres

import "testing"

// TestBaseBackupReasons: what a failed copy says is on one line, without its progress.
func TestBaseBackupReasons(t *testing.T) {
	const said = "waiting for checkpoint\n14719/42008 kB (35%), 0/1 tablespace\r14719/42008 kB (35%), 1/1 tablespace\n" +
		"pg_basebackup: error: backup failed: ERROR:  the standby was promoted during online backup\n" +
		"HINT:  Try taking another online backup.\npg_basebackup: data directory \"/stage/run/data\" not removed at user's request\n"
	const want = "error: backup failed: ERROR:  the standby was promoted during online backup; HINT:  Try taking another online backup."
	if got := reasons(said); got != want {
		t.Errorf("got %q", got)
	}
}
