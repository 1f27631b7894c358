package main

import (
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

// Every wrong flag and argument gives one clear error, the usage line, and exit code 2; nothing is asked of everyRole.
func TestUsage(t *testing.T) {
	b := newBench(t)
	b.contexts("127.0.0.1:1")
	for _, c := range []struct{ line, want string }{
		{"", "name a command"},
		{"statsu", `unknown command "statsu"; did you mean status`},
		{"frobnicate", `unknown command "frobnicate"`},
		{"status --frob", "unknown flag: --frob"},
		{"status feed", `unexpected argument "feed"`},
		{"status --output yaml", `--output "yaml": want table or json`},
		{"status --timeout soon", `--timeout "soon": want a time above zero`},
		{"status --timeout 0s", `--timeout "0s": want a time above zero`},
		{"status --controllers nowhere", `--controllers "nowhere": want host:port`},
		{"status --controllers a:1,b:99999", `--controllers "b:99999": want host:port`},
		{"status --agents :7201", `--agents ":7201": want host:port`},
		{"status --context live", `no context "live"; use one of: demo`},
		{"status --config /nowhere/c.yaml", "contexts file /nowhere/c.yaml does not exist"},
		{"status --watch=maybe", `invalid argument "maybe"`},
		{"watch x", `unexpected argument "x"`},
		{"explain", "CLUSTER is missing"},
		{"explain a b", `unexpected argument "b"`},
		{"explain ../x", `CLUSTER "../x": not a name`},
		{"history", "CLUSTER is missing"},
		{"history feed feed/1", `ID "feed/1": not a name`},
		{"history feed --limit 0", "--limit 0: want 1 to 1000"},
		{"history feed --limit many", `invalid argument "many"`},
		{"switchover", "CLUSTER is missing"},
		{"switchover feed --to a/b", `--to "a/b": not a name`},
		{"switchover feed --wait 0s", "--wait 0s: want a time above zero"},
		{"switchover feed --wait long", `invalid argument "long"`},
		{"failover feed", "--to is missing"},
		{"failover feed --to feed-e2", "--accept-loss is missing"},
		{"failover feed --to feed-e2 --accept-loss", "flag needs an argument: --accept-loss"},
		{"failover feed --to ? --accept-loss x", `--to "?": not a name`},
		{"failover feed --to feed-e2 --accept-loss x --wait -1s", "--wait -1s: want a time above zero"},
		{"failover --to feed-e2 --accept-loss x", "CLUSTER is missing"},
		{"site", "name a command: continue, history, retry, switchover, undo"},
		{"site swithover", `unknown command "swithover"; did you mean switchover`},
		{"site switchover", "--to is missing"},
		{"site switchover west", `unexpected argument "west"`},
		{"site switchover --to a/b", `--to "a/b": not a name`},
		{"site switchover --to west --wait 0s", "--wait 0s: want a time above zero"},
		{"site retry a/b", `CHANGE "a/b": not a name`},
		{"site undo site-1 now", `unexpected argument "now"`},
		{"site continue --wait 0s", "--wait 0s: want a time above zero"},
		{"site history a b", `unexpected argument "b"`},
		{"approve", "OPERATION|CLUSTER is missing"},
		{"approve feed-1 --wait 0s", "--wait 0s: want a time above zero"},
		{"pause", "CLUSTER is missing"},
		{"pause feed", "--reason is missing"},
		{"pause feed --reason x --for -1m", "--for -1m0s: want a time above zero"},
		{"pause feed --reason x --for 30", `invalid argument "30"`},
		{"resume", "CLUSTER is missing"},
		{"member", "name a command: quarantine"},
		{"member quarantine", "name a command: drop, list, show"},
		{"member quarantine list a b", `unexpected argument "b"`},
		{"member quarantine list ../x", "not a name"},
		{"member quarantine show", "ID is missing"},
		{"member quarantine show a/b", `ID "a/b": not a name`},
		{"member quarantine drop --reason x", "ID is missing"},
		{"member quarantine drop x", "--reason is missing"},
		{"resume feed now", `unexpected argument "now"`},
		{"apply", "-f is missing"},
		{"apply platform.yaml", `unexpected argument "platform.yaml"`},
		{"diff", "-f is missing"},
		{"export x", `unexpected argument "x"`},
		{"validate", "-f is missing"},
		{"validate -f x --kind cluster", `--kind "cluster": want platform, controller, agent, contexts`},
		{"dsn", "CLUSTER is missing"},
		{"dsn feed --any --primary", "[any primary]"},
		{"local x y", `unexpected argument "y"`},
		{"local --address here", `--address "here": want host:port`},
		{"version x", `unexpected argument "x"`},
		{"help primarystuk", `no help topic "primarystuk"; did you mean PrimaryStuck?`},
		{"help runbok", `no help topic "runbok"; did you mean runbook?`},
		{"help site swithover", `no help topic "site swithover"; did you mean site switchover?`},
		{"help damaged", "no help topic \"damaged\"; `mainstay help runbook` has \"Damaged data\": mainstay help \"Damaged data\" prints that"},
		{"help frobnicate", `no help topic "frobnicate"; mainstay help lists all`},
		{"help status feed", `no help topic "status feed"`},
		{"completion", "name one shell"},
		{"completion tcsh", `no completion for "tcsh"`},
		{"controller", "-f is missing"},
		{"controller -f /", "-f /: is a folder"},
		{"controller x", `unexpected argument "x"`},
		{"agent", "-f is missing"},
		{"agent --file", "flag needs an argument: --file"},
		{"controllers", "name a command: add, init, list, recover, remove, transfer"},
		{"controllers lsit", `unknown command "lsit"; did you mean init or list`},
		{"controllers init x", `ADDRESS "x": want host:port`},
		{"controllers list x", `unexpected argument "x"`},
		{"controllers add", "name one ADDRESS"},
		{"controllers add c4", `ADDRESS "c4": want host:port`},
		{"controllers remove", "NAME is missing"},
		{"controllers remove a/b", `NAME "a/b": not a name`},
		{"controllers transfer c2", `unexpected argument "c2"`},
		{"controllers transfer --to a/b", `--to "a/b": not a name`},
		{"cert", "name a command: init, issue, show"},
		{"cert init", "PLATFORM is missing"},
		{"cert issue", "--role is missing"},
		{"cert issue --role agent", "--name is missing"},
		{"cert issue --role agent --name x --days -1", "--days -1"},
		{"cert show", "FILE is missing"},
	} {
		t.Run(c.line, func(t *testing.T) {
			b.t = t
			b.want(exitUsage, strings.Fields(c.line), "mainstay: ", c.want, "usage: mainstay", "--help")
			if b.out != "" || strings.Count(b.err, "\n") > 4 {
				t.Errorf("want nothing on standard output and a short message; got %q and %q", b.out, b.err)
			}
		})
	}
}

func TestVariables(t *testing.T) {
	b := newBench(t)
	b.contexts("127.0.0.1:1")
	for _, c := range []struct{ name, value, want string }{
		{"MAINSTAY_OUTPUT", "xml", `--output "xml"`},
		{"MAINSTAY_TIMEOUT", "x", `--timeout "x"`},
		{"MAINSTAY_CONTROLLERS", "x", `--controllers "x"`},
		{"MAINSTAY_AGENTS", "x", `--agents "x"`},
		{"MAINSTAY_CONTEXT", "live", `no context "live"`},
		{"MAINSTAY_CONFIG", "/nowhere/x", "contexts file /nowhere/x does not exist"},
	} {
		b.env = map[string]string{"HOME": b.home, c.name: c.value}
		b.want(exitUsage, []string{"status"}, c.want)
	}
	b.env = map[string]string{"HOME": b.home, "MAINSTAY_OUTPUT": "xml"}
	b.want(exitDone, []string{"version", "--output", "json"}, `"protocolMax"`)
	for _, name := range []string{"CA", "CERT", "KEY"} {
		b.env = map[string]string{"HOME": b.home, "MAINSTAY_" + name: "/nowhere/file"}
		b.want(exitFailed, []string{"status"}, "/nowhere/file")
	}
	b.env = map[string]string{}
	b.want(exitUsage, []string{"status"}, "HOME is not set")
}

func TestErrorAsJSON(t *testing.T) {
	b := newBench(t)
	b.want(exitUsage, []string{"status", "--output", "json", "--timeout", "x"}, `"exit": 2`, `"error": "--timeout`)
}

// Every command has a short and a long help, and an example that names it.
func TestHelp(t *testing.T) {
	b := newBench(t)
	var walk func(c *cobra.Command)
	walk = func(c *cobra.Command) {
		for _, sub := range c.Commands() {
			walk(sub)
		}
		args := append(strings.Fields(c.CommandPath())[1:], "--help")
		b.want(exitDone, args, "Examples:", c.CommandPath())
		if len(c.Long) < 20 || c.Short == "" || !strings.Contains(c.Example, "mainstay ") {
			t.Errorf("%s: wants a short and a long help, and an example", c.CommandPath())
		}
	}
	walk((&program{env: func(string) string { return "" }}).root())
}
