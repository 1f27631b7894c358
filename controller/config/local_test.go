package config

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"syscall"
	"testing"
	"time"
)

// folder makes a folder with certificates in it; messages name it, so tests write DIR for it.
func folder(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for _, name := range []string{"ca.crt", "me.crt", "me.key", "password"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "open"), nil, 0o640); err != nil {
		t.Fatal(err)
	}
	return dir
}

func write(t *testing.T, dir, name, text string) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// change is one broken copy of a local file and what its reader is told; F stands for the file, DIR for its folder.
type change struct{ name, old, new, want string }

func testChanges(t *testing.T, text string, load func(path string) error, changes []change) {
	t.Helper()
	for _, tc := range changes {
		t.Run(tc.name, func(t *testing.T) {
			dir := folder(t)
			if !strings.Contains(text, tc.old) {
				t.Fatalf("the file does not contain %q", tc.old)
			}
			path := write(t, dir, "f.yaml", strings.Replace(text, tc.old, tc.new, 1))
			err := load(path)
			var ms Mistakes
			if !errors.As(err, &ms) {
				t.Fatalf("got %v, want Mistakes", err)
			}
			got := strings.ReplaceAll(strings.ReplaceAll(err.Error(), path, "F"), dir, "DIR")
			if got != tc.want {
				t.Errorf("got\n%s\nwant\n%s", got, tc.want)
			}
		})
	}
}

const controllerFile = `name: c1
site: east
listen: 127.0.0.1:7101
data: state/controller
tls: {ca: ca.crt, cert: me.crt, key: me.key}
metrics: 127.0.0.1:9101
etcd: {endpoints: ["http://127.0.0.1:2379"], user: x, password-file: password}
log: {format: json}
programs: [/usr/local/bin/check, /usr/local/sbin/cut-power]
`

