package device

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"

	"mainstay/controller/platform"
	"mainstay/fencing"
)

// Ladder are the fence devices of one host, by level. All devices of a level are needed, as for a host with two power
// supplies; levels are tried side by side, and the first that has cut the power wins.
type Ladder struct {
	host   string
	levels [][]*device // ascending
}

// errFirst ends the other levels.
var errFirst = errors.New("stopped: another level was first")

// Ladder makes the ladder of a host. Without devices it proves nothing.
func (a *Agents) Ladder(h platform.Host) *Ladder {
	byLevel := map[int][]*device{}
	for _, spec := range h.Fence {
		byLevel[spec.Level] = append(byLevel[spec.Level], &device{spec: spec, host: h.Name, agents: a})
	}
	l := &Ladder{host: h.Name}
	for _, n := range slices.Sorted(maps.Keys(byLevel)) {
		l.levels = append(l.levels, byLevel[n])
	}
	return l
}

// Off cuts the host's power, and with it that of every member on it. It returns as soon as one level has done so, else when the last
// device has answered or its timeout is over. Devices of other levels may have cut their part as well: On switches all on again.
func (l *Ladder) Off(ctx context.Context) fencing.PowerResult {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	answers := make([][]fencing.Answer, len(l.levels))
	var all sync.WaitGroup
	for i, devices := range l.levels {
		all.Go(func() {
			answers[i] = offAll(ctx, devices)
			if fencing.JudgePower(answers[i]).Verdict == fencing.Fenced {
				stop(errFirst)
			}
		})
	}
	all.Wait()
	return fencing.JudgePower(slices.Concat(answers...))
}

// offAll switches off all devices of a level. With more than one, each is queried again after the last was off: if one was switched on
// meanwhile, the host was never without power.
func offAll(ctx context.Context, devices []*device) []fencing.Answer {
	answers := each(devices, func(d *device) fencing.Answer { return d.off(ctx) })
	if len(devices) == 1 || fencing.JudgePower(answers).Verdict != fencing.Fenced {
		return answers
	}
	for i, still := range each(devices, func(d *device) fencing.Answer { return d.status(ctx) }) {
		answers[i].Took += still.Took
		if still.Power != fencing.PowerOff {
			answers[i].Verdict, answers[i].Power = fencing.Unproven, still.Power
			answers[i].Reason = "was off, but not when all devices of its level should have been: " + still.Reason
		}
	}
	return answers
}

// On switches the host on by every device, even by those that did not switch it off. The error names the devices that failed.
func (l *Ladder) On(ctx context.Context) ([]fencing.Answer, error) {
	answers := each(slices.Concat(l.levels...), func(d *device) fencing.Answer { return d.on(ctx) })
	var errs []error
	for _, a := range answers {
		if a.Power != fencing.PowerOn {
			errs = append(errs, fmt.Errorf("switch %s on by %s: %s", l.host, a.Device, a.Reason))
		}
	}
	return answers, errors.Join(errs...)
}

// Status queries every device and changes nothing.
func (l *Ladder) Status(ctx context.Context) []fencing.Answer {
	return each(slices.Concat(l.levels...), func(d *device) fencing.Answer { return d.status(ctx) })
}

// each queries all devices concurrently and returns when all have answered, each within its own timeout.
func each(devices []*device, ask func(*device) fencing.Answer) []fencing.Answer {
	answers := make([]fencing.Answer, len(devices))
	var all sync.WaitGroup
	for i, d := range devices {
		all.Go(func() { answers[i] = ask(d) })
	}
	all.Wait()
	return answers
}
