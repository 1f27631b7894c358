package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"mainstay/cmd/mainstay/render"
	"mainstay/controller/config"
	"mainstay/controller/state"
	"mainstay/controller/wire"
	"mainstay/deploy/guide"
	"mainstay/health"
)

var (
	codeSpan = regexp.MustCompile("`([^`\n]+)`")
	word     = regexp.MustCompile(`"[^"]*"|\S+`)
)

// commandsOf are the command lines of `mainstay` in a Markdown text, without "mainstay": lines of code blocks, and code in prose.
func commandsOf(text string) (lines, spans []string) {
	block := false
	for _, line := range strings.Split(text, "\n") {
		trimmed := strings.TrimSpace(line)
		switch {
		case strings.HasPrefix(trimmed, "```"):
			block = !block
		case block || strings.HasPrefix(line, "    "):
			if c, ok := strings.CutPrefix(strings.TrimPrefix(trimmed, "sudo -u mainstay "), "mainstay "); ok {
				c, _, _ = strings.Cut(c, " #")
				lines = append(lines, c)
			}
		default:
			for _, m := range codeSpan.FindAllStringSubmatch(line, -1) {
				if c, ok := strings.CutPrefix(m[1], "mainstay "); ok {
					spans = append(spans, c)
				}
			}
		}
	}
	return lines, spans
}

// understood asks the real tree of commands whether it knows a command line: the verb, its flags, and as many arguments. Prose may
// name a verb without its arguments. Nothing is run.
func understood(line string, prose bool) error {
	var args []string
	for _, w := range word.FindAllString(line, -1) {
		args = append(args, strings.Trim(w, `"`))
	}
	p := &program{stdout: io.Discard, stderr: io.Discard, env: func(string) string { return "" },
		signals: func(ctx context.Context) (context.Context, context.CancelFunc) { return context.WithCancel(ctx) }}
	cmd, rest, err := p.root().Find(args)
	if err != nil {
		return err
	}
	if cmd.Name() == "help" {
		return helped(p, rest)
	}
	if err := cmd.ParseFlags(rest); err != nil {
		return err
	}
	if rest = cmd.Flags().Args(); prose && len(rest) == 0 && !cmd.HasSubCommands() {
		return nil
	}
	return cmd.ValidateArgs(rest)
}

// helped tells whether there is help of that name: a verb, a page of the guides, or a problem.
func helped(p *program, args []string) error {
	name := strings.Join(args, " ")
	if slices.Contains(guide.Pages(), name) || slices.Contains([]string{"NAME", "KIND", "PAGE", "PROBLEM", "VERB"}, name) ||
		slices.ContainsFunc(health.Descriptions(), func(d health.Description) bool { return string(d.Kind) == name }) {
		return nil
	}
	if cmd, rest, err := p.root().Find(args); err != nil || len(rest) > 0 || !cmd.HasParent() {
		return fmt.Errorf("no help of the name %q", name)
	}
	return nil
}

func TestGuidesNameRealCommands(t *testing.T) {
	texts := map[string]string{}
	for _, name := range guide.Pages() {
		texts["deploy/guide/"+name+".md"], _ = guide.Page(name)
	}
	for _, file := range []string{"README.md", "test/bench/README.md"} {
		b, err := os.ReadFile("../../" + file)
		if err != nil {
			t.Fatal(err)
		}
		texts[file] = string(b)
	}
	checked := 0
	for file, text := range texts {
		lines, spans := commandsOf(text)
		checked += len(lines) + len(spans)
		for _, c := range lines {
			if err := understood(c, false); err != nil {
				t.Errorf("%s: mainstay %s: %v", file, c, err)
			}
		}
		for _, c := range spans {
			if err := understood(c, true); err != nil {
				t.Errorf("%s: `mainstay %s`: %v", file, c, err)
			}
		}
	}
	if checked < 80 {
		t.Errorf("only %d command lines were found", checked)
	}
}

