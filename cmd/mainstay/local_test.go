package main

import (
	"net/http"
	"os"
	"strings"
	"testing"

	"mainstay/controller/identity"
)

func agentFile(b *bench, listen string) string {
	return b.write("agent.yaml", "host: db-e1\ncontrollers: [\"127.0.0.1:7101\"]\nlisten: "+listen+
		"\ndata: data\ntls: {ca: ca/ca.crt, cert: ca/agent-db-e1.crt, key: ca/agent-db-e1.key}\n")
}

func TestLocal(t *testing.T) {
	b := newBench(t)
	s := b.server(identity.RoleAgent, "db-e1")
	own := statusOf("")
	own.Source = "agent db-e1"
	s.answer("GET /v1/status", http.StatusOK, own)
	file := agentFile(b, s.address)
	b.want(exitDone, []string{"local", "-f", file}, "agent db-e1", "feed-e1")

	file = agentFile(b, "127.0.0.1:1")
	b.want(exitDone, []string{"local", "-f", file, "--address", s.address}, "agent db-e1")
	b.want(exitFailed, []string{"local", "-f", file}, "the agent does not answer", "its state cannot be read")
	b.write("data/members/feed-e1.json",
		`{"epoch":{"generation":1,"number":4},"closed":{"generation":1,"number":3},"incarnation":"feed-e1.2"}`)
	b.write("data/members/tags-e1.json", `{"epoch"`)
	if err := os.MkdirAll(b.home+"/data/members/feed-e1", 0o700); err != nil {
		t.Fatal(err)
	}
	b.want(exitFailed, []string{"local", "-f", file}, "no answer", "connection refused", "feed-e1.2", "1.4", "1.3",
		"tags-e1.json: unexpected end", "next: systemctl status mainstay-agent")
	b.want(exitFailed, []string{"local", "-f", file, "-o", "json"}, `"incarnation": "feed-e1.2"`)
	b.want(exitFailed, []string{"local", "-f", b.home + "/none.yaml"}, "none.yaml: does not exist")
}

// TestLocalFindsItsFile: the command that status prints, mainstay local HOST, works as it stands on a host, and on a machine with the
// agents of several.
func TestLocalFindsItsFile(t *testing.T) {
	b := newBench(t)
	s := b.server(identity.RoleAgent, "db-e1")
	own := statusOf("")
	own.Source = "agent db-e1"
	s.answer("GET /v1/status", http.StatusOK, own)
	text, err := os.ReadFile(agentFile(b, s.address))
	if err != nil {
		t.Fatal(err)
	}
	b.env["MAINSTAY_ETC"] = b.home
	b.want(exitDone, []string{"local"}, "agent db-e1")
	b.want(exitDone, []string{"local", "db-e1"}, "agent db-e1")
	b.want(exitRefused, []string{"local", "db-e2"}, "agent.yaml is the file of host db-e1; run `mainstay local db-e2` on host db-e2")

	if err := os.Remove(b.home + "/agent.yaml"); err != nil {
		t.Fatal(err)
	}
	b.want(exitFailed, []string{"local"}, "agent.yaml: does not exist")
	b.write("agent-db-e1.yaml", string(text))
	b.write("agent-db-e2.yaml", strings.Replace(string(text), "host: db-e1", "host: db-e2", 1))
	b.want(exitUsage, []string{"local"}, "name one with -f, or the host: mainstay local db-e1, mainstay local db-e2\n")
	b.want(exitUsage, []string{"local", "mask", "feed-e1"}, "name one with -f")
	b.want(exitDone, []string{"local", "db-e1"}, "agent db-e1")
	b.want(exitFailed, []string{"local", "db-e3"}, "agent.yaml: does not exist")
}

func TestCompletion(t *testing.T) {
	b, s := leader(t)
	s.answer("GET /v1/status", http.StatusOK, statusOf("127.0.0.1:1"))
	for _, shell := range []string{"bash", "zsh", "fish", "powershell"} {
		b.want(exitDone, []string{"completion", shell}, "mainstay", "__complete")
	}
	b.want(exitDone, []string{"__complete", "explain", ""}, "!feed")
	b.want(exitDone, []string{"status"})
	calls := s.called("GET /v1/status")
	for _, c := range []struct{ line, want string }{
		{"swi", "switchover"}, {"explain ", "feed"}, {"switchover feed --to ", "feed-e1"}, {"status --output ", "json"},
		{"status --context ", "demo"},
		{"cert issue --role ", "viewer"}, {"validate --kind ", "contexts"}, {"controllers ", "transfer"}, {"completion ", "fish"},
	} {
		args := strings.Split(c.line, " ")
		b.want(exitDone, append([]string{"__complete"}, args...), c.want)
	}
	b.want(exitDone, []string{"__complete", "switchover", "feed", "--to", ""}, "!feed-e2") // the primary is no target
	b.want(exitDone, []string{"__complete", "gua"}, "!guard")
	if s.called("GET /v1/status") != calls {
		t.Error("completion asked over the network")
	}
}
