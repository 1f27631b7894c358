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
	"mainstay/controller/wire"
)

// followEvery is how often an operation is looked at. It is polled, not waited for with ?wait=1, so that each step shows
// as it happens; a switchover takes about a second.
const followEvery = 200 * time.Millisecond

// follower prints the steps of one operation as they happen.
type follower struct {
	p       *program
	s       *session
	cluster string
	id      string
	shown   int  // steps printed
	lost    bool // said that no leader answers
}

// follow waits until an operation has ended, at most wait, and ends with one line of outcome.
func (p *program) follow(ctx context.Context, s *session, cluster, id string, wait time.Duration) error {
	f := &follower{p: p, s: s, cluster: cluster, id: id}
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	for {
		op, err := f.look(ctx)
		if err == nil && op.Result != state.Running {
			return f.end(*op)
		}
		if err != nil && ctx.Err() == nil && !passing(err) {
			return fmt.Errorf("follow operation %s: %w; it goes on without this command: `mainstay history %s %s`", id, err, cluster, id)
		}
		if !pause(ctx, followEvery) {
			return f.stopped(ctx, wait)
		}
	}
}

// look asks for the operation once and prints its new steps.
func (f *follower) look(ctx context.Context) (*state.Operation, error) {
	var a wire.HistoryAnswer
	err := f.p.ask(ctx, f.s, http.MethodGet, clusterPath(f.cluster, "operations", f.id), nil, &a)
	if err != nil {
		if passing(err) && !f.lost && ctx.Err() == nil {
			f.p.say("no leader answers; whoever leads next goes on with the operation, still waiting")
			f.lost = true
		}
		return nil, err
	}
	f.lost = false
	if len(a.Operations) != 1 {
		return nil, fmt.Errorf("the leader knows no operation %s", f.id)
	}
	op := a.Operations[0]
	for ; f.shown < len(op.Steps); f.shown++ {
		if f.p.global.output == "table" {
			io.WriteString(f.p.stdout, render.Step(op, f.shown, f.p.style()))
		}
	}
	return &op, nil
}

func (f *follower) end(op state.Operation) error {
	if err := f.p.show(op, func(o render.Options) string { return render.Outcome(op, o) }); err != nil {
		return err
	}
	if op.Result != state.Done {
		return quietError{exitFailed}
	}
	return nil
}

func (f *follower) stopped(ctx context.Context, wait time.Duration) error {
	more := fmt.Sprintf("it goes on without this command: `mainstay history %s %s`", f.cluster, f.id)
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return timeoutError{fmt.Sprintf("operation %s has not ended within %s; %s", f.id, wait, more)}
	}
	return fmt.Errorf("interrupted while operation %s was running; %s", f.id, more)
}

// passing tells whether an error is one that a change of leader causes, so that the next look may work (S7).
func passing(err error) bool {
	var away *wire.ErrUnreachable
	var answer *wire.Refusal
	return errors.Is(err, wire.ErrNoLeader) || errors.As(err, &away) || errors.Is(err, context.DeadlineExceeded) ||
		errors.As(err, &answer) && (answer.Status == http.StatusMisdirectedRequest || answer.Status >= http.StatusInternalServerError)
}
