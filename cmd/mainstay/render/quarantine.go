package render

import (
	"fmt"
	"strconv"
	"strings"

	"mainstay/controller/wire"
)

// Kept pieces, as the agents list them.
type (
	// Quarantine is every agent's answer.
	Quarantine struct {
		Agents []AgentPieces `json:"agents"`
	}
	// AgentPieces is one agent's answer.
	AgentPieces struct {
		Address    string           `json:"address"`
		Quarantine *wire.Quarantine `json:"quarantine,omitempty"` // nil where it did not answer
		Error      string           `json:"error,omitempty"`      // why it did not answer
	}
)

// Pieces is the table of what repairs have removed and kept (S9), with the agents that did not answer.
func Pieces(q Quarantine, o Options) string {
	var rows []row
	var size int64
	var silent strings.Builder
	for _, a := range q.Agents {
		if a.Quarantine == nil {
			silent.WriteString(o.paint(red, "no answer") + " of agent " + a.Address + ": " + a.Error + "\n")
			continue
		}
		for _, p := range a.Quarantine.Pieces {
			size += p.Size
			rows = append(rows, pieceRow(p, a.Quarantine.Host))
		}
	}
	if len(rows) == 0 {
		return "nothing is kept in quarantine\n" + silent.String()
	}
	return o.table("", []string{"ID", "MEMBER", "WHEN", "HOW", "TIMELINE", "FROM..TO", "WAL", "TRANSACTIONS", "SIZE", "PLACE"}, rows) +
		fmt.Sprintf("\n%s, %s on disk; no commit is dropped automatically: mainstay member quarantine show ID, drop ID\n",
			count(len(rows), "piece"), Bytes(size)) + silent.String()
}

func pieceRow(p wire.Piece, host string) row {
	wal, transactions, span := Bytes(p.Bytes), strconv.Itoa(p.Transactions), p.From.String()+".."+p.To.String()
	if p.Uncounted != "" {
		wal, transactions, span = "unknown", "unknown", "unknown"
	}
	r := texts(p.ID, p.Member, p.When, p.How, strconv.Itoa(int(p.Timeline)), span, wal, transactions, Bytes(p.Size), host+":"+p.Place)
	r.cells[0].style = bold
	r.below = flaws(p)
	return r
}

// flaws are remarks on a piece that is not complete.
func flaws(p wire.Piece) (below []cell) {
	if p.Uncounted != "" {
		below = append(below, cell{"not counted: " + p.Uncounted, yellow})
	}
	switch {
	case p.Reduced != nil && p.Reduced.Done:
		below = append(below, cell{"reduced at " + p.Reduced.When + " to its WAL, control file and small files: " + p.Reduced.Why, dim})
	case p.Reduced == nil && p.Needless != "":
		below = append(below, cell{"may be reduced to its WAL, control file and small files, if a repair needs the space: " + p.Needless, dim})
	case p.Reduced != nil:
		below = append(below, cell{"is being reduced to its WAL, control file and small files: " + p.Reduced.Why, dim})
	}
	if p.Dropped != nil {
		below = append(below, cell{fmt.Sprintf("dropped by %s at %s (%s); its files are still being removed",
			p.Dropped.By, p.Dropped.When, p.Dropped.Reason), yellow})
	} else if p.Problem != "" {
		below = append(below, cell{p.Problem, red})
	}
	return below
}

// Piece shows one piece with its transactions.
func Piece(a wire.PieceAnswer, o Options) string {
	p := a.Piece
	lines := []row{
		texts("cluster", p.Cluster), texts("member", p.Member+" on "+a.Host+", removed by "+how(p)+" at "+p.When),
		texts("was", p.Was+", incarnation "+or(p.Incarnation, "unknown")+"; in its place now: "+p.Successor+" of epoch "+p.Epoch.String()),
		texts("WAL", fmt.Sprintf("timeline %d, %s to %s: %s, %s", p.Timeline, p.From, p.To, Bytes(p.Bytes),
			count(p.Transactions, "transaction"))),
		texts("place", p.Place+" ("+Bytes(p.Size)+")"),
	}
	for _, part := range p.Parts {
		lines = append(lines, texts("its "+part.Link, part.Place))
	}
	var b strings.Builder
	b.WriteString(o.paint(bold, p.ID) + "\n" + o.table("  ", nil, lines))
	for _, c := range flaws(p) {
		b.WriteString("  " + o.paint(c.style, c.text) + "\n")
	}
	var rows []row
	for _, t := range a.List {
		rows = append(rows, texts(t.Committed, strconv.FormatUint(uint64(t.XID), 10), t.LSN.String(), strconv.Itoa(t.Relations),
			strconv.Itoa(t.Changes)))
	}
	if len(rows) > 0 {
		b.WriteString("\n" + o.table("  ", []string{"COMMITTED", "XID", "LSN", "RELATIONS", "CHANGES"}, rows))
	}
	if a.Note != "" {
		b.WriteString("  " + o.paint(yellow, a.Note) + "\n")
	}
	return b.String()
}

func how(p wire.Piece) string {
	if p.How == wire.Rebuilt {
		return "a rebuild (the whole data directory)"
	}
	if p.How == wire.Mended {
		return "the mending of a page (the former one)"
	}
	return "a rewind"
}
