package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"mainstay/cmd/mainstay/render"
	"mainstay/controller/state"
	"mainstay/controller/wakeup"
	"mainstay/controller/wire"
)

// followEvery is how often an operation is polled. It does not wait with ?wait=1, so that each step shows as it happens; a
// switchover takes about a second.
const followEvery = 200 * time.Millisecond

// record is an operation to follow: its path in the API and its name for the operator.
type record struct {
	name    string       // such as "operation feed-7"
	path    string       // in the API
	history string       // the command that shows it
	wanted  state.Result // the operation succeeded if it ends with this result
}

func operationOf(cluster, id string) record {
	return record{"operation " + id, clusterPath(cluster, "operations", id), "mainstay history " + cluster + " " + id, state.Done}
}

func siteSwitchoverOf(id string) record {
	return record{"site switchover " + id, sitePath(id), "mainstay site history " + id, state.Done}
}

// follower prints the steps of one operation as they happen.
type follower struct {
	record
	p     *program
	s     *session
	shown int  // steps printed
	lost  bool // it was printed that no leader answers
}

// follow waits at most wait until an operation has ended, and prints its outcome in one line; or until it has halted, and
// prints the choices.
func (p *program) follow(ctx context.Context, s *session, r record, wait time.Duration) error {
	f := &follower{record: r, p: p, s: s}
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	for {
		op, halted, err := f.look(ctx)
		switch {
		case err == nil && op.Result != state.Running:
			return f.end(*op)
		case err == nil && halted != nil:
			return f.halted(*op, *halted)
		case err != nil && ctx.Err() == nil && !passing(err):
			return fmt.Errorf("follow %s: %w; the operation continues without this command: `%s`", f.name, err, f.history)
		}
		if wakeup.Pause(ctx, followEvery) != nil {
			return f.stopped(ctx, wait)
		}
	}
}

// look asks for the operation once and prints its new steps.
func (f *follower) look(ctx context.Context) (*state.Operation, *wire.Halted, error) {
	var a wire.HistoryAnswer
	err := f.p.ask(ctx, f.s, http.MethodGet, f.path, nil, &a)
	if err != nil {
		if passing(err) && !f.lost && ctx.Err() == nil {
			f.p.say("no leader answers; the next leader continues the operation; still waiting")
			f.lost = true
		}
		return nil, nil, err
	}
	f.lost = false
	if len(a.Operations) != 1 {
		return nil, nil, fmt.Errorf("the leader does not know %s", f.name)
	}
	op := a.Operations[0]
	for ; f.shown < len(op.Steps); f.shown++ {
		if f.p.global.output == "table" {
			io.WriteString(f.p.stdout, render.Step(op, f.shown, f.p.style()))
		}
	}
	return &op, a.Halted, nil
}

func (f *follower) end(op state.Operation) error {
	if err := f.p.show(op, func(o render.Options) string { return render.Outcome(op, o) }); err != nil {
		return err
	}
	if op.Result != f.wanted {
		f.p.say("next: mainstay status shows what is wrong now; `%s` shows the steps", f.history)
		return quietError{exitFailed}
	}
	return nil
}

// halted shows why a site switchover waits for an operator, and the choices.
func (f *follower) halted(op state.Operation, h wire.Halted) error {
	answer := wire.HistoryAnswer{Operations: []state.Operation{op}, Halted: &h}
	if err := f.p.show(answer, func(o render.Options) string { return render.Halted(op.ID, op.To, h, o) }); err != nil {
		return err
	}
	return quietError{exitFailed}
}

func (f *follower) stopped(ctx context.Context, wait time.Duration) error {
	more := fmt.Sprintf("it continues without this command: `%s`", f.history)
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return timeoutError{fmt.Sprintf("%s has not ended within %s; %s", f.name, wait, more)}
	}
	return fmt.Errorf("interrupted while %s was running; %s", f.name, more)
}

// passing tells whether a change of leader causes the error: then the next attempt may succeed (S7).
func passing(err error) bool {
	var away *wire.UnreachableError
	var answer *wire.RefusalError
	return errors.Is(err, wire.ErrNoLeader) || errors.As(err, &away) || errors.Is(err, context.DeadlineExceeded) ||
		errors.As(err, &answer) && (answer.Status == http.StatusMisdirectedRequest || answer.Status >= http.StatusInternalServerError)
}
