package wire

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
)

// search is one request on its way to the leader.
type search struct {
	c            *Client
	method, path string
	body         []byte
	out          any
	queue        []string // addresses still to try
	hops         int
	asked        []string // addresses that have answered that they are not the leader
	said         []string
	failed       []Attempt
}

func (s *search) run(ctx context.Context) error {
	for len(s.queue) > 0 {
		address := s.queue[0]
		s.queue = s.queue[1:]
		err := s.try(ctx, address)
		refusal := (*RefusalError)(nil)
		switch {
		case err == nil:
			s.c.remember(address)
			return nil
		case errors.As(err, &refusal) && refusal.Status == http.StatusMisdirectedRequest:
			s.follow(refusal)
		case refusal != nil:
			s.c.remember(address) // the leader refused, or the address answers for itself
			return err
		case s.uncertain(err):
			s.c.remember("")
			return fmt.Errorf("%s: %w: %w", address, ErrUncertain, err)
		default:
			s.failed = append(s.failed, Attempt{address, err})
		}
		if ctx.Err() != nil {
			return fmt.Errorf("%w: %w", s.verdict(), ctx.Err())
		}
	}
	s.c.remember("")
	return s.verdict()
}

// try sends the request to one address. Where there is another address, a read times out, so that one frozen controller does not use
// up the caller's time; a read that the controller holds on purpose does not.
func (s *search) try(ctx context.Context, address string) error {
	if s.method == http.MethodGet && len(s.queue) > 0 && !s.held() {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, readTimeout)
		defer cancel()
	}
	return s.c.send(ctx, address, message{method: s.method, path: s.path, body: s.body, out: s.out})
}

func (s *search) held() bool {
	return strings.HasPrefix(s.path, "/v1/wake") || strings.Contains(s.path, "wait=")
}

// uncertain tells whether a change may have been carried out although no answer came.
func (s *search) uncertain(err error) bool {
	sent := (*sentError)(nil)
	return s.method != http.MethodGet && errors.As(err, &sent)
}

// follow puts the named leader in front, unless that one has answered that it is not the leader, or has failed.
func (s *search) follow(r *RefusalError) {
	s.asked = append(s.asked, r.Address)
	s.said = append(s.said, r.Address+": "+r.Err.Message)
	leader := r.Err.Leader
	if leader == "" || s.hops == maxHops || slices.Contains(s.asked, leader) ||
		slices.ContainsFunc(s.failed, func(a Attempt) bool { return a.Address == leader }) {
		return
	}
	s.hops++
	s.queue = slices.DeleteFunc(s.queue, func(a string) bool { return a == leader })
	s.queue = append([]string{leader}, s.queue...)
}

// verdict is the error of a request that no controller carried out.
func (s *search) verdict() error {
	unreachable := &UnreachableError{Tried: s.failed}
	switch {
	case len(s.asked) == 0:
		return unreachable
	case len(s.failed) == 0:
		return fmt.Errorf("%w: %s", ErrNoLeader, strings.Join(s.said, "; "))
	}
	return fmt.Errorf("%w: %s; %s", ErrNoLeader, strings.Join(s.said, "; "), unreachable.each())
}