// What status prints as the next command can be copied into a shell as it stands.
func TestNextCommandsCanBeCopied(t *testing.T) {
	for _, d := range health.Descriptions() {
		next, _, _ := strings.Cut(strings.NewReplacer("CLUSTER", "feed", "OPERATION", "feed-4", "HOST", "db-e1").Replace(d.Next), "  #")
		if next == "" {
			continue
		}
		args, ok := strings.CutPrefix(next, "mainstay ")
		if err := understood(args, false); !ok || err != nil {
			t.Errorf("%s: next: %s: %v", d.Kind, next, err)
		}
	}
	st := statusOf("")
	for name, change := range map[string]func(*wire.Status){
		"no leader":              func(s *wire.Status) { s.Leader = "" },
		"no platform":            func(s *wire.Status) { s.Platform = "" },
		"a controller is away":   func(s *wire.Status) { s.Controllers = []wire.Controller{{Name: "c1", Leader: true}, {Name: "c2"}} },
		"a pause":                func(s *wire.Status) { s.Problems = paused(s) },
		"a cluster to be looked": func(s *wire.Status) { s.Problems = []health.Problem{{Kind: "NewKind", Cluster: "feed"}} },
	} {
		s := st
		s.Clusters = slices.Clone(st.Clusters)
		change(&s)
		_, next, ok := strings.Cut(render.Status(s, render.Options{}), "\nnext: mainstay ")
		next, _, _ = strings.Cut(next, "\n")
		if err := understood(next, false); !ok || err != nil {
			t.Errorf("%s: next: mainstay %s: %v", name, next, err)
		}
	}
}

func paused(s *wire.Status) []health.Problem {
	s.Clusters[0].Pause = &state.Pause{By: "anna"}
	return []health.Problem{{Kind: health.ClusterPaused, Cluster: s.Clusters[0].Name}}
}

// The check of command lines finds what it is for.
func TestUnrealCommands(t *testing.T) {
	lines,
		spans := commandsOf(
		"Run `mainstay approve` or\n\n    mainstay status   # look\n\n```sh\nsudo -u mainstay mainstay dsn feed\nmainstay: an " +
			"error\n```\nmainstay is prose.\n")
	if want := []string{"status  ", "dsn feed"}; !slices.Equal(lines, want) || !slices.Equal(spans, []string{"approve"}) {
		t.Errorf("found %q and %q", lines, spans)
	}
	for _, c := range []string{
		"statsu", "status --frob", "status feed", "site swithover", "site switchover --too west", "approve", "pause feed now --reason x",
		"help nothing", "help", "pause feed --for 30", "cert issue --role agent extra",
	} {
		if understood(c, false) == nil {
			t.Errorf("mainstay %s is taken for a real command", c)
		}
	}
	for _, c := range []string{"help runbook", "help switchover", "help PrimaryStuck", "help member quarantine"} {
		if err := understood(c, false); err != nil {
			t.Errorf("mainstay %s: %v", c, err)
		}
	}
}

// TestBackupsGuide: the sections of both files that the guide shows are right, and each key of theirs is in the guide of settings.
func TestBackupsGuide(t *testing.T) {
	page, _ := guide.Page("backups")
	settings, _ := guide.Page("settings")
	block := func(text, name string) string {
		m := regexp.MustCompile("(?s)<!-- " + name + " -->\n```yaml\n(.*?)```").FindStringSubmatch(text)
		if m == nil {
			t.Fatalf("there is no block %s", name)
		}
		return m[1]
	}
	day, _ := guide.Page("dayone")
	plan := "    " + strings.ReplaceAll(strings.TrimSpace(block(page, "backups: platform")), "\n", "\n    ") + "\n"
	if _, err := config.ParsePlatform("platform.yaml", []byte(block(day, "dayone: platform")+plan)); err != nil {
		t.Errorf("the platform file: %v", err)
	}
	dir := t.TempDir()
	file := filepath.Join(dir, "agent.yaml")
	for name, text := range map[string]string{"ca.crt": "x", "c.crt": "x", "c.key": "x", "s3.yaml": "x",
		"agent.yaml": "host: db-e1\ncontrollers: [\"10.0.1.31:7101\"]\nlisten: 10.0.1.11:7201\ndata: data\n" +
			"tls: {ca: ca.crt, cert: c.crt, key: c.key}\n" + strings.ReplaceAll(block(page, "backups: agent"), "/etc/mainstay/", "")} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(filepath.Join(dir, "data"), 0o700); err != nil {
		t.Fatal(err)
	}
	cfg, err := config.LoadAgent(file)
	if err != nil || len(cfg.Backup.Targets) != 3 {
		t.Errorf("the agent's file: %+v, %v", cfg.Backup, err)
	}
	for key := range strings.FieldsSeq("staging targets s3 exec every full keep rate archive restore-test structure checks") {
		if !strings.Contains(settings, "| `"+key+"` |") {
			t.Errorf("the guide of settings lacks the key %s", key)
		}
	}
}
