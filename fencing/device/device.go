package device

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"mainstay/controller/platform"
	"mainstay/fencing"
	"mainstay/fencing/program"
)

// again is the pause between two status queries.
const again = 250 * time.Millisecond

// device is one fence device of a host.
type device struct {
	spec   platform.FenceDevice
	host   string
	agents *Agents
}

// name is the agent or program with its address, which distinguishes it from other devices of its kind.
func (d *device) name() string {
	if d.spec.Exec != "" {
		return d.spec.Exec
	}
	parts := []string{d.spec.Agent}
	for _, k := range []string{"ip", "plug"} {
		if v := d.spec.Parameters[k]; v != "" {
			parts = append(parts, v)
		}
	}
	return strings.Join(parts, " ")
}

// off switches the host off. It is Fenced only if the device did so and its status afterwards confirms it.
func (d *device) off(ctx context.Context) fencing.Answer {
	a, ok := d.change(ctx, fencing.PowerOff)
	if ok && a.Power == fencing.PowerOff {
		a.Verdict = fencing.Fenced
	}
	return a
}

// on switches the host on, and waits until its status says so.
func (d *device) on(ctx context.Context) fencing.Answer {
	a, _ := d.change(ctx, fencing.PowerOn)
	return a
}

// status queries the status once.
func (d *device) status(ctx context.Context) fencing.Answer {
	a, ok := d.within(ctx, d.ask)
	if ok {
		a.Reason = "status says " + string(a.Power)
	}
	return a
}

func (d *device) change(ctx context.Context, want fencing.Power) (fencing.Answer, bool) {
	a, ok := d.within(ctx, func(ctx context.Context) (fencing.Power, error) {
		if err := d.able(ctx); err != nil {
			return fencing.PowerUnknown, err
		}
		e, secrets, err := d.call(ctx, string(want))
		if err != nil {
			return fencing.PowerUnknown, fmt.Errorf("%s: %w", want, err)
		}
		if e.Code != 0 {
			return fencing.PowerUnknown, fmt.Errorf("%s %s", want, said(e, secrets))
		}
		return d.until(ctx, want)
	})
	if ok {
		a.Reason = fmt.Sprintf("switched %s, status says %s", want, a.Power)
	}
	return a, ok
}

// able refuses an agent whose action off is no proof.
func (d *device) able(ctx context.Context) error {
	if d.spec.Agent == "" {
		return nil
	}
	m, err := d.agents.Metadata(ctx, d.spec.Agent)
	if err != nil {
		return err
	}
	return m.proves()
}

// until queries the status until it is the wanted one or time is up; then the error has the last status.
func (d *device) until(ctx context.Context, want fencing.Power) (last fencing.Power, why error) {
	for {
		power, err := d.ask(ctx)
		if power == want {
			return power, nil
		}
		if err == nil {
			err = fmt.Errorf("status says %s", power)
		}
		if why == nil || ctx.Err() == nil {
			last, why = power, fmt.Errorf("%s exited 0, but %w", want, err)
		}
		select {
		case <-ctx.Done():
			return last, why
		case <-time.After(again):
		}
	}
}

func (d *device) ask(ctx context.Context) (fencing.Power, error) {
	e, secrets, err := d.call(ctx, "status")
	if err != nil {
		return fencing.PowerUnknown, fmt.Errorf("status: %w", err)
	}
	if p := powerOf(e); p != fencing.PowerUnknown {
		return p, nil
	}
	return fencing.PowerUnknown, fmt.Errorf("status is neither on nor off: it %s", said(e, secrets))
}

// powerOf believes an exit code only together with the matching output: code 2 means off, but also bad arguments.
func powerOf(e program.Ended) fencing.Power {
	var states []string
	for line := range strings.Lines(e.Stdout) {
		if word, ok := strings.CutPrefix(strings.ToLower(strings.TrimSpace(line)), "status:"); ok {
			states = append(states, strings.TrimSpace(word))
		}
	}
	switch {
	case e.Code == 2 && slices.Equal(states, []string{"off"}):
		return fencing.PowerOff
	case e.Code == 0 && slices.Equal(states, []string{"on"}):
		return fencing.PowerOn
	}
	return fencing.PowerUnknown
}

// said describes how a program ended, with its output.
func said(e program.Ended, secrets []string) string {
	s := fmt.Sprintf("exited %d", e.Code)
	if e.Code < 0 {
		s = "was killed by a signal"
	}
	if w := words(e, secrets); w != "" {
		s += ": " + w
	}
	return s
}

// within runs an action within the device's timeout and makes its answer; false if it failed, with the reason.
func (d *device) within(ctx context.Context, act func(ctx context.Context) (fencing.Power, error)) (fencing.Answer, bool) {
	type outcome struct {
		power fencing.Power
		err   error
	}
	start := time.Now()
	ctx, cancel := context.WithTimeout(ctx, d.spec.Timeout)
	defer cancel()
	o, back := program.Apart(ctx, func() outcome {
		p, err := act(ctx)
		return outcome{p, err}
	})
	if !back {
		o.err = errors.New("hangs and cannot be killed: its disk, or the device it waits for, does not answer")
	}
	a := fencing.Answer{Device: d.name(), Level: d.spec.Level, Power: o.power, Took: time.Since(start)}
	if o.err != nil {
		a.Reason = o.err.Error()
	}
	return a, o.err == nil
}

// call runs the agent or program once. secrets are those it was given, to be scrubbed from its output.
func (d *device) call(ctx context.Context, action string) (e program.Ended, secrets []string, err error) {
	if err := d.agents.Allowed.Missing(d.spec.Programs()); err != nil {
		return program.Ended{}, nil, err
	}
	lines, secrets, err := d.parameters()
	if err != nil {
		return program.Ended{}, nil, err
	}
	c := program.Call{Path: d.spec.Exec, Args: []string{action}, Env: environment()}
	if d.spec.Agent != "" {
		if c.Path, err = d.agents.find(d.spec.Agent); err != nil {
			return program.Ended{}, nil, err
		}
		c.Args = nil
		lines = append(lines, "action="+action) // last: a later line wins
	} else {
		lines = append(lines, "nodename="+d.host)
	}
	c.Stdin = strings.Join(lines, "\n") + "\n"
	e, err = program.Run(ctx, c)
	if errors.Is(err, program.ErrLate) {
		if w := words(e, secrets); w != "" {
			err = fmt.Errorf("%w; its last output: %s", err, w)
		}
	}
	return e, secrets, err
}

// parameters are the lines for standard input, without the action.
func (d *device) parameters() (lines, secrets []string, err error) {
	for _, k := range slices.Sorted(maps.Keys(d.spec.Parameters)) {
		v := d.spec.Parameters[k]
		if platform.FenceReserved(k) != "" || strings.ContainsAny(k+v, "\r\n\x00") {
			return nil, nil, fmt.Errorf("parameter %s may not be given; correct the platform file", k)
		}
		lines = append(lines, k+"="+v)
	}
	for _, k := range slices.Sorted(maps.Keys(d.spec.Secrets)) {
		if platform.FenceReserved(k) != "" || platform.FenceProgram(k) {
			return nil, nil, fmt.Errorf("parameter %s may not be given; correct the platform file", k)
		}
		v, err := readSecret(d.spec.Secrets[k])
		if err != nil {
			return nil, nil, fmt.Errorf("secret %s: %w", k, err)
		}
		lines, secrets = append(lines, k+"="+v), append(secrets, v)
	}
	return lines, secrets, nil
}
