package probe

import (
	"context"
	"errors"
	"fmt"

	"mainstay/fencing/program"
)

// checkExec runs the app's program: exit code 0 is well. A program that cannot or may not be run says nothing about the app server.
// While the kernel holds a program, the next checks wait for it and start no other.
func (i *instance) checkExec(ctx context.Context, t InstanceTarget, allowed program.Allowed) error {
	if err := allowed.Check(t.Check.Exec[0]); err != nil {
		return &unable{err}
	}
	if i.running != nil {
		select {
		case <-i.running:
		case <-ctx.Done():
			return &unable{errors.New("the last run of the check's program cannot be killed: does a disk hang?")}
		}
	}
	words := make([]string, len(t.Check.Exec))
	for n, w := range t.Check.Exec {
		words[n] = t.Instance.In(w)
	}
	type outcome struct {
		ended program.Ended
		err   error
	}
	running := make(chan struct{})
	i.running = running
	o, back := program.Apart(ctx, func() outcome {
		defer close(running)
		e, err := program.Run(ctx, program.Call{Path: words[0], Args: words[1:]})
		return outcome{e, err}
	})
	switch {
	case !back:
		return &unable{errors.New("the check's program cannot be killed: does a disk hang?")}
	case errors.Is(o.err, program.ErrLate):
		return said(o.err.Error(), o.ended)
	case o.err != nil:
		return &unable{o.err}
	case o.ended.Code < 0:
		return said("was killed by a signal", o.ended)
	case o.ended.Code > 0:
		return said(fmt.Sprintf("exited %d", o.ended.Code), o.ended)
	}
	return nil
}

// said is how a program ended, with the first line of its output.
func said(how string, e program.Ended) error {
	for _, text := range []string{e.Stderr, e.Stdout} {
		if line := evidence(text); line != "" {
			return fmt.Errorf("%s: %s", how, line)
		}
	}
	return errors.New(how)
}
