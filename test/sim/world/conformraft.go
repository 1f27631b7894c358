package world

import (
	"bytes"
	"encoding/json"
	"fmt"
	"time"

	"mainstay/controller/state"
)

// Controllers are three, of no platform, with the model of their log: test/conform holds it to controller/consensus. What is said are
// commands that change nothing.
type Controllers struct {
	w        *World
	outcomes map[string]string
	isolated map[node]bool
	traced   bytes.Buffer
}

// NewControllers starts them.
func NewControllers(seed uint64, names ...string) *Controllers {
	w := bare(seed)
	s := &Controllers{w: w, outcomes: map[string]string{}, isolated: map[node]bool{}}
	w.options.Trace = &s.traced
	for _, name := range names {
		w.voters = append(w.voters, name)
		w.controllers = append(w.controllers, &controller{w: w, name: name, node: w.net.join(name, name)})
	}
	for _, c := range w.controllers {
		c.start()
	}
	w.raft.watch()
	w.raft.elect()
	return s
}

// Pass lets time go by.
func (s *Controllers) Pass(d time.Duration) { s.w.pass(d) }

func (s *Controllers) controller(name string) *controller {
	for _, c := range s.w.controllers {
		if c.name == name {
			return c
		}
	}
	return nil
}

// Leads tells whether a controller believes to lead.
func (s *Controllers) Leads(name string) bool {
	c := s.controller(name)
	return c.alive && c.term != 0
}

// Say proposes a word to one that runs.
func (s *Controllers) Say(name, word string) error {
	c := s.controller(name)
	switch {
	case !c.alive:
		return fmt.Errorf("%s does not run", name)
	case c.term == 0:
		s.outcomes[word] = "refused"
		return nil
	}
	s.outcomes[word] = "open"
	s.w.raft.propose(c, &state.Command{Init: &state.Init{PlatformID: word}}, func(_ bool, err error) {
		if s.outcomes[word] = "committed"; err != nil {
			s.outcomes[word] = "unknown"
		}
	})
	return nil
}

// Outcome is what who proposed a word knows of it: "open", "committed", "refused" or "unknown".
func (s *Controllers) Outcome(word string) string { return s.outcomes[word] }

// Isolate cuts one off from the others, or joins it to those that are not cut off.
func (s *Controllers) Isolate(name string, cut bool) {
	s.isolated[s.controller(name).node] = cut
	for a := range s.w.net.cuts {
		for b := range s.w.net.cuts[a] {
			s.w.net.cuts[a][b] = a != b && (s.isolated[node(a)] || s.isolated[node(b)])
		}
	}
}

// Kill ends a controller, Start starts it again.
func (s *Controllers) Kill(name string) { s.controller(name).crash() }

// Start starts one that was killed.
func (s *Controllers) Start(name string) { s.controller(name).start() }

// Log is what a controller has applied.
func (s *Controllers) Log(name string) (words []string) {
	c := s.controller(name)
	for line := range bytes.Lines(s.traced.Bytes()) {
		_, said, found := bytes.Cut(line, []byte("  log "))
		var index int
		var cmd state.Command
		at, text, _ := bytes.Cut(said, []byte(": "))
		if !found || json.Unmarshal(at, &index) != nil || json.NewDecoder(bytes.NewReader(text)).Decode(&cmd) != nil {
			continue
		}
		if cmd.Init != nil && index <= c.applied {
			words = append(words, cmd.Init.PlatformID)
		}
	}
	return words
}
