package device

import (
	"context"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"mainstay/controller/platform"
	"mainstay/fencing"
	"mainstay/fencing/program"
)

// TestOff holds agents and programs to the same contract: Fenced only where off exits 0 and a later status says off.
func TestOff(t *testing.T) {
	const second = time.Second
	for _, tc := range []struct {
		name    string
		acts    acts
		timeout time.Duration // 0: must not be needed
		want    fencing.Verdict
		power   fencing.Power
		reason  string
	}{
		{name: "works", want: fencing.Fenced, power: "off", reason: "switched off, status says off"},
		{name: "off takes a while", acts: acts{
			"off":    "echo 3 >count",
			"status": `read n <count; n=$((n-1)); echo $n >count; [ $n -gt 0 ] && { echo "Status: ON"; exit 0; }; echo "Status: OFF"; exit 2`,
		}, want: fencing.Fenced, power: "off", reason: "switched off, status says off"},
		{name: "lies", acts: acts{"off": `echo "Success: Powered OFF"`}, timeout: second, power: "on",
			reason: "off exited 0, but status says on"},
		{name: "fails",
			acts:   acts{"off": `echo "Failed: Timed out waiting to power OFF" >&2; echo >&2; echo "Please use '-h' for usage" >&2; exit 1`},
			reason: "off exited 1: Failed: Timed out waiting to power OFF"},
		{name: "off although it failed", acts: acts{"off": "echo off >power; exit 1"}, reason: "off exited 1"},
		{name: "off of bad arguments", acts: acts{"off": "echo bad >&2; exit 2"}, reason: "off exited 2: bad"},
		{name: "status of bad arguments", acts: acts{"status": "echo 'unknown option' >&2; exit 2"}, timeout: second,
			reason: "off exited 0, but status is neither on nor off: it exited 2: unknown option"},
		{name: "status 2 but says on", acts: acts{"status": `echo "Status: ON"; exit 2`}, timeout: second,
			reason: "off exited 0, but status is neither on nor off: it exited 2: Status: ON"},
		{name: "status 0 but says off", acts: acts{"status": `echo "Status: OFF"`}, timeout: second,
			reason: "off exited 0, but status is neither on nor off: it exited 0: Status: OFF"},
		{name: "status says both", acts: acts{"status": `echo "Status: ON"; echo "Status: OFF"; exit 2`}, timeout: second,
			reason: "off exited 0, but status is neither on nor off: it exited 2: Status: ON / Status: OFF"},
		{name: "status on the wrong stream", acts: acts{"status": `echo "Status: OFF" >&2; exit 2`}, timeout: second,
			reason: "off exited 0, but status is neither on nor off: it exited 2: Status: OFF"},
		{name: "status of garbage", acts: acts{"status": `printf 'x\033[31m\377\tStatus: OFFLINE\n'; exit 2`}, timeout: second,
			reason: "off exited 0, but status is neither on nor off: it exited 2: x [31m? Status: OFFLINE"},
		{name: "status of too much", acts: acts{"status": `yes 0123456789 | head -c 200000; echo "Status: OFF"; exit 2`}, timeout: second,
			reason: "off exited 0, but status is neither on nor off: it exited 2: 0123456789 / 0123456789"},
		{name: "status fails", acts: acts{"status": "exit 1"}, timeout: second,
			reason: "off exited 0, but status is neither on nor off: it exited 1"},
		{name: "dies", acts: acts{"off": "kill -9 $$"}, reason: "off was killed by a signal"},
		{name: "tells the secret", acts: acts{"off": `echo "login root with hunter2, aHVudGVyMg== failed" >&2; exit 1`},
			reason: "off exited 1: login root with ***, *** failed"},
		{name: "hangs", acts: acts{"off": "echo connecting hunter2; sleep 1000 & echo $! >>pids; sleep 1000 & echo $! >>pids; wait"},
			timeout: second,
			reason:  "off: did not answer in time and was killed; its last output: connecting ***"},
		{name: "ignores signals", acts: acts{"off": "trap '' TERM INT HUP; sleep 1000 & echo $! >>pids; while :; do wait; done"}, timeout: second,
			reason: "off: did not answer in time and was killed"},
		{name: "status hangs", acts: acts{"status": "sleep 1000 & echo $! >>pids; wait"}, timeout: second,
			reason: "off exited 0, but status: did not answer in time and was killed"},
		{name: "leaves a process behind", acts: acts{"off": "echo off >power; sleep 1000 & echo $! >>pids"},
			want: fencing.Fenced, power: "off", reason: "switched off, status says off"},
	} {
		for kind, exec := range map[string]bool{"agent": false, "exec": true} {
			t.Run(tc.name+"/"+kind, func(t *testing.T) {
				b := newBed(t, tc.acts)
				d := b.device(exec)
				if tc.timeout > 0 {
					d.spec.Timeout = tc.timeout
				}
				start := time.Now()
				a := d.off(t.Context())
				if a.Verdict != tc.want || a.Power != tc.power || a.Reason != tc.reason {
					t.Errorf("got  %d %q %q\nwant %d %q %q", a.Verdict, a.Power, a.Reason, tc.want, tc.power, tc.reason)
				}
				if took := time.Since(start); took > d.spec.Timeout+2*time.Second || tc.timeout > 0 && took < tc.timeout {
					t.Errorf("took %s with a timeout of %s", took, d.spec.Timeout)
				}
				b.gone("pid")
				b.gone("pids")
			})
		}
	}
}

