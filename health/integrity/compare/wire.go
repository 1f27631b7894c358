package compare

import (
	"encoding/json"
	"fmt"

	"mainstay/health/integrity"
	"mainstay/health/integrity/page"
)

// Request asks an agent to summarise pages of its member.
type Request struct {
	From    string         `json:"from"` // the member whose agent asks
	Extents []packedExtent `json:"extents"`
	Hints   bool           `json:"hintsLogged"` // by every member
	// Rate is how many MB a second to read, at most; 0: as the agent's file says, which is the limit anyway.
	Rate int `json:"rate,omitempty"`
}

// Answer is what the agent sends.
type Answer struct {
	Where
	Packed []byte `json:"packed"` // see Pack
}

// ListRequest asks for a Listing or a Where.
type ListRequest struct {
	From string `json:"from"`
	// End tells, in a request for a Where, that this comparison asks no more.
	End bool `json:"end,omitempty"`
	// Mended tells, in a request for a Where, that this page of From was mended: what was found of it is compared again.
	Mended string `json:"mended,omitempty"`
}

// PageRequest asks an agent for one page of its member, as its disk has it.
type PageRequest struct {
	From  string    `json:"from"`
	Block [5]uint32 `json:"block"` // tablespace, database, relfilenode, fork, block
}

// NewPageRequest asks for a page.
func NewPageRequest(from string, b integrity.Block) PageRequest {
	return PageRequest{From: from, Block: [5]uint32{b.Space, b.Database, b.Node, uint32(b.Fork), b.Number}}
}

// Wanted is the page that is asked for.
func (r *PageRequest) Wanted() integrity.Block {
	return integrity.Block{Relation: integrity.Relation{Space: r.Block[0], Database: r.Block[1], Node: r.Block[2]},
		Fork: page.Fork(r.Block[3]), Number: r.Block[4]}
}

// PageAnswer is the page. The redo position was read before it.
type PageAnswer struct {
	Where
	Page []byte `json:"page"`
}

// packedExtent is tablespace, database, relfilenode, fork, first block, count and access method: there are many.
type packedExtent [7]uint32

// NewRequest asks about extents, which all have the same Rules.HintsLogged.
func NewRequest(from string, extents []integrity.Extent) Request {
	r := Request{From: from, Extents: make([]packedExtent, len(extents))}
	for n, e := range extents {
		r.Extents[n] = packedExtent{e.Space, e.Database, e.Node, uint32(e.Fork), e.Number, e.Count, uint32(e.Rules.Method)}
		r.Hints = e.Rules.HintsLogged
	}
	return r
}

// Wanted are the extents of a request. The error tells of one that no comparison asks for.
func (r *Request) Wanted() ([]integrity.Extent, error) {
	all, blocks := make([]integrity.Extent, len(r.Extents)), uint64(0)
	for n, p := range r.Extents {
		e := integrity.Extent{Block: integrity.Block{Relation: integrity.Relation{Space: p[0], Database: p[1], Node: p[2]},
			Fork: page.Fork(p[3]), Number: p[4]}, Count: p[5]}
		e.Rules = page.Rules{Method: page.Method(p[6]), Fork: e.Fork, HintsLogged: r.Hints}
		blocks += uint64(e.Count)
		if e.Fork > page.Init || e.Rules.Method > page.Sequence || blocks > LookBlocks || uint64(e.Number)+uint64(e.Count) > 1<<32-1 {
			return nil, fmt.Errorf("extent %v cannot be read: want at most %d pages of a known fork and access method", p, LookBlocks)
		}
		all[n] = e
	}
	return all, nil
}

// MarshalJSON writes tablespace, database, relfilenode, fork and length.
func (f Fork) MarshalJSON() ([]byte, error) {
	return json.Marshal([5]uint32{f.Space, f.Database, f.Node, uint32(f.Fork), f.Blocks})
}

// UnmarshalJSON reads what MarshalJSON writes.
func (f *Fork) UnmarshalJSON(text []byte) error {
	var n [5]uint32
	if err := json.Unmarshal(text, &n); err != nil {
		return err
	}
	*f = Fork{Relation: integrity.Relation{Space: n[0], Database: n[1], Node: n[2]}, Fork: page.Fork(n[3]), Blocks: n[4]}
	return nil
}

// ForksOf makes a listing's forks, and what is left out, of a catalogue of files.
func ForksOf(c *integrity.Catalogue, pageSize, segmentBlocks int64) (forks []Fork, left map[string]int64) {
	at := map[Fork]int{}
	for _, f := range c.Files {
		key := Fork{Relation: f.Relation, Fork: f.Fork}
		n, ok := at[key]
		if !ok {
			n = len(forks)
			at[key] = n
			forks = append(forks, key)
		}
		if f.Size > 0 {
			forks[n].Blocks = max(forks[n].Blocks, uint32(int64(f.Segment)*segmentBlocks+(f.Size+pageSize-1)/pageSize))
		}
	}
	left = map[string]int64{}
	for why, s := range c.Skipped {
		left[string(why)] += s.Blocks
	}
	return forks, left
}

// StatusRequest asks an agent for the status of transactions.
type StatusRequest struct {
	From string       `json:"from"` // the member whose agent asks
	Want Transactions `json:"want"`
	Rate int          `json:"rate,omitempty"` // as in Request
}

// StatusAnswer is what the agent sends.
type StatusAnswer struct {
	Where
	Pages []Status `json:"pages"`
}
