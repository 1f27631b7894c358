package device

import (
	"context"
	"os"
	"strings"
	"testing"
	"time"

	"mainstay/controller/platform"
	"mainstay/fencing"
	"mainstay/fencing/program"
)

func check(t *testing.T, a *Agents, devices ...platform.FenceDevice) string {
	t.Helper()
	var lines []string
	for _, m := range a.Check(t.Context(), platform.Host{Name: "db-e1", Fence: devices}) {
		lines = append(lines, strings.TrimPrefix(m.Error(), "hosts[db-e1].fence[0]."))
	}
	return strings.Join(lines, "\n")
}

func TestCheckParameters(t *testing.T) {
	b := newBed(t, acts{"validate-all": `grep -q ipport=1 stdin && { echo "port 1 is silly, hunter2" >&2; exit 1; }; true`})
	for _, tc := range []struct {
		name    string
		give    map[string]string
		secrets map[string]string
		want    string
	}{
		{name: "good", give: map[string]string{"ip": "a", "ipport": "624", "lanplus": "Yes", "auth": "MD5"}},
		{name: "dash", give: map[string]string{"ip": "a", "debug-file": "/x"},
			want: "parameters.debug-file: cannot be given: it would write secrets into a log; delete it"},
		{name: "unknown", give: map[string]string{"ip": "a", "lamplus": "1"},
			want: "parameters.lamplus: fence_fake has no such parameter; did you mean lanplus?"},
		{name: "near an old name", give: map[string]string{"ip": "a", "ipadr": "1"},
			want: "parameters.ipadr: fence_fake has no such parameter; did you mean ip?"},
		{name: "nothing near", give: map[string]string{"ip": "a", "colour": "red"},
			want: "parameters.colour: fence_fake has no such parameter; it has ip, ipport, lanplus, password, auth"},
		{name: "old name", give: map[string]string{"ipaddr": "a"}, want: "parameters.ipaddr: is an old name; use ip"},
		{name: "old name without another", give: map[string]string{"ip": "a", "inet4_only": "1"},
			want: "parameters.inet4_only: is an old name; delete it; `man fence_fake` names its replacement"},
		{name: "old name of a secret", give: map[string]string{"ip": "a"}, secrets: map[string]string{"passwd": b.path("pass")},
			want: "secrets.passwd: is an old name; use password"},
		{name: "missing", want: "parameters.ip: is missing, and fence_fake needs it; add it under parameters or secrets"},
		{name: "integer", give: map[string]string{"ip": "a", "ipport": "http"},
			want: `parameters.ipport: "http" is not a whole number; write plain digits`},
		{name: "boolean", give: map[string]string{"ip": "a", "lanplus": "2"},
			want: `parameters.lanplus: "2" is neither true nor false; write "1" or "0"`},
		{name: "select", give: map[string]string{"ip": "a", "auth": "sha"}, want: `parameters.auth: "sha" is not allowed; use md5, none`},
		{name: "action by hand", give: map[string]string{"ip": "a", "action": "on"},
			want: "parameters.action: cannot be given: Mainstay chooses the action; delete it"},
		{name: "the agent's own word", give: map[string]string{"ip": "a", "ipport": "1"},
			want: "parameters: fence_fake does not accept them: it exited 1: port 1 is silly, ***; correct them; see `man fence_fake`"},
		{name: "no secret", give: map[string]string{"ip": "a"}, secrets: map[string]string{"password": b.path("none")},
			want: "secrets.password: open " + b.path("none") +
				": no such file or directory; put the secret there on every controller, in a file of one line"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			b.write("stdin", "")
			d := b.spec(false)
			d.Parameters = tc.give
			if tc.secrets != nil {
				d.Secrets = tc.secrets
			}
			if got := check(t, b.agents(), d); got != tc.want {
				t.Errorf("got\n%s\nwant\n%s", got, tc.want)
			}
		})
	}
	if strings.Contains(b.read("stdin"), "action=off") || b.read("power") != "on" {
		t.Error("the check touched the device")
	}
}

