package apps

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"mainstay/controller/config"
	"mainstay/health"
)

// systemd puts a systemctl in the PATH that knows one unit; what each word does is shell, in a folder of its own.
func systemd(t *testing.T, start, stop, kill string) {
	dir := t.TempDir()
	text := fmt.Sprintf("#!/bin/sh\ncd %s || exit 1\ncase $1 in\n", dir) +
		"show) if [ -e runs ]; then echo ActiveState=active; else echo ActiveState=inactive; fi;;\n" +
		fmt.Sprintf("start) %s;;\nstop) %s;;\nkill) %s;;\nesac\n", start, stop, kill)
	if err := os.WriteFile(filepath.Join(dir, "systemctl"), []byte(text), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
}

// TestUnitThatSystemdStartsAgain: one whose stop has failed is killed, and systemd takes that for a crash.
func TestUnitThatSystemdStartsAgain(t *testing.T) {
	systemd(t, "touch runs", "if [ -e asked ]; then rm -f runs; else touch asked; exit 1; fi", "touch killed")
	h := newBed(t, config.AgentInstance{Unit: "web.service", Stop: 300 * time.Millisecond})
	h.leads(toRun)
	h.wait("running", serving)
	h.leads(toStop)
	h.wait("stopped", ended)
}

// TestUnitWhoseStopHangs: it would take effect on what is started next.
func TestUnitWhoseStopHangs(t *testing.T) {
	systemd(t, "if [ -e stop ] && kill -0 $(cat stop); then exit 1; fi; touch runs", "echo $$ > stop; sleep 600", "rm -f runs")
	h := newBed(t, config.AgentInstance{Unit: "web.service", Stop: 300 * time.Millisecond})
	h.leads(toRun)
	h.wait("running", serving)
	g := toRun
	g.Restart = 1
	h.leads(g)
	r := h.wait("a start", func(r health.Instance) bool { return r.Error != "" || r.Running && !r.Draining && r.Restarted == 1 })
	if r.Error != "" {
		t.Errorf("started while it is being stopped: %+v", r)
	}
}

// TestUnitThatStartsLate: systemd's job outlived the question for it.
func TestUnitThatStartsLate(t *testing.T) {
	systemd(t, "touch runs; echo no answer yet >&2; exit 1", "rm -f runs", "rm -f runs")
	h := newBed(t, config.AgentInstance{Unit: "web.service"})
	h.leads(toRun)
	h.wait("running, and well", func(r health.Instance) bool { return r.Running && r.Error == "" })
}
