package delta

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
)

// Whatever body follows whatever body, the receiver has the sender's or says that it lacks the base.
func TestRandomBodies(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	var sender, receiver Shelf
	current := []byte(strings.Repeat(`{"name":"feed-e1","position":"0/4000000"},`, 20))
	whole, differences := 0, 0
	for n := range 2000 {
		next := bytes.Clone(current)
		for range r.IntN(4) {
			at, length := r.IntN(len(next)), r.IntN(30)
			next = append(next[:at:at], append([]byte(fmt.Sprint(n)), next[min(len(next), at+length):]...)...)
		}
		if r.IntN(50) == 0 {
			receiver.Clear() // it was restarted
		}
		title, difference, ok := sender.Encode(sender.Newest(), next)
		got, err := next, error(nil)
		if ok {
			got, err = receiver.Decode(title, difference, 1<<20)
		}
		switch {
		case errors.Is(err, ErrNoBase):
			got = next
			whole++
		case err != nil:
			t.Fatalf("body %d: %v", n, err)
		case ok:
			differences++
		}
		if !bytes.Equal(got, next) {
			t.Fatalf("body %d: the receiver has %q, the sender sent %q", n, got, next)
		}
		sender.Keep(next)
		receiver.Keep(got)
		if current = next; len(current) < 100 {
			current = []byte(strings.Repeat("0123456789", 50))
		}
	}
	if differences < 1500 || whole == 0 {
		t.Errorf("%d differences and %d whole bodies; both must occur", differences, whole)
	}
}

func TestDifferenceIsShort(t *testing.T) {
	var s Shelf
	report := strings.Repeat(`{"name":"feed-e1","process":"running","role":"primary","systemID":"7400000000000000001"},`, 12) + `{"position":"0/%X"}`
	s.Keep(fmt.Appendf(nil, report, 0x4000000))
	next := fmt.Appendf(nil, report, 0x4000148)
	if _, difference, ok := s.Encode(s.Newest(), next); !ok || len(difference)*10 > len(next) {
		t.Errorf("%d bytes for a body of %d in which one number has changed", len(difference), len(next))
	}
}

// A base is known by its content: another body of the same sender does not pass for it.
func TestRefused(t *testing.T) {
	var sender, receiver Shelf
	first, second := []byte(strings.Repeat("first body, ", 10)), []byte(strings.Repeat("second body, ", 10))
	sender.Keep(first)
	title, difference, ok := sender.Encode(sender.Newest(), append(bytes.Clone(first), "more"...))
	if !ok {
		t.Fatal("no difference")
	}
	receiver.Keep(second)
	if _, err := receiver.Decode(title, difference, 1<<20); !errors.Is(err, ErrNoBase) {
		t.Errorf("another base: %v", err)
	}
	receiver.Keep(first)
	if _, err := receiver.Decode(title, difference, 1<<20); err != nil {
		t.Errorf("the right base: %v", err)
	}
	base, _, _ := strings.Cut(title, " ")
	if _, err := receiver.Decode(base+" 0123456789abcdef", difference, 1<<20); !errors.Is(err, ErrNoBase) {
		t.Errorf("another result: %v", err)
	}
	for _, title := range []string{"", base} {
		if _, err := receiver.Decode(title, difference, 1<<20); err == nil {
			t.Errorf("title %q is taken", title)
		}
	}
	if _, err := receiver.Decode(title, difference, 10); err == nil || errors.Is(err, ErrNoBase) {
		t.Errorf("a body over the limit: %v", err)
	}
	if _, err := receiver.Decode(title, []byte("no difference"), 1<<20); err == nil {
		t.Error("bytes that are no difference are taken")
	}
}

func TestShelfKeepsTheLast(t *testing.T) {
	var s Shelf
	for i := range kept + 2 {
		s.Keep(fmt.Appendf(nil, "a body long enough to be kept %d", i))
	}
	if len(s.bodies) != kept || s.find(nameOf([]byte("a body long enough to be kept 1"))) != nil {
		t.Errorf("%d bodies are kept", len(s.bodies))
	}
	s.Keep([]byte("short"))
	s.Keep(make([]byte, MaxBody+1))
	if len(s.bodies) != kept || s.Newest() != nameOf(fmt.Appendf(nil, "a body long enough to be kept %d", kept+1)) {
		t.Error("a body that cannot be a base is kept")
	}
}
