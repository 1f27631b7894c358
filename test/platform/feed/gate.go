package feed

import (
	"context"
	"fmt"
	"sync"
)

// gate lets writes through until it is shut, and knows when the last one has left.
type gate struct {
	mu     sync.Mutex
	shut   bool
	inside int
	left   chan struct{} // closed and replaced whenever a write leaves
}

func newGate() *gate { return &gate{left: make(chan struct{})} }

// enter tells whether a write may proceed; it leaves afterwards.
func (g *gate) enter() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.shut {
		return false
	}
	g.inside++
	return true
}

func (g *gate) leave() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.inside--
	close(g.left)
	g.left = make(chan struct{})
}

// close shuts the gate, and waits until no write is inside or ctx ends. It stays shut either way.
func (g *gate) close(ctx context.Context) error {
	for {
		g.mu.Lock()
		g.shut = true
		inside, left := g.inside, g.left
		g.mu.Unlock()
		if inside == 0 {
			return nil
		}
		select {
		case <-left:
		case <-ctx.Done():
			return fmt.Errorf("refuses new writes, but %d are still running; ask again", inside)
		}
	}
}

func (g *gate) open() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.shut = false
}

// look returns whether the gate is shut, and how many writes are inside.
func (g *gate) look() (shut bool, inside int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.shut, g.inside
}
