package conform

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"mainstay/controller/platform"
	"mainstay/fencing"
	"mainstay/fencing/device"
	"mainstay/fencing/program"
	"mainstay/test/kit"
	"mainstay/test/sim/world"
)

// TestDevice: the model of a fence device against fencing/device, with a program for the device itself.
func TestDevice(t *testing.T) {
	t.Parallel()
	Check(t, "device",
		func(_ *testing.T, seed uint64) Driver { return powerScript{&modelPower{world.NewPower(seed)}} },
		func(t *testing.T) Driver { return powerScript{newProgramPower(t)} })
}

// power is one host with a fence device.
type power interface {
	Tell(on bool)
	Answer() string // "" while there is none, "done" or "unproven"
	Runs() bool     // the host
	Break(how string)
	Pass(d time.Duration)
}

// powerScript knows the verbs off, on and break HOW, and looks by answer, answered, host and fenced-while-on.
type powerScript struct{ power }

func (p powerScript) Do(_ context.Context, s Step) (string, error) {
	yes := map[bool]string{true: "yes", false: "no"}
	switch s.Verb {
	case "off", "on":
		p.Tell(s.Verb == "on")
	case "break":
		how := s.Args[0]
		if how == "well" {
			how = ""
		}
		p.Break(how)
	case "answer":
		return p.Answer(), nil
	case "answered":
		return yes[p.Answer() != ""], nil
	case "host":
		return map[bool]string{true: "on", false: "off"}[p.Runs()], nil
	case "fenced-while-on": // after an order to switch off
		return yes[p.Answer() == "done" && p.Runs()], nil
	default:
		return "", fmt.Errorf("there is no verb %s", s.Verb)
	}
	return "", nil
}

type modelPower struct{ *world.Power }

// programPower is a program that is told what to do, and a file that is there while the host has power.
type programPower struct {
	t      *testing.T
	dir    string
	ladder *device.Ladder
	answer chan string // of the running order
	last   string
}

// cutPower does to $0.on what it is told, as $0.how says.
const cutPower = `#!/bin/sh
how=$(cat "$0.how")
case $how in
unreachable) sleep 1000 ;;
hangs) [ "$1" = status ] || { rm -f "$0.on"; sleep 1000; } ;;
broken) [ "$1" = status ] || { echo "no such outlet"; exit 1; } ;;
faltering) n=$(cat "$0.calls"); echo $((n + 1)) >"$0.calls"
	case $1$n in
	off0) exit 1 ;;             # it does nothing, and says so
	off1) rm -f "$0.on"; exit 1 ;; # it does it, and says that it has not
	off2) exit 0 ;;             # it says that it has: its status tells
	esac ;;
esac
case $1 in
on) touch "$0.on" ;;
off) rm -f "$0.on" ;;
status) if [ -e "$0.on" ]; then echo "Status: ON"; else echo "Status: OFF"; exit 2; fi ;;
esac
`

func newProgramPower(t *testing.T) *programPower {
	t.Helper()
	p := &programPower{t: t, dir: t.TempDir()}
	path := p.path("")
	kit.Check(t, os.WriteFile(path, []byte(cutPower), 0o755))
	kit.Check(t, os.WriteFile(p.path(".on"), nil, 0o644))
	kit.Check(t, os.WriteFile(p.path(".calls"), []byte("0"), 0o644))
	p.Break("")
	agents := &device.Agents{Allowed: program.Allowed{path}}
	spec := platform.FenceDevice{Exec: path, Timeout: time.Second, Level: 1}
	p.ladder = agents.Ladder(platform.Host{Name: "a", Fence: []platform.FenceDevice{spec}})
	return p
}

func (p *programPower) path(end string) string { return filepath.Join(p.dir, "cut-power"+end) }

func (p *programPower) Pass(d time.Duration) { time.Sleep(d) }

func (p *programPower) Tell(on bool) {
	p.last, p.answer = "", make(chan string, 1)
	order, answer := p.ladder.Off, p.answer
	go func() {
		said := "unproven"
		if on {
			if _, err := p.ladder.On(context.Background()); err == nil {
				said = "done"
			}
		} else if order(context.Background()).Verdict == fencing.Fenced {
			said = "done"
		}
		answer <- said
	}()
}

func (p *programPower) Answer() string {
	select {
	case p.last = <-p.answer:
	default:
	}
	return p.last
}

func (p *programPower) Runs() bool {
	_, err := os.Stat(p.path(".on"))
	return err == nil
}

func (p *programPower) Break(how string) {
	kit.Check(p.t, os.WriteFile(p.path(".how"), []byte(how), 0o644))
}
