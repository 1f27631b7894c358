package main

import (
	"os"
	"path/filepath"
	"testing"
)

// released makes a target with four backups of feed, and the programs of a PostgreSQL 99. It returns a file that has the target alone.
func released(b *bench) (file string) {
	b.t.Helper()
	for id, record := range map[string]string{
		"feed-b1": `{"id": "feed-b1", "cluster": "feed", "member": "feed-e1", "kind": "full", "version": "99.1", "start": "0/1000000",
			"end": "0/1000100", "ended": "2026-11-28T00:00:00Z", "proof": {"verdict": "good"}, "receipts": [{"target": "vault"}]}`,
		"feed-b2": `{"id": "feed-b2", "cluster": "feed", "member": "feed-e1", "kind": "incremental", "base": "feed-b0", "version": "99.1",
			"start": "0/2000000", "end": "0/2000100", "ended": "2026-11-29T00:00:00Z", "proof": {"verdict": "good"},
			"receipts": [{"target": "vault"}]}`,
		"feed-b3": `{"id": "feed-b3", "cluster": "feed", "version": "99.1", "end": "0/3000000", "ended": "2026-11-30T00:00:00Z",
			"proof": {"verdict": "bad", "evidence": "a page rots"}}`,
		"feed-b4": `{"id": "feed-b9", "cluster": "feed"}`,
	} {
		b.write("vault/feed/backup/"+id+"/backup.json", record)
	}
	for _, name := range []string{"postgres", "initdb", "pg_controldata", "pg_basebackup", "pg_rewind", "pg_waldump"} {
		if err := os.Chmod(b.write("bin/"+name, "#!/bin/sh\necho 'postgres (PostgreSQL) 99.1'\n"), 0o700); err != nil {
			b.t.Fatal(err)
		}
	}
	return b.write("one.yaml", "postgres: {user: nobody, binaries: bin}\nbackup: {staging: staging, targets: {vault: {directory: vault}}}\n")
}

// TestLocalRestore: what cannot be restored is refused before anything is written. TestBackupEverythingLost shows that it restores.
func TestLocalRestore(t *testing.T) {
	b := newBench(t)
	one, into := released(b), filepath.Join(b.home, "copy")
	two := b.write("two.yaml", "backup: {staging: staging, targets: {vault: {directory: vault}, old: {directory: old}}}\n")
	restore := func(file string, more ...string) []string {
		return append([]string{"local", "restore", "feed", "-f", file, "--into", into}, more...)
	}
	b.want(exitUsage, []string{"local", "restore", "feed", "-f", one}, "--into is missing")
	b.want(exitUsage, []string{"local", "restore", "-f", one, "--into", into}, "CLUSTER is missing")
	b.want(exitUsage, restore(one, "--to", "2026-11-30 12:00:00"), "a time needs its zone")
	b.want(exitFailed, restore(b.home+"/none.yaml"), "does not exist")
	b.want(exitFailed, restore(two), "the file defines the targets old, vault: name one of them")
	b.want(exitFailed, restore(two, "--from", "tape"), "defines no target tape; it has old, vault")
	b.want(exitFailed, restore(two, "--from", "old"), "target old")
	b.want(exitFailed, restore(one), "does not hold all that backup feed-b2 is built on")
	b.want(exitFailed, restore(one, "--backup", "feed-b3"), "backup feed-b3 is bad: a page rots")
	b.want(exitFailed, restore(one, "--backup", "feed-b9"), "has no backup feed-b9 of cluster feed; it has feed-b1, feed-b2, feed-b3")
	b.want(exitFailed, restore(one, "--to", "0/1500000"), "has no WAL of cluster feed")
	b.want(exitFailed, restore(two, "--from", "vault", "--backup", "feed-b1"), "PostgreSQL 99")
	b.want(exitDone, restore(one, "--backup", "feed-b1", "--dry-run"), "feed-b1 (taken from feed-e1", "to the end of the backup, 0/1000100",
		"PostgreSQL 99.1", "stays, stopped, in "+into, "nothing was changed", "warning: read the record of backup feed-b4")
	b.want(exitDone, restore(one, "--backup", "feed-b1", "--dry-run", "-o", "json"), `"target": "vault"`, `"backup": "feed-b1"`, `"unread"`)
	b.want(exitFailed, restore(one, "--to", "0/100"), "no good backup of feed at target vault was complete before that point")
	b.want(exitFailed, restore(one, "--into", filepath.Join(b.home, "vault")), "holds files: name a folder that is absent or empty")
	b.want(exitFailed, restore(one, "--into", filepath.Join(b.home, "staging", "x")), "lies in the staging folder")
	b.want(exitFailed, restore(one, "--into", filepath.Join(b.home, "no", "copy")), "the folder above must be there")
	if _, err := os.Stat(into); err == nil {
		t.Error("what was refused has made the folder")
	}
}
