package main

import (
	"encoding/json"
	"regexp"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"mainstay/cmd/mainstay/render"
	"mainstay/deploy/guide"
	"mainstay/health"
)

func testRoot() *cobra.Command { return (&program{env: func(string) string { return "" }}).root() }

// Help needs no contexts file, no certificate and no network.
func TestHelpTopics(t *testing.T) {
	b := newBench(t)
	b.env = map[string]string{}
	b.want(exitDone, []string{"help"}, "runbook", "critical  TwoPrimaries", "PendingRestart", "switchover   Hand", "!guard ", "!site undo")
	b.want(exitDone, []string{"help", "-o", "json"})
	var all render.Topics
	if err := json.Unmarshal([]byte(b.out), &all); err != nil {
		t.Fatal(err)
	}
	for _, name := range all.Names() {
		b.want(exitDone, append([]string{"help"}, strings.Fields(strings.ToUpper(name))...))
	}
	b.want(exitDone, []string{"help", "site", "undo"}, "mainstay site undo", "Examples:", "--help")
	b.want(exitDone, []string{"help", "primarystuck"}, "PrimaryStuck\n", "severity    critical", "about       member",
		"new connections or small commits hang", "what to do  Look at its host", "next        mainstay explain CLUSTER")
	b.want(exitDone, []string{"help", "PendingRestart"}, "next        mainstay status")
	b.want(exitDone, []string{"help", "AppDown", "-o", "json"}, `"severity": "warning"`, `"about": "instance"`)
	page, _ := guide.Page("runbook")
	b.want(exitDone, []string{"help", "Runbook"})
	if b.out != page {
		t.Errorf("the page is printed as it is; got\n%s", b.out)
	}
}

// A topic is one thing: no verb, problem or page has the name of another.
func TestTopicsDiffer(t *testing.T) {
	seen := map[string]bool{}
	for _, name := range topics(testRoot()).Names() {
		if low := strings.ToLower(name); seen[low] {
			t.Errorf("%s names two topics of the help", name)
		} else {
			seen[low] = true
		}
	}
}

// typed finds what a text tells the operator to run: between backticks.
var typed = regexp.MustCompile("`mainstay ([^`]+)`")

// Every command in the table of problems is a command of this binary, with its flags.
func TestProblemsNameRealCommands(t *testing.T) {
	root := testRoot()
	for _, d := range health.Descriptions() {
		var lines []string
		for _, found := range typed.FindAllStringSubmatch(d.Meaning+" "+d.Remedy, -1) {
			lines = append(lines, found[1])
		}
		if next, ok := strings.CutPrefix(d.Next, "mainstay "); ok {
			next, _, _ = strings.Cut(next, "#")
			lines = append(lines, next)
		}
		for _, line := range lines {
			if err := realCommand(root, strings.Fields(line)); err != "" {
				t.Errorf("%s names `mainstay %s`: %s", d.Kind, line, err)
			}
		}
	}
	for _, wrong := range []string{"frobnicate", "explain --frob", "site", "help frobnicate"} {
		if realCommand(root, strings.Fields(wrong)) == "" {
			t.Errorf("mainstay %s passes as a command", wrong)
		}
	}
}

func realCommand(root *cobra.Command, words []string) string {
	verb, _, err := root.Find(words)
	switch {
	case err != nil || verb == root || strings.HasSuffix(verb.Use, "COMMAND"):
		return "no such command"
	case verb.Name() == "help":
		if _, ok := guide.Page(words[1]); !ok {
			return "no such page of the guide"
		}
	}
	for _, word := range words {
		if flag, ok := strings.CutPrefix(word, "--"); ok && verb.Flags().Lookup(flag) == nil {
			return "no flag --" + flag
		}
	}
	return ""
}

// Completion of help offers all topics, then what a verb groups.
func TestCompleteTopics(t *testing.T) {
	b := newBench(t)
	b.want(exitDone, []string{"__complete", "help", ""}, "switchover\n", "PrimaryStuck\n", "runbook\n", "!guard", "!undo")
	b.want(exitDone, []string{"__complete", "help", "site", ""}, "undo\n", "!PrimaryStuck")
	b.want(exitDone, []string{"__complete", "help", "runbook", ""}, "!undo", "!PrimaryStuck")
}
