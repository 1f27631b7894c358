package config

import (
	"errors"
	"path/filepath"
	"reflect"
	"testing"
	"time"
)

const agentFile = `host: db-e1
controllers: ["127.0.0.1:7101", "127.0.0.1:7102"]
listen: 127.0.0.1:7201
health: 127.0.0.1:8008
data: agent
tls: {ca: ca.crt, cert: me.crt, key: me.key}
postgres:
  tls: {ca: ca.crt, cert: me.crt, key: me.key}
  parameters: {shared_buffers: 128MB, max_connections: 200, jit: off, pg_stat_statements.max: "10"}
members:
  feed-e1: {data: /var/lib/postgresql/15/main, adopt: true, replication: {user: repl, passfile: pass}, socket: run, superuser: {user: boss, passfile: password}}
  feed-e2: {binaries: /usr/lib/postgresql/15/bin}
instances:
  web-e1: {unit: web@1.service, drain: [/usr/local/bin/drain, web-e1]}
  web-e2: {command: [/usr/bin/web, --port, 8080], user: www, directory: /srv, environment: {TZ: UTC, N: 2}, stop: 3s}
quarantine: {limit: 20GB}
integrity: {every: 12h, rate: 50}
watchdog: {device: /dev/watchdog1}
`

func TestLoadAgent(t *testing.T) {
	dir := folder(t)
	got, err := LoadAgent(write(t, dir, "agent.yaml", agentFile))
	if err != nil {
		t.Fatal(err)
	}
	in := func(name string) string { return filepath.Join(dir, name) }
	tls := TLS{in("ca.crt"), in("me.crt"), in("me.key")}
	want := Agent{
		Host: "db-e1", Controllers: []string{"127.0.0.1:7101", "127.0.0.1:7102"},
		Listen: "127.0.0.1:7201", Advertise: "127.0.0.1:7201", Health: "127.0.0.1:8008", Data: in("agent"), TLS: tls,
		Postgres: Postgres{User: "postgres", Superuser: "postgres", TLS: &tls, Parameters: map[string]string{
			"shared_buffers": "128MB", "max_connections": "200", "jit": "off", "pg_stat_statements.max": "10"}},
		Members: map[string]AgentMember{
			"feed-e1": {Data: "/var/lib/postgresql/15/main", Adopt: true, Superuser: Superuser{"boss", in("password")},
				Replication: Replication{"repl", in("pass")}, Socket: in("run")},
			"feed-e2": {Binaries: "/usr/lib/postgresql/15/bin"},
		},
		Instances: map[string]AgentInstance{
			"web-e1": {Unit: "web@1.service", Stop: 10 * time.Second, Drain: []string{"/usr/local/bin/drain", "web-e1"}},
			"web-e2": {Command: []string{"/usr/bin/web", "--port", "8080"}, User: "www", Directory: "/srv",
				Environment: map[string]string{"TZ": "UTC", "N": "2"}, Stop: 3 * time.Second},
		},
		Cgroup: "automatic", Quarantine: Quarantine{20 << 30}, Integrity: Integrity{12 * time.Hour, 50},
		Backup: Backup{Staging: in("agent/backup")}, Watchdog: Watchdog{"/dev/watchdog1"}, Log: Log{"info", "console"},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

func TestAgentMistakes(t *testing.T) {
	load := func(path string) error { _, err := LoadAgent(path); return err }
	testChanges(t, agentFile, load, []change{
		{"host missing", "host: db-e1\n", "", "F:1:1: host: is missing; give the host a name"},
		{"no controllers", `controllers: ["127.0.0.1:7101", "127.0.0.1:7102"]` + "\n", "",
			"F:1:1: controllers: is missing; list the host:port of every controller"},
		{"controllers empty", `["127.0.0.1:7101", "127.0.0.1:7102"]`, "[]", "F:2:14: controllers: is empty; add an entry, or delete the key"},
		{"controllers on IPv6", `["127.0.0.1:7101", "127.0.0.1:7102"]`, "[[fd77::1]:7101, '[fd77::2]:7101']",
			`F:2:15: controllers[0]: [fd77::1]:7101 is an IPv6 address that YAML does not read as text; write it in quotes: "[fd77::1]:7101"`},
		{"controllers on IPv6, one a line", `["127.0.0.1:7101", "127.0.0.1:7102"]`, "\n  - [fd77::1]:7101\n  - [fd77::2]:7101",
			`F:3:5: [fd77::1]:7101 is an IPv6 address that YAML does not read as text; write it in quotes: "[fd77::1]:7101"`},
		{"controllers no list", `["127.0.0.1:7101", "127.0.0.1:7102"]`, "a:1",
			"F:2:14: controllers: is text, not a list; write `- entry` lines below it, or [entries]"},
		{"controller without a port", "127.0.0.1:7102", "127.0.0.1",
			`F:2:33: controllers[1]: "127.0.0.1" is not host:port; write host:port, such as 10.0.1.21:8080`},
		{"controller twice", "127.0.0.1:7102", "127.0.0.1:7101",
			"F:2:33: controllers[1]: 127.0.0.1:7101 is named twice, first at line 2; delete one of them"},
		{"health on the same port", "127.0.0.1:8008", "127.0.0.1:7201",
			`F:4:9: health: "127.0.0.1:7201" is already the address of listen; use another port`},
		{"managed parameter", "jit: off", "synchronous_standby_names: '*'",
			"F:9:61: postgres.parameters.synchronous_standby_names: is managed by Mainstay: it is the durability of the cluster; delete it here"},
		{"recovery target", "jit: off", "recovery_target_lsn: 0/1",
			"F:9:61: postgres.parameters.recovery_target_lsn: is managed by Mainstay: replicas follow the newest " +
				"timeline to its end; delete it here"},
		{"parameter in capitals", "jit: off", "Fsync: off",
			"F:9:61: postgres.parameters.Fsync: is not the name of a parameter; write it as postgresql.conf does, in small letters"},
		{"parameter with a list", "jit: off", "jit: [off]",
			"F:9:66: postgres.parameters.jit: is a list, not a value; write one value, in quotes where it has commas"},
		{"parameter of two lines", "jit: off", `jit: "a\nb"`,
			`F:9:66: postgres.parameters.jit: "a\nb" holds control characters; write it on one line`},
		{"parameter twice", "jit: off", "shared_buffers: 1GB",
			"F:9:61: postgres.parameters.shared_buffers: is given twice, first at line 9; delete one of them"},
		{"no user", "  parameters:", "  user: ''\n  parameters:",
			`F:9:9: postgres.user: "" is not the name of a user; use at most 63 letters, digits and _`},
		{"member with a bad name", "feed-e2:", "feed_e2:",
			`F:12:3: members.feed_e2: "feed_e2" is not a name; use a to z, 0 to 9 and -, a letter first, at most 41 characters`},
		{"member with an unknown key", "{binaries:", "{binary:",
			"F:12:13: members.feed-e2.binary: unknown key; allowed here: data, adopt, superuser, replication, socket, binaries"},
		{"member that is no section", "{binaries: /usr/lib/postgresql/15/bin}", "yes",
			"F:12:12: members.feed-e2: is text, not a section; write `key: value` lines below it"},
		{"adopt without data", "data: /var/lib/postgresql/15/main, ", "",
			"F:11:3: members.feed-e1.data: is missing; name the data directory to adopt"},
		{"adopt is a word", "adopt: true", "adopt: maybe", "F:11:55: members.feed-e1.adopt: is text, not true or false; write true or false"},
		{"replication without a user", "user: repl, ", "",
			`F:11:74: members.feed-e1.replication.user: "" is not the name of a user; use at most 63 letters, digits and _`},
		{"superuser of no name", "user: boss", "user: 'b o'",
			`F:11:135: members.feed-e1.superuser.user: "b o" is not the name of a user; use at most 63 letters, digits and _`},
		{"superuser with an unknown key", "passfile: password", "password: secret",
			"F:11:141: members.feed-e1.superuser.password: unknown key; allowed here: user, passfile"},
		{"superuser's passfile absent", "passfile: password", "passfile: none",
			"F:11:151: members.feed-e1.superuser.passfile: DIR/none does not exist; name a file in libpq's form, which " +
				"belongs to the agent's user " +
				"or postgres and has mode 0600"},
		{"superuser's passfile is a folder", "passfile: password", "passfile: .",
			"F:11:151: members.feed-e1.superuser.passfile: DIR is a folder, not a file; name a file in libpq's form, which belongs to the agent's " +
				"user or postgres and has mode 0600"},
		{"superuser's passfile open", "passfile: password", "passfile: open",
			"F:11:151: members.feed-e1.superuser.passfile: DIR/open has mode 0640, open to others; chmod 600 it"},
		{"watchdog that is no device", "/dev/watchdog1", "/tmp/watchdog",
			`F:18:20: watchdog.device: "/tmp/watchdog" is not a device below /dev; write its path, such as /dev/watchdog1`},
		{"watchdog outside of /dev", "/dev/watchdog1", "/dev/../tmp/x",
			`F:18:20: watchdog.device: "/dev/../tmp/x" is not a device below /dev; write its path, such as /dev/watchdog1`},
		{"instance with a bad name", "web-e1:", "Web:",
			`F:14:3: instances.Web: "Web" is not a name; use a to z, 0 to 9 and -, a letter first, at most 41 characters`},
		{"instance with an unknown key", "unit:", "units:", "F:14:12: instances.web-e1.units: unknown key; did you mean unit?"},
		{"instance that nobody can start", "unit: web@1.service, ", "",
			"F:14:3: instances.web-e1: has neither unit nor command; add unit: web.service, or command: [/usr/bin/web]"},
		{"instance that two start", "unit: web@1.service", "unit: web@1.service, command: [/usr/bin/web]",
			"F:14:42: instances.web-e1.command: cannot be combined with unit; keep one of the two"},
		{"unit without its kind", "web@1.service", "web",
			`F:14:18: instances.web-e1.unit: "web" is not the name of a unit; write it as systemctl does: web.service`},
		{"unit that a person sneaks options into", "web@1.service", "--root.service",
			`F:14:18: instances.web-e1.unit: "--root.service" is not the name of a unit; write it as systemctl does: web.service`},
		{"unit with a user", "unit: web@1.service", "unit: web@1.service, user: www",
			"F:14:39: instances.web-e1.user: is for a command; the unit's own file sets it; write it there, and delete it here"},
		{"command empty", "[/usr/bin/web, --port, 8080]", "[]", "F:15:21: instances.web-e2.command: is empty; add an entry, or delete the key"},
		{"command by PATH", "/usr/bin/web,", "web,",
			`F:15:22: instances.web-e2.command[0]: "web" is not an absolute path; write the full path of the program`},
		{"drain by PATH", "/usr/local/bin/drain", "./drain",
			`F:14:41: instances.web-e1.drain[0]: "./drain" is not an absolute path; write the full path of the program`},
		{"instance run by nobody", "user: www", "user: ''",
			`F:15:57: instances.web-e2.user: "" is not the name of a user; use at most 63 letters, digits and _`},
		{"variable of no name", "TZ: UTC", "T-Z: UTC",
			"F:15:93: instances.web-e2.environment.T-Z: is not the name of a variable; use letters, digits and _"},
		{"stop too short", "stop: 3s", "stop: 1ms", "F:15:115: instances.web-e2.stop: 1ms is out of range; use 100ms to 10m"},
		{"cgroup", "members:", "cgroup: on\nmembers:", `F:10:9: cgroup: "on" is not allowed; use automatic or off`},
	})
}

const contextsFile = `current: demo
contexts:
  demo: {controllers: ["127.0.0.1:7101"], tls: {ca: ca.crt, cert: me.crt, key: absent.key}}
  live:
    controllers: ["10.0.1.5:7101", "10.0.2.5:7101"]
    tls: {ca: /etc/ca, cert: /etc/cert, key: /etc/key}
`

func TestLoadContext(t *testing.T) {
	dir := folder(t)
	path := write(t, dir, "config.yaml", contextsFile)
	c, err := LoadContext(path)
	if err != nil {
		t.Fatal(err)
	}
	demo := Context{[]string{"127.0.0.1:7101"}, TLS{dir + "/ca.crt", dir + "/me.crt", dir + "/absent.key"}}
	if got, err := c.Pick(""); err != nil || !reflect.DeepEqual(got, demo) {
		t.Errorf("current: got %+v, %v; want %+v", got, err, demo)
	}
	if got, err := c.Pick("live"); err != nil || len(got.Controllers) != 2 || got.TLS.Key != "/etc/key" {
		t.Errorf("live: got %+v, %v", got, err)
	}
	_, err = c.Pick("dmeo")
	var unknown *UnknownContextError
	if !errors.As(err, &unknown) || err.Error() != path+`: no context "dmeo"; use one of: demo, live` {
		t.Errorf("unknown: %v", err)
	}
	c.Current = ""
	if _, err = c.Pick(""); err == nil || err.Error() != path+": no current context; name one with --context (demo, live), or set current" {
		t.Errorf("none current: %v", err)
	}
}

func TestContextMistakes(t *testing.T) {
	load := func(path string) error { _, err := LoadContext(path); return err }
	testChanges(t, contextsFile, load, []change{
		{"none", contextsFile, "current: demo\n", "F:1:1: contexts: is missing; add a context with the controllers of a platform"},
		{"current unknown", "current: demo", "current: dmeo", `F:1:10: current: no context "dmeo"; use one of: demo, live`},
		{"bad name", "live:", "Live One:",
			`F:4:3: contexts."Live One": "Live One" is not a name; use a to z, 0 to 9 and -, a letter first, at most 41 characters`},
		{"no controllers", `controllers: ["127.0.0.1:7101"], `, "",
			"F:3:3: contexts.demo.controllers: is missing; list the host:port of every controller"},
		{"no key", ", key: /etc/key", "", "F:6:10: contexts.live.tls.key: is missing; name the file"},
		{"no section", "  live:\n", "  live: x\n  other:\n", "F:4:9: contexts.live: is text, not a section; write `key: value` lines below it"},
		{"same context twice", "live:", "demo:", "F:4:3: contexts.demo: is given twice, first at line 3; delete one of them"},
	})
}