// TestAgentsThatProveNothing: neither the check nor off lets them pass.
func TestAgentsThatProveNothing(t *testing.T) {
	for _, tc := range []struct{ name, old, new, want string }{
		{"storage", `name="on" automatic="0"`, `name="on" automatic="1"`, "fence_fake cuts a host off from storage or network, not from power"},
		{"no status", `<action name="status" />`, "", "fence_fake has no action status, so it proves nothing"},
		{"no off", `<action name="off" />`, "", "fence_fake has no action off, so it proves nothing"},
		{"broken", "</parameters>", "", "its metadata is not understood: XML syntax error"},
		{"not XML", described4, "Traceback: no module named requests", "its metadata is not understood: EOF"},
		{"of something else", described4, "<html><body>hello</body></html>", "names no parameters or no actions"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			b := newBed(t, nil)
			b.write("metadata", strings.Replace(described4, tc.old, tc.new, 1))
			if got := check(t, b.agents(), b.spec(false)); !strings.HasPrefix(got, "agent: ") || !strings.Contains(got, tc.want) {
				t.Errorf("got %q, want %q", got, tc.want)
			}
			if a := b.device(false).off(t.Context()); a.Verdict != fencing.Unproven || !strings.Contains(a.Reason, tc.want) ||
				b.read("power") != "on" {
				t.Errorf("got %+v", a)
			}
		})
	}
}

func TestMetadataFails(t *testing.T) {
	b := newBed(t, acts{"metadata": "echo 'No module named boto3' >&2; exit 1"})
	if _, err := b.agents().Metadata(t.Context(), "fence_fake"); err == nil ||
		err.Error() != "read the metadata of fence_fake: it exited 1: No module named boto3" {
		t.Errorf("got %v", err)
	}
	for _, name := range []string{"../fence_fake", "cut-power", ""} {
		if _, err := b.agents().Metadata(t.Context(), name); err == nil || !strings.Contains(err.Error(), "not the name of a fence agent") {
			t.Errorf("%q: got %v", name, err)
		}
	}
	hung := newBed(t, acts{"metadata": "sleep 1000"}).device(false)
	hung.spec.Timeout = time.Second
	if a := hung.off(t.Context()); a.Verdict != fencing.Unproven || !errorIs(a.Reason, program.ErrLate) {
		t.Errorf("got %+v", a)
	}
}

func errorIs(reason string, err error) bool { return strings.Contains(reason, err.Error()) }

// TestMetadataCached: an agent is asked once, and again after an upgrade.
func TestMetadataCached(t *testing.T) {
	b := newBed(t, nil)
	a := b.agents()
	ask := func() *Metadata {
		m, err := a.Metadata(t.Context(), "fence_fake")
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	if first := ask(); ask() != first || strings.Count(b.read("argv"), "metadata") != 1 {
		t.Errorf("asked more than once:\n%s", b.read("argv"))
	}
	if err := os.Chtimes(b.path("fence_fake"), time.Time{}, time.Now().Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	if ask(); strings.Count(b.read("argv"), "metadata") != 2 {
		t.Errorf("not asked again:\n%s", b.read("argv"))
	}
}

func TestCheckProgram(t *testing.T) {
	b := newBed(t, nil)
	if got := check(t, b.agents(), b.spec(true)); got != "" {
		t.Errorf("got %q", got)
	}
	for mode, want := range map[os.FileMode]string{0o600: "this user may not run", 0o707: "every user may change"} {
		os.Chmod(b.path("cut-power"), mode)
		if got := check(t, b.agents(), b.spec(true)); !strings.Contains(got, want) {
			t.Errorf("%o: got %q", mode, got)
		}
	}
	os.Remove(b.path("cut-power"))
	if got := check(t, b.agents(), b.spec(true)); !strings.Contains(got, "install the program on every controller") {
		t.Errorf("got %q", got)
	}
}

// TestInstalledAgents: those of the distribution are understood, and those that cut storage or cannot tell are told apart.
func TestInstalledAgents(t *testing.T) {
	if got := check(t, &Agents{Folders: []string{t.TempDir()}},
		platform.FenceDevice{Agent: "fence_apc", Timeout: time.Second, Level: 1}); !strings.Contains(got,
		"agent: fence_apc is not installed in") {
		t.Errorf("got %q", got)
	}
	var a Agents
	for name, want := range map[string]bool{"fence_ipmilan": true, "fence_apc": true, "fence_virsh": true, "fence_scsi": false,
		"fence_brocade": false, "fence_kdump": false, "fence_dummy": false} {
		if _, err := a.find(name); err != nil {
			needed(t, err.Error())
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		m, err := a.Metadata(ctx, name)
		cancel()
		if err != nil {
			t.Error(err)
		} else if err := m.proves(); (err == nil) != want {
			t.Errorf("%s proves that a host has no power: %v, want %v", name, err, want)
		}
	}
}

// needed skips a test for want of a package, unless the environment says that all are there.
func needed(t *testing.T, why string) {
	t.Helper()
	if os.Getenv("MAINSTAY_NEED_FENCE") != "" {
		t.Fatal(why + ", and MAINSTAY_NEED_FENCE is set")
	}
	t.Skip(why)
}