// TestOutputHeldOpen: a process that left the group holds the output; the answer still comes.
func TestOutputHeldOpen(t *testing.T) {
	b := newBed(t,
		acts{"off": "setsid sh -c 'echo $$ >escaped; exec sleep 1000' & while ! [ -s escaped ]; do sleep 0.01; done; echo off >power"})
	defer func() {
		for _, pid := range pidsOf(b.read("escaped")) {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
	}()
	if a := b.device(false).off(t.Context()); a.Verdict != fencing.Fenced || a.Took > 8*time.Second {
		t.Errorf("got %+v", a)
	}
}

func TestOnAndStatus(t *testing.T) {
	for _, exec := range []bool{false, true} {
		b := newBed(t, nil)
		b.write("power", "off")
		d := b.device(exec)
		if a := d.status(t.Context()); a.Power != fencing.PowerOff || a.Reason != "status says off" || a.Verdict != fencing.Unproven {
			t.Errorf("got %+v", a)
		}
		if a := d.on(t.Context()); a.Power != fencing.PowerOn || a.Reason != "switched on, status says on" || a.Verdict != fencing.Unproven {
			t.Errorf("got %+v", a)
		}
		if a := d.status(t.Context()); a.Power != fencing.PowerOn {
			t.Errorf("got %+v", a)
		}
	}
}

// TestSecretsStayInside: parameters go through standard input alone; the command line and the environment are readable.
func TestSecretsStayInside(t *testing.T) {
	t.Setenv("MAINSTAY_TOKEN", "topsecret")
	b := newBed(t, nil)
	b.device(false).off(t.Context())
	if got, want := b.read("stdin"), "ip=10.0.9.11\npassword=hunter2\naction=off\n"; !strings.HasPrefix(got, want) {
		t.Errorf("standard input:\n%swant first:\n%s", got, want)
	}
	if got := b.read("argv"); !strings.HasSuffix(got, "/fence_fake \n") || strings.Contains(got, "hunter2") {
		t.Errorf("command line: %q", got)
	}
	e := newBed(t, nil)
	e.device(true).off(t.Context())
	if got, want := e.read("stdin"), "ip=10.0.9.11\npassword=hunter2\nnodename=db-e1\n"; !strings.HasPrefix(got, want) {
		t.Errorf("standard input:\n%swant first:\n%s", got, want)
	}
	if got := e.read("argv"); got != e.path("cut-power")+" off\n"+e.path("cut-power")+" status\n" {
		t.Errorf("command line: %q", got)
	}
	if env := b.read("environ") + e.read("environ"); strings.Contains(env, "secret") || !strings.Contains(env, "LC_ALL=C") {
		t.Errorf("environment:\n%s", env)
	}
}

func TestSecretFiles(t *testing.T) {
	for _, tc := range []struct {
		name string
		make func(b *bed)
		want string
	}{
		{"absent", func(b *bed) { os.Remove(b.path("pass")) }, "no such file"},
		{"open to all", func(b *bed) { os.Chmod(b.path("pass"), 0o604) }, "has mode 0604, open to others; chmod 600 it"},
		{"writable by a group", func(b *bed) { os.Chmod(b.path("pass"), 0o620) }, "has mode 0620"},
		{"empty", func(b *bed) { b.write("pass", "\n") }, "is empty"},
		{"two lines", func(b *bed) { b.write("pass", "a\naction=on\n") }, "more than one line"},
		{"spaces", func(b *bed) { b.write("pass", "a \n") }, "has spaces or quotes around the secret"},
		{"quotes", func(b *bed) { b.write("pass", `"a"`) }, "has spaces or quotes around the secret"},
		{"large", func(b *bed) { b.write("pass", strings.Repeat("a", 5000)) }, "longer than 4096"},
		{"folder", func(b *bed) { os.Remove(b.path("pass")); os.Mkdir(b.path("pass"), 0o700) }, "is not a file"},
		{"pipe", func(b *bed) { os.Remove(b.path("pass")); syscall.Mkfifo(b.path("pass"), 0o600) }, "is not a file"},
		{"of another user", func(b *bed) {
			if os.Chown(b.path("pass"), 12345, 0) != nil {
				b.t.Skip("only root may give files away")
			}
		}, "belongs to user 12345"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			b := newBed(t, nil)
			tc.make(b)
			a := b.device(true).off(t.Context())
			if a.Verdict != fencing.Unproven || !strings.Contains(a.Reason, "secret password: ") || !strings.Contains(a.Reason, tc.want) {
				t.Errorf("got %+v, want %q", a, tc.want)
			}
			if b.read("argv") != "" {
				t.Error("the program was run without its secret")
			}
		})
	}
	b := newBed(t, nil)
	os.Chmod(b.path("pass"), 0o640)
	if a := b.device(true).off(t.Context()); a.Verdict != fencing.Fenced {
		t.Errorf("a secret that the controller's group may read: %+v", a)
	}
}

