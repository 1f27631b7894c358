package quarantine

import (
	"os"
	"testing"

	"go.uber.org/zap"

	"mainstay/controller/config"
	"mainstay/controller/wire"
)

// What an earlier run of the agent was dropping, the next one removes (S7).
func TestInterruptedDropIsCompleted(t *testing.T) {
	h := New(Options{Config: config.Agent{Data: t.TempDir()}, Log: zap.NewNop()})
	p := testPiece("feed-e1_4", wire.Rewound, 100)
	p.Dropped = &wire.Drop{By: "alice"}
	p = putPiece(t, h.of("feed-e1"), p, "")
	h.removeDropped(t.Context())
	if _, err := os.Stat(p.Place); !os.IsNotExist(err) {
		t.Errorf("%s is still there", p.Place)
	}
}
