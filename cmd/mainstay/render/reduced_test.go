package render

import (
	"strings"
	"testing"

	"mainstay/controller/wire"
)

// TestReducedPiece: list and show say that a piece is not whole any more, and why.
func TestReducedPiece(t *testing.T) {
	p := wire.Piece{ID: "feed-w1_5-rebuild", Member: "feed-w1", How: wire.Rebuilt,
		Reduced: &wire.Reduced{Why: "it held no transaction that its successor lacks", When: "2026-11-22T22:57:04Z", Done: true}}
	texts := func() []string {
		return []string{Pieces(Quarantine{Agents: []AgentPieces{{Quarantine: &wire.Quarantine{Host: "db-w1", Pieces: []wire.Piece{p}}}}},
			Options{}),
			Piece(wire.PieceAnswer{Host: "db-w1", Piece: p}, Options{})}
	}
	for _, text := range texts() {
		if !strings.Contains(text, "reduced at 2026-11-22T22:57:04Z to its WAL, control file and small files: it held no transaction") {
			t.Errorf("reduced:\n%s", text)
		}
	}
	p.Reduced.Done = false
	for _, text := range texts() {
		if !strings.Contains(text, "is being reduced") {
			t.Errorf("running:\n%s", text)
		}
	}
	p.Reduced = nil
	for _, text := range texts() {
		if strings.Contains(text, "reduced") {
			t.Errorf("whole:\n%s", text)
		}
	}
}
