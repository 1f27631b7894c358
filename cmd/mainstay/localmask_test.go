package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"mainstay/controller/identity"
)

func TestLocalMask(t *testing.T) {
	b := newBench(t)
	b.server(identity.RoleAgent, "db-e1") // whose certificate the agent's file names
	etc := filepath.Join(b.home, "postgresql")
	t.Setenv("PG_CLUSTER_CONF_ROOT", etc)
	data := filepath.Join(b.home, "pg")
	file := agentFile(b, "127.0.0.1:1")
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	file = b.write("agent.yaml", string(text)+"members:\n  feed-e1: {data: "+data+
		", adopt: true}\n  feed-e2: {data: /elsewhere, adopt: true}\n")
	b.write("postgresql/15/main/postgresql.conf", "data_directory = '"+data+"'\n")
	start := b.write("postgresql/15/main/start.conf", "auto\n")
	mode := func() string {
		t.Helper()
		raw, err := os.ReadFile(start)
		if err != nil {
			t.Fatal(err)
		}
		return string(raw)
	}

	b.want(exitUsage, []string{"local", "mask", "-f", file}, "MEMBER is missing")
	b.want(exitFailed, []string{"local", "mask", "feed-e9", "-f", file}, "this host has no member feed-e9", "feed-e1, feed-e2")
	b.want(exitDone, []string{"local", "mask", "feed-e2", "-f", file}, "no service on this host would start PostgreSQL on /elsewhere")
	b.want(exitDone, []string{"local", "mask", "feed-e1", "-f", file, "--dry-run"}, "would do", "write disabled into "+start+" (now auto")
	b.want(exitRefused, []string{"local", "mask", "feed-e1", "-f", file}, "no terminal to confirm on")
	if mode() != "auto\n" {
		t.Fatalf("start.conf was changed:\n%s", mode())
	}
	b.want(exitDone, []string{"local", "mask", "feed-e1", "-f", file, "--yes"}, "done", start)
	if !strings.HasSuffix(mode(), "\ndisabled\n") {
		t.Fatalf("start.conf:\n%s", mode())
	}
	b.want(exitDone, []string{"local", "mask", "feed-e1", "-f", file, "--yes"}, "nothing to mask for feed-e1")
	b.want(exitDone, []string{"local", "unmask", "feed-e1", "-f", file, "--dry-run", "-o", "json"}, `"done": false`, `"mode": "disabled"`)
	b.want(exitDone, []string{"local", "unmask", "feed-e1", "-f", file, "--yes"}, "put back "+start)
	if mode() != "auto\n" {
		t.Fatalf("start.conf was not put back:\n%s", mode())
	}
	b.want(exitDone, []string{"local", "unmask", "feed-e1", "-f", file, "--yes"}, "nothing to unmask")
}