// TestNeverByHand: a parameter that would turn off into something else is refused here as well.
func TestNeverByHand(t *testing.T) {
	for _, p := range []map[string]string{{"action": "on"}, {"option": "on"}, {"help": "1"}, {"ip": "x\naction=on"}, {"a\nb": "1"}} {
		b := newBed(t, nil)
		d := b.device(true)
		d.spec.Parameters = p
		if a := d.off(t.Context()); a.Verdict != fencing.Unproven || !strings.Contains(a.Reason, "correct the platform file") ||
			b.read("argv") != "" {
			t.Errorf("%v: got %+v", p, a)
		}
	}
}

func TestCancelled(t *testing.T) {
	b := newBed(t, acts{"off": "sleep 1000"})
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		for b.read("pid") == "" && ctx.Err() == nil {
			time.Sleep(time.Millisecond)
		}
		cancel()
	}()
	a := b.device(true).off(ctx)
	cancel()
	if a.Verdict != fencing.Unproven || a.Reason != "off: context canceled" || a.Took > 5*time.Second {
		t.Errorf("got %+v", a)
	}
	b.gone("pid")
}

func TestNotInstalled(t *testing.T) {
	b := newBed(t, nil)
	d := b.device(false)
	d.spec.Agent = "fence_none"
	if a := d.off(t.Context()); a.Verdict != fencing.Unproven || !strings.Contains(a.Reason, "install the package fence-agents") {
		t.Errorf("got %+v", a)
	}
	d.spec = platform.FenceDevice{Exec: b.path("none"), Timeout: time.Second, Level: 1}
	if a := d.off(t.Context()); a.Verdict != fencing.Unproven || !strings.Contains(a.Reason, "no such file") {
		t.Errorf("got %+v", a)
	}
}

// TestNotAllowed: neither a program nor one that an agent is told to use is run unless this controller's own file allows it.
func TestNotAllowed(t *testing.T) {
	b := newBed(t, nil)
	for _, d := range []*device{b.device(true), b.device(false)} {
		d.agents = &Agents{Folders: []string{b.dir}, Allowed: program.Allowed{"/bin/true"}}
		want := b.path("cut-power")
		if d.spec.Agent != "" {
			want = "/bin/sh"
			d.spec.Parameters["ipmitool_path"] = want
		}
		a := d.off(t.Context())
		if a.Verdict != fencing.Unproven || !strings.Contains(a.Reason, "write `programs: [/bin/true, "+want+"]` into it") {
			t.Errorf("%+v", a)
		}
		found := d.agents.Check(t.Context(), platform.Host{Name: "db-e1", Fence: []platform.FenceDevice{d.spec}})
		if len(found) != 1 || !strings.Contains(found[0].Do, want) {
			t.Errorf("%v", found)
		}
	}
	if ran := b.read("argv"); strings.Contains(ran, "off") || strings.Contains(b.read("stdin"), "action=off") {
		t.Errorf("it was run: %s", ran)
	}
	d := b.device(false)
	d.spec.Secrets["passwd_script"] = b.path("pass")
	if a := d.off(t.Context()); !strings.Contains(a.Reason, "parameter passwd_script may not be given") {
		t.Errorf("%+v", a)
	}
}
