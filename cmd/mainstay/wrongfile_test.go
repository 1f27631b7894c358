package main

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"mainstay/controller/identity"
)

// Every wrong file that a command line can name gives one error, which names the file and the remedy; no request is sent.
func TestWrongFiles(t *testing.T) {
	b := newBench(t)
	s := b.server(identity.RoleController, "c1")
	b.contexts(s.address)
	own, other := b.issue(identity.RoleOperator, "anna"), b.issue(identity.RoleViewer, "victor")
	foreign := newBench(t).issue(identity.RoleOperator, "eve")
	garbled, empty, open := b.write("garbled", "-----BEGIN CERTIFICATE-----\nzzzz\n-----END CERTIFICATE-----\n"), b.write("empty", ""),
		b.write("open.key", "")
	if err := os.Chmod(open, 0o644); err != nil {
		t.Fatal(err)
	}
	context := "current: demo\ncontexts:\n  demo:\n    controllers: [\"" + s.address + "\"]\n    tls: {ca: " + own.CA + ", cert: " + own.Cert +
		", key: " + own.Key + "}\n"
	with := func(old, new string) string { return b.write("wrong.yaml", strings.Replace(context, old, new, 1)) }
	for _, c := range []struct {
		name string
		code int
		args func() []string
		want string
	}{
		{"no certificate there", exitFailed, func() []string { return []string{"status", "--cert", "/nowhere.crt"} },
			"/nowhere.crt: there is no such file"},
		{"a certificate of another platform", exitFailed,
			func() []string { return []string{"status", "--cert", foreign.Cert, "--key", foreign.Key} },
			"it was not signed by a CA in " + own.CA + "; if that is not the CA of platform social, name its ca.crt"},
		{"a certificate without its key", exitFailed, func() []string { return []string{"status", "--cert", other.Cert} },
			"it is not the key of " + other.Cert},
		{"a garbled certificate", exitFailed, func() []string { return []string{"status", "--cert", garbled} }, garbled + ": "},
		{"an empty certificate", exitFailed, func() []string { return []string{"status", "--cert", empty} },
			empty + ": it holds no PEM certificate; issue it again"},
		{"an empty CA", exitFailed, func() []string { return []string{"status", "--ca", empty} },
			empty + ": it holds no PEM certificate; copy the platform's ca.crt there"},
		{"a key for everybody", exitFailed, func() []string { return []string{"status", "--key", open} }, "run `chmod 600 " + open + "`"},
		{"a folder", exitFailed, func() []string { return []string{"status", "--ca", b.home} }, b.home + ": cannot be read"},
		{"no such contexts file", exitUsage, func() []string { return []string{"status", "--config", "/nowhere.yaml"} },
			"contexts file /nowhere.yaml does not exist; write it, or give --controllers"},
		{"a folder of contexts", exitUsage, func() []string { return []string{"status", "--config", b.home} },
			b.home + ": is a folder, not a file; name the right file"},
		{"an empty contexts file", exitUsage, func() []string { return []string{"status", "--config", empty} }, empty + ": is empty"},
		{"a contexts file that is no text", exitUsage,
			func() []string { return []string{"status", "--config", b.write("wrong.yaml", "\x00\x01")} }, "wrong.yaml:1: is not a text file"},
		{"an unknown key", exitUsage, func() []string { return []string{"status", "--config", with("controllers:", "controler:")} },
			"wrong.yaml:4:5: contexts.demo.controler: unknown key; did you mean controllers?"},
		{"a current that is not there", exitUsage,
			func() []string { return []string{"status", "--config", with("current: demo", "current: live")} },
			`wrong.yaml:1:10: current: no context "live"; use one of: demo`},
		{"no such platform file", exitFailed, func() []string { return []string{"apply", "-f", "/nowhere.yaml"} },
			"/nowhere.yaml: does not exist; create it"},
		{"a folder of platforms", exitFailed, func() []string { return []string{"diff", "-f", b.home} },
			b.home + ": cannot be read: is a directory; name the right file"},
		{"no certificate to show", exitFailed, func() []string { return []string{"cert", "show", "/nowhere.crt"} },
			"/nowhere.crt: does not exist; create it, or name another file\n"},
		{"a key to show", exitFailed, func() []string { return []string{"cert", "show", own.Key} },
			own.Key + ": holds no certificate; name a .crt file"},
		{"no CA to issue with", exitFailed, func() []string {
			return []string{"cert", "issue", "--ca", b.home + "/none", "--role", "operator", "--name", "x"}
		}, "make a CA with `mainstay cert init`"},
		{"a name that is none", exitUsage, func() []string {
			return []string{"cert", "issue", "--ca", b.ca, "--role", "operator", "--name", "a/b"}
		}, `"a/b" is not a name for a certificate`},
		{"an address that is none", exitUsage, func() []string {
			return []string{"cert", "issue", "--ca", b.ca, "--role", "agent", "--name", "x", "--address", "10.0.0.1:7201"}
		}, `"10.0.0.1:7201" is not an address`},
		{"an age that is none", exitUsage, func() []string {
			return []string{"cert", "issue", "--ca", b.ca, "--role", "operator", "--name", "x", "--days", "99999"}
		}, "--days 99999: want 1 to"},
		{"a platform that is none", exitUsage, func() []string { return []string{"cert", "init", "a_b", "--ca", b.home + "/new"} },
			`"a_b" is not a platform name`},
		{"no agent's file", exitFailed, func() []string { return []string{"local", "-f", "/nowhere.yaml"} },
			"/nowhere.yaml: does not exist; create it, or name another file"},
	} {
		b.want(c.code, c.args(), "mainstay: ", c.want)
		if lines := strings.Count(b.err, "mainstay: "); b.out != "" || lines != 1 {
			t.Errorf("%s: want one error and nothing else, got %q and %q", c.name, b.out, b.err)
		}
	}
	if n := s.called("GET /v1/status"); n != 0 {
		t.Errorf("the controllers were asked %d times", n)
	}
}

// A named pipe that no process writes to has nothing to read, and is not waited for.
func TestPipeWithoutAWriter(t *testing.T) {
	b := newBench(t)
	pipe := filepath.Join(b.home, "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	b.want(exitFailed, []string{"validate", "-f", pipe}, "/pipe: ")
}
