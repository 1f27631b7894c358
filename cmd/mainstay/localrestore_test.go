package main

import (
	"os"
	"path/filepath"
	"testing"
)

// TestLocalRestore: what cannot be restored is refused before anything is written. TestBackupEverythingLost shows that it restores.
func TestLocalRestore(t *testing.T) {
	b := newBench(t)
	vault, into := filepath.Join(b.home, "vault"), filepath.Join(b.home, "copy")
	put := func(id, record string) {
		dir := filepath.Join(vault, "feed", "backup", id)
		if err := os.MkdirAll(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "backup.json"), []byte(record), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	put("feed-b1", `{"id": "feed-b1", "cluster": "feed", "member": "feed-e1", "kind": "full", "version": "99.1", "start": "0/1000000",
		"end": "0/1000100", "ended": "2026-11-28T00:00:00Z", "proof": {"verdict": "good"}, "receipts": [{"target": "vault"}]}`)
	put("feed-b2", `{"id": "feed-b2", "cluster": "feed", "member": "feed-e1", "kind": "incremental", "base": "feed-b0", "version": "99.1",
		"start": "0/2000000", "end": "0/2000100", "ended": "2026-11-29T00:00:00Z", "proof": {"verdict": "good"}, "receipts": [{"target": "vault"}]}`)
	put("feed-b3", `{"id": "feed-b3", "cluster": "feed", "version": "99.1", "end": "0/3000000", "ended": "2026-11-30T00:00:00Z",
		"proof": {"verdict": "bad", "evidence": "a page rots"}}`)
	put("feed-b4", `{"id": "feed-b9", "cluster": "feed"}`)
	one := b.write("one.yaml", "backup: {staging: staging, targets: {vault: {directory: vault}}}\n")
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
	b.want(exitFailed, restore(one, "--to", "0/1500000", "--dry-run"), "PostgreSQL 99")
	b.want(exitFailed, restore(one, "--to", "0/100"), "no good backup of feed at target vault was complete before that point")
	b.want(exitFailed, restore(one, "--into", vault), "holds files: name a folder that is absent or empty")
	b.want(exitFailed, restore(one, "--into", filepath.Join(b.home, "staging", "x")), "lies in the staging folder")
	b.want(exitFailed, restore(one, "--into", filepath.Join(b.home, "no", "copy")), "the folder above must be there")
	if _, err := os.Stat(into); err == nil {
		t.Error("what was refused has made the folder")
	}
}
