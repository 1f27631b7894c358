package program

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"time"
)

// limited keeps the beginning of an output and discards the rest, so that the program does not block.
type limited struct {
	most int
	b    strings.Builder
	cut  bool
	line func(string) // may be nil
	rest []byte       // of a line that has not ended
}

var _ io.Writer = (*limited)(nil)

func (l *limited) Write(p []byte) (int, error) {
	room := min(len(p), l.most-l.b.Len())
	l.b.Write(p[:room])
	l.cut = l.cut || room < len(p)
	if l.line != nil {
		l.tell(p)
	}
	return len(p), nil
}

// tell passes on the lines that are whole now; of a line without an end it keeps as much as of a stream.
func (l *limited) tell(p []byte) {
	for {
		before, after, ended := bytes.Cut(p, []byte("\n"))
		l.rest = append(l.rest, before[:min(len(before), l.most-len(l.rest))]...)
		if !ended {
			return
		}
		l.line(string(l.rest))
		l.rest, p = l.rest[:0], after
	}
}

// String drops a last line that was cut off, because the scrubbing of secrets would not find a part of a secret.
func (l *limited) String() string {
	s := l.b.String()
	if len(s) == l.most {
		s = s[:strings.LastIndexByte(s, '\n')+1]
	}
	return s
}

// Apart waits for f until ctx ends, and one second more for f to return its reason. It returns false if f then still hangs on a
// dead disk or device; its goroutine ends when the kernel answers.
func Apart[T any](ctx context.Context, f func() T) (T, bool) { return apart(ctx, drain+time.Second, f) }

func apart[T any](ctx context.Context, longer time.Duration, f func() T) (T, bool) {
	answer := make(chan T, 1)
	go func() { answer <- f() }()
	select {
	case v := <-answer:
		return v, true
	case <-ctx.Done():
	}
	grace := time.NewTimer(longer)
	defer grace.Stop()
	select {
	case v := <-answer:
		return v, true
	case <-grace.C:
		var none T
		return none, false
	}
}

// ErrHung is returned by Attempt for a call that did not return in time.
var ErrHung = errors.New("the filesystem does not answer")

// Attempt is Apart for a call with an error. f must leave alone what its caller may use after it has given up.
func Attempt[T any](ctx context.Context, f func() (T, error)) (T, error) {
	type answer struct {
		v   T
		err error
	}
	var none T
	if err := context.Cause(ctx); err != nil {
		return none, err
	}
	a, ok := Apart(ctx, func() answer {
		v, err := f()
		return answer{v, err}
	})
	if !ok {
		return none, ErrHung
	}
	return a.v, a.err
}
