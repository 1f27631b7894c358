package controller

import (
	"context"
	"time"

	"go.uber.org/zap"

	"mainstay/controller/consensus"
	"mainstay/controller/wakeup"
)

// againAfter is the pause after an attempt to hand leadership over.
const againAfter = time.Second

// handover hands leadership to another controller when this one's loop asks for it, because its own view differs from the others'.
// One attempt at a time; a loop that still leads afterwards asks again.
type handover struct {
	log    *consensus.Log
	asked  chan struct{} // capacity 1
	logger *zap.Logger
}

// Transfer implements loop.Log.
func (p *proposer) Transfer() { wakeup.Signal(p.asked) }

func (h *handover) run(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-h.asked:
		}
		if h.log.IsLeader() {
			h.try(ctx)
		}
		if wakeup.Pause(ctx, againAfter) != nil {
			return nil
		}
	}
}

func (h *handover) try(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, handOverTime)
	defer cancel()
	if err := h.log.Transfer(ctx, ""); err != nil {
		h.logger.Warn("leadership was not handed over; this controller keeps leading", zap.Error(err))
		return
	}
	h.logger.Warn("leadership handed over: this controller's view differed from that of the others")
}
