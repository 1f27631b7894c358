package world

import (
	"fmt"
	"time"

	"mainstay/controller/member"
	"mainstay/controller/platform"
	"mainstay/test/invariant"
)

// Store is an agent without a leader, for what it keeps on disk: test/conform holds it to controller/agent's. A damaged file is not
// modelled: the real agent leaves such a member alone and names the file, as one whose agent does not run is left alone here.
type Store struct {
	w    *World
	m    *supervisor
	told uint64 // the last promise that was acknowledged
	next uint64 // the one under way, 0 for none
}

// NewStore makes one whose agent runs.
func NewStore(seed uint64) *Store {
	w := bare(seed)
	m := w.bareMember(&cluster{w: w, name: "conform", check: invariant.New()}, "a")
	m.host.agent.start()
	return &Store{w: w, m: m}
}

// Pass lets time go by.
func (s *Store) Pass(d time.Duration) { s.w.pass(d) }

// Promise begins to keep an epoch.
func (s *Store) Promise(n uint64) error {
	if !s.m.host.agent.up || s.m.acting {
		return fmt.Errorf("no agent is there that could promise %d", n)
	}
	s.next = n
	s.m.act(member.Act{Kind: member.Persist, Durable: member.Durable{Epoch: platform.Epoch{Number: n}}})
	return nil
}

// Told is the last promise that was acknowledged, 0 for none.
func (s *Store) Told() uint64 {
	if s.next != 0 && s.m.host.agent.up && !s.m.acting {
		if s.m.failed == "" {
			s.told = s.next
		}
		s.next = 0
	}
	return s.told
}

// Kept is what is on disk, 0 for nothing.
func (s *Store) Kept() uint64 { return s.m.durable.Epoch.Number }

// Kill ends the agent's process, Start another's beginning.
func (s *Store) Kill() { s.Told(); s.next = 0; s.m.host.agent.stop() }

// Start starts the agent again.
func (s *Store) Start() { s.m.host.agent.start() }

// Fill leaves no room on the disk, or some again.
func (s *Store) Fill(full bool) {
	s.m.host.filled = 0
	if full {
		s.m.host.filled = s.w.now + 24*time.Hour
	}
}

// Lose takes the agent's folder away.
func (s *Store) Lose() { s.m.forget() }
