package controller

import (
	"context"
	"slices"
	"time"

	"go.uber.org/zap"

	"mainstay/controller/consensus"
	"mainstay/controller/platform"
)

const (
	// paceEvery is how often this controller's scheduling delay is measured, paceRound how often Raft's timeouts follow it, and
	// paceRounds for how many of those rounds a delay counts: timeouts grow within ten seconds, and shrink a minute after the last
	// delay.
	paceEvery  = 250 * time.Millisecond
	paceRound  = 10 * time.Second
	paceRounds = 6
)

// pace lengthens Raft's timeouts by this controller's scheduling delay. A controller that does not get the CPU considers a healthy leader
// silent, and a leader misses answers that have arrived.
type pace struct {
	log    *consensus.Log
	states *machine
	logger *zap.Logger
}

func (p *pace) run(ctx context.Context) error {
	var worst lateness
	timer := time.NewTimer(paceEvery)
	defer timer.Stop()
	due := time.Now().Add(paceEvery)
	next := time.Now().Add(paceRound)
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-timer.C:
		}
		now := time.Now()
		worst.note(now.Sub(due))
		if now.After(next) {
			next = now.Add(paceRound)
			p.retime(worst.most())
			worst.turn()
		}
		due = now.Add(paceEvery)
		timer.Reset(paceEvery)
	}
}

func (p *pace) retime(late time.Duration) {
	want := platform.RaftTimeout(late, 10*heartbeat(p.states.State()))
	if want == p.log.Timeout() {
		return
	}
	if err := p.log.Retime(want); err != nil {
		p.logger.Error("raft's timeouts cannot be changed", zap.Duration("timeout", want), zap.Error(err))
		return
	}
	p.logger.Info("raft's timeouts follow this controller's scheduling delay",
		zap.Duration("late", late), zap.Duration("timeout", want))
}

// lateness keeps the longest delay of each of the last rounds.
type lateness struct {
	rounds [paceRounds]time.Duration
	at     int
}

func (l *lateness) note(late time.Duration) { l.rounds[l.at] = max(l.rounds[l.at], late) }

func (l *lateness) most() time.Duration { return slices.Max(l.rounds[:]) }

// turn begins a round, and forgets the oldest.
func (l *lateness) turn() {
	l.at = (l.at + 1) % paceRounds
	l.rounds[l.at] = 0
}
