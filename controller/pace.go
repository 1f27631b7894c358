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
	// paceEvery is how often this controller's own turns of the CPU are measured, paceRound how often Raft's timeouts follow, and
	// paceRounds how many of those a late turn counts: timeouts grow within ten seconds, and shrink a minute after the last cause.
	paceEvery  = 250 * time.Millisecond
	paceRound  = 10 * time.Second
	paceRounds = 6
)

// pace gives Raft's timeouts the room that this controller's lateness asks for. A controller without a CPU sees a leader fall
// silent that is well, and one that leads misses answers that came.
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
	p.logger.Info("raft's timeouts follow how late this controller's turns of the CPU come",
		zap.Duration("late", late), zap.Duration("timeout", want))
}

// lateness keeps the latest turn of each of the last rounds.
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