func TestLoadController(t *testing.T) {
	dir := folder(t)
	got, err := LoadController(write(t, dir, "controller.yaml", controllerFile))
	if err != nil {
		t.Fatal(err)
	}
	in := func(name string) string { return filepath.Join(dir, name) }
	want := Controller{
		Name: "c1", Site: "east", Listen: "127.0.0.1:7101", Advertise: "127.0.0.1:7101", Data: in("state/controller"),
		TLS: TLS{in("ca.crt"), in("me.crt"), in("me.key")}, Metrics: "127.0.0.1:9101",
		Etcd: &Etcd{Endpoints: []string{"http://127.0.0.1:2379"}, Prefix: "/mainstay", Lease: 10 * time.Second,
			User: "x", PasswordFile: in("password")},
		Log: Log{Level: "info", Format: "json"}, Programs: []string{"/usr/local/bin/check", "/usr/local/sbin/cut-power"},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

func TestControllerMinimal(t *testing.T) {
	dir := folder(t)
	got, err := LoadController(write(t, dir, "c.yaml", "name: c1\nsite: east\nlisten: ':7101'\nadvertise: c1.example.org:7101\n"+
		"data: "+dir+"/data/../state\ntls: {ca: "+dir+"/ca.crt, cert: ./me.crt, key: me.key}\n"))
	if err != nil {
		t.Fatal(err)
	}
	if got.Data != dir+"/state" || got.TLS.CA != dir+"/ca.crt" || got.TLS.Cert != dir+"/me.crt" {
		t.Errorf("paths: %+v", got)
	}
	if got.Etcd != nil || len(got.Programs) > 0 || got.Metrics != "" || got.Log != (Log{"info", "console"}) ||
		got.Advertise != "c1.example.org:7101" {
		t.Errorf("defaults: %+v", got)
	}
}

// TestRelativePath loads by a relative name: what comes out must hold after a change of folder.
func TestRelativePath(t *testing.T) {
	dir := folder(t)
	write(t, dir, "controller.yaml", controllerFile)
	t.Chdir(dir)
	got, err := LoadController("controller.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if !filepath.IsAbs(got.Data) || filepath.Base(got.TLS.CA) != "ca.crt" || !filepath.IsAbs(got.TLS.CA) {
		t.Errorf("not absolute: %+v", got)
	}
}

func TestControllerMistakes(t *testing.T) {
	load := func(path string) error { _, err := LoadController(path); return err }
	testChanges(t, controllerFile, load, []change{
		{"empty", controllerFile, "", "F: is empty; write the settings into it"},
		{"not YAML", "name: c1", "name: [c1",
			"F:1: is not YAML: did not find expected ',' or ']'; check the indentation, the colons and the quotes around it"},
		{"unknown key", "listen:", "listn:", "F:3:1: listn: unknown key; did you mean listen?"},
		{"wrong type", "site: east", "site: 1", `F:2:7: site: is a number, not text; write it in quotes: "1"`},
		{"names", "name: c1\nsite: east", "name: C1\nsite: all",
			"F:1:7: name: \"C1\" is not a name; use a to z, 0 to 9 and -, a letter first, at most 41 characters\n" +
				"F:2:7: site: \"all\" is a reserved word; give the site another name"},
		{"listen missing", "listen: 127.0.0.1:7101\n", "", "F:1:1: listen: is missing; write host:port, such as 10.0.1.11:7101"},
		{"listen without a port", "127.0.0.1:7101", "127.0.0.1",
			`F:3:9: listen: "127.0.0.1" is not host:port; write host:port, such as 10.0.1.11:7101`},
		{"listen on IPv6 without quotes", "127.0.0.1:7101", "[fd77::31]:7101",
			`F:3:9: [fd77::31]:7101 is an IPv6 address that YAML does not read as text; write it in quotes: "[fd77::31]:7101"`},
		{"listen everywhere without quotes", "127.0.0.1:7101", "[::]:7101 # all",
			`F:3:9: [::]:7101 is an IPv6 address that YAML does not read as text; write it in quotes: "[::]:7101"`},
		{"advertise on IPv6 without quotes", "data:", "advertise: [fd77::31]:7101\ndata:",
			`F:4:12: [fd77::31]:7101 is an IPv6 address that YAML does not read as text; write it in quotes: "[fd77::31]:7101"`},
		{"metrics on IPv6 without quotes", "127.0.0.1:9101", "[::1]:9101",
			`F:6:10: [::1]:9101 is an IPv6 address that YAML does not read as text; write it in quotes: "[::1]:9101"`},
		{"listen on IPv6 without a port", "127.0.0.1:7101", "[fd77::31]",
			`F:3:9: listen: [fd77::31] is an IPv6 address that YAML does not read as text; write it without the brackets or, with its port, in quotes: "[fd77::31]:7101"`},
		{"listen on IPv6 without brackets", "127.0.0.1:7101", "fd77::31:7101",
			`F:3:9: listen: "fd77::31:7101" is not host:port: an IPv6 address needs brackets, such as [fd00::11]:7101; write host:port, such as 10.0.1.11:7101`},
		{"etcd on IPv6 without quotes", `"http://127.0.0.1:2379"`, "http://[fd77::41]:2379",
			`F:7:20: http://[fd77::41]:2379 is an IPv6 address that YAML does not read as text; write it in quotes: "http://[fd77::41]:2379"`},
		{"listen on port 0", "127.0.0.1:7101", "127.0.0.1:0",
			`F:3:9: listen: "127.0.0.1:0" has no port between 1 and 65535; write host:port, such as 10.0.1.11:7101`},
		{"listen everywhere, advertise nothing", "127.0.0.1:7101", "0.0.0.0:7101",
			`F:3:9: listen: "0.0.0.0:7101" means every address of this machine, to which others cannot connect; add advertise: with the address that they use`},
		{"advertise everything", "data:", "advertise: 0.0.0.0:7101\ndata:",
			`F:4:12: advertise: "0.0.0.0:7101" is not the address of one host; write host:port, such as 10.0.1.21:8080`},
		{"data missing", "data: state/controller\n", "", "F:1:1: data: is missing; name a separate folder on a disk that survives a restart"},
		{"data is a file", "state/controller", "ca.crt",
			"F:4:7: data: DIR/ca.crt is a file, not a folder; name a folder that this user may write into"},
		{"data below a file", "state/controller", "ca.crt/x",
			"F:4:7: data: DIR/ca.crt/x cannot be read: not a directory; name a folder that this user may write into"},
		{"data from home", "state/controller", "~/state", `F:4:7: data: "~/state" begins with ~, which is not expanded; write the full path`},
		{"tls missing", "tls: {ca: ca.crt, cert: me.crt, key: me.key}\n", "", "F:1:1: tls.ca: is missing; name the authority's certificate\n" +
			"F:1:1: tls.cert: is missing; name the certificate, made by `mainstay cert`\nF:1:1: tls.key: is missing; name the certificate's key"},
		{"certificate missing", "cert: me.crt", "cert: you.crt",
			"F:5:25: tls.cert: DIR/you.crt does not exist; name the certificate, made by `mainstay cert`, and let this user read it"},
		{"key is a folder", "key: me.key", "key: .",
			"F:5:38: tls.key: DIR is a folder, not a file; name the certificate's key, and let this user read it"},
		{"metrics on the same port", "127.0.0.1:9101", "127.0.0.1:7101",
			`F:6:10: metrics: "127.0.0.1:7101" is already the address of listen; use another port`},
		{"metrics without a port", "127.0.0.1:9101", "nowhere",
			`F:6:10: metrics: "nowhere" is not host:port; write host:port, or delete the key for no listener`},
		{"program by PATH", "/usr/local/bin/check", "check",
			`F:9:12: programs[0]: "check" is not an absolute path; write the full path of a program`},
		{"programs that are no list", "[/usr/local/bin/check, /usr/local/sbin/cut-power]", "/usr/local/bin/check",
			"F:9:11: programs: is text, not a list; write `- entry` lines below it, or [entries]"},
		{"etcd without endpoints", `endpoints: ["http://127.0.0.1:2379"], `, "", "F:7:7: etcd.endpoints: is missing; list the URLs of etcd"},
		{"etcd without a scheme", "http://127.0.0.1:2379", "127.0.0.1:2379",
			`F:7:20: etcd.endpoints[0]: "127.0.0.1:2379" is not an http or https URL; write a URL such as https://10.0.1.31:2379`},
		{"etcd without a port", "http://127.0.0.1:2379", "http://127.0.0.1",
			`F:7:20: etcd.endpoints[0]: "http://127.0.0.1" is not host:port; write a URL such as https://10.0.1.31:2379`},
		{"etcd with a password", "http://127.0.0.1:2379", "http://u:p@127.0.0.1:2379",
			"F:7:20: etcd.endpoints[0]: holds a password or a user; write a URL such as https://10.0.1.31:2379"},
		{"etcd prefix", "user: x", "prefix: mainstay/, user: x",
			`F:7:54: etcd.prefix: "mainstay/" is not a prefix; begin it with / and do not end it with one`},
		{"etcd lease", "user: x", "lease: 1500ms, user: x", "F:7:53: etcd.lease: 1.5s is out of range; use whole seconds, 2s to 1h"},
		{"etcd tls", "user: x", "tls: {ca: ca.crt, cert: me.crt}, user: x", "F:7:51: etcd.tls.key: is missing; name the certificate's key"},
		{"etcd user without a password", ", password-file: password", "",
			`F:7:7: etcd.password-file: is missing; name the file that holds the password of "x"`},
		{"etcd password without a user", "user: x, ", "", "F:7:61: etcd.password-file: has no user; add user:, or delete the key"},
		{"log", "{format: json}", "{level: loud, format: xml}", "F:8:14: log.level: \"loud\" is not allowed; use debug, info, warn or error\n" +
			"F:8:28: log.format: \"xml\" is not allowed; use console or json"},
	})
}

// TestUnreadable holds what is wrong with the file itself, the same for each kind of file.
func TestUnreadable(t *testing.T) {
	dir := folder(t)
	pipe := filepath.Join(dir, "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	big := write(t, dir, "big.yaml", strings.Repeat("# fill\n", maxFile/7+1))
	loaders := map[string]func(string) error{
		"controller": func(p string) error { _, err := LoadController(p); return err },
		"agent":      func(p string) error { _, err := LoadAgent(p); return err },
		"context":    func(p string) error { _, err := LoadContext(p); return err },
	}
	for kind, load := range loaders {
		for path, want := range map[string]string{
			dir + "/none.yaml":  "does not exist; create it, or name another file",
			dir:                 "is a folder, not a file; name the right file",
			pipe:                "is not a regular file; name the right file",
			dir + "/ca.crt/x":   "cannot be read: not a directory; name the right file",
			"/proc/self/mem":    "cannot be read: input/output error; name the right file",
			big:                 "is larger than 1 MiB; name the right file",
			dir + "/password":   "is text, not a section; write `key: value` lines below it",
			dir + "/\x00/a.yml": "cannot be read: invalid argument; name the right file",
		} {
			err := load(path)
			if err == nil {
				t.Errorf("%s: %q is read", kind, path)
				continue
			}
			if got := strings.TrimPrefix(strings.TrimPrefix(err.Error(), path+":1:1"), path); got != ": "+want {
				t.Errorf("%s: got\n%s\nwant\n%s: %s", kind, err, path, want)
			}
		}
		if err := load(dir + "/none.yaml"); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: errors.Is does not see that the file is missing: %v", kind, err)
		}
	}
}

// TestPermissions needs a user to whom permissions apply.
func TestPermissions(t *testing.T) {
	if os.Geteuid() == 0 {
		t.Skip("root may read and write everything")
	}
	dir := folder(t)
	path := write(t, dir, "c.yaml", controllerFile)
	for _, tc := range []struct {
		path string
		mode fs.FileMode
		want string
	}{
		{path, 0, "cannot be read: permission denied; let this user read it, or name another file"},
		{dir + "/me.key", 0, "me.key cannot be read: permission denied"},
		{dir, 0o500, dir + " cannot be written"},
	} {
		if err := os.Chmod(tc.path, tc.mode); err != nil {
			t.Fatal(err)
		}
		if _, err := LoadController(path); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("got %v, want %s", err, tc.want)
		}
		if err := os.Chmod(tc.path, 0o700); err != nil {
			t.Fatal(err)
		}
	}
}
