// Package delta sends a body that is nearly the same as one before as the difference. Reports, observations and the answers to them
// repeat twice a second, and little changes in them: a report of 1 kB becomes one of about 70 bytes.
//
// Either side keeps the last bodies. A difference names the body that it is based on and the body that it makes, both by their content, so
// that a restart, a lost answer or two concurrent requests cannot mix them up: a body that cannot be made from a difference is sent whole.
package delta

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/klauspost/compress/s2"
)

// MaxBody is the most bytes of a body that is kept, which is what a dictionary of s2 may have.
const MaxBody = s2.MaxDictSize

// kept is how many bodies a Shelf holds: two requests may run at once, and each may be based on the one before the last.
const kept = 4

// ErrNoBase says that the body which a difference is based on is not kept here: the sender must send all of it.
var ErrNoBase = errors.New("the body that this difference is based on is not kept here; send it whole")

// Shelf keeps the last bodies of one sender. It is safe for concurrent use; the zero value is empty.
type Shelf struct {
	mu     sync.Mutex
	bodies []body // the newest last
}

type body struct {
	name string
	text []byte
}

// Keep stores a body, which must not be changed afterwards. One that is too small or too large to be a base is not kept.
func (s *Shelf) Keep(text []byte) {
	if len(text) < s2.MinDictSize || len(text) > MaxBody {
		return
	}
	name := nameOf(text)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.bodies = slices.DeleteFunc(s.bodies, func(b body) bool { return b.name == name })
	if len(s.bodies) == kept {
		s.bodies = slices.Delete(s.bodies, 0, 1)
	}
	s.bodies = append(s.bodies, body{name, text})
}

// Newest is the name of the body kept last; "" for none.
func (s *Shelf) Newest() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.bodies) == 0 {
		return ""
	}
	return s.bodies[len(s.bodies)-1].name
}

// Clear forgets all bodies.
func (s *Shelf) Clear() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.bodies = nil
}

func (s *Shelf) find(name string) []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, b := range s.bodies {
		if b.name == name {
			return b.text
		}
	}
	return nil
}

// Encode gives the difference between the kept body of this name and text, with the title that Decode needs. It is false where no such
// body is kept, or the difference would not be shorter than text.
func (s *Shelf) Encode(base string, text []byte) (title string, difference []byte, ok bool) {
	from := s.find(base)
	if from == nil || len(text) == 0 {
		return "", nil, false
	}
	difference = s2.MakeDict(from, nil).Encode(nil, text)
	return base + " " + nameOf(text), difference, len(difference) < len(text)
}

// Decode makes the body of at most limit bytes from the difference that Encode has made under this title. An error wraps ErrNoBase where
// only the whole body helps.
func (s *Shelf) Decode(title string, difference []byte, limit int) ([]byte, error) {
	base, name, ok := strings.Cut(title, " ")
	if !ok {
		return nil, fmt.Errorf("%q does not name two bodies", title)
	}
	from := s.find(base)
	if from == nil {
		return nil, ErrNoBase
	}
	switch n, err := s2.DecodedLen(difference); {
	case err != nil:
		return nil, fmt.Errorf("the difference cannot be read: %w", err)
	case n > limit:
		return nil, fmt.Errorf("the difference makes a body of %d bytes; at most %d are read", n, limit)
	}
	text, err := s2.MakeDict(from, nil).Decode(nil, difference)
	if err != nil {
		return nil, fmt.Errorf("the difference cannot be read: %w", err)
	}
	if nameOf(text) != name {
		return nil, fmt.Errorf("the difference made another body than its sender has: %w", ErrNoBase)
	}
	return text, nil
}

// Exchange is what one side keeps of the requests of one kind between two parties. Of its requests, a client keeps those that the server
// has said to keep too.
type Exchange struct {
	Requests, Answers Shelf
}

// Exchanges has an Exchange for each of the other parties. It is safe for concurrent use; the zero value is empty.
type Exchanges struct {
	mu sync.Mutex
	of map[string]*Exchange
}

// With is the exchange of this name; it begins empty, and is kept.
func (e *Exchanges) With(name string) *Exchange {
	e.mu.Lock()
	defer e.mu.Unlock()
	x := e.of[name]
	if x == nil {
		if e.of == nil {
			e.of = map[string]*Exchange{}
		}
		x = &Exchange{}
		e.of[name] = x
	}
	return x
}

// nameOf is by content: equal names mean equal bodies, but for one chance in 2⁶⁴. It guards against mistakes; the peer is trusted, and
// proven by its certificate.
func nameOf(text []byte) string {
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:8])
}
