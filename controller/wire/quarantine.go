package wire

import "mainstay/controller/platform"

// The ways in which a repair discards data (Piece.How). A re-pointing discards nothing by itself: a standby with WAL past
// the fork is stopped and rewound.
const (
	Rewound = "rewind"
	Rebuilt = "rebuild"
)

// Quarantine is GET /v1/quarantine of an agent: what the repairs of its host's members have left out and kept (S9).
type Quarantine struct {
	Host   string  `json:"host"`
	Limit  int64   `json:"limit"` // bytes a member
	Pieces []Piece `json:"pieces"`
}

// Piece is what one repair of one member has left out. It is the record that lies beside the kept files.
type Piece struct {
	ID      string         `json:"id"`
	Cluster string         `json:"cluster"`
	Member  string         `json:"member"`
	When    string         `json:"when"`  // RFC 3339, wall clock: for people
	How     string         `json:"how"`   // Rewound: the WAL is kept; Rebuilt: the whole data directory, unless Reduced
	Was     string         `json:"was"`   // what the data was last: primary or standby
	Epoch   platform.Epoch `json:"epoch"` // whose history does not contain it
	// Incarnation is the name of the data left out, Successor that of the data in its place.
	Incarnation string            `json:"incarnation,omitempty"`
	Successor   string            `json:"successor"`
	SystemID    string            `json:"systemID,omitempty"`
	Timeline    platform.Timeline `json:"timeline"`
	// From is where the data leaves the primary's history, To the end of its WAL; between them lie Bytes of WAL with
	// Transactions commits. Uncounted says why that could not be counted.
	From         platform.LSN `json:"from"`
	To           platform.LSN `json:"to"`
	Bytes        int64        `json:"bytes"`
	Transactions int          `json:"transactions"`
	Uncounted    string       `json:"uncounted,omitempty"`
	Place        string       `json:"place"`           // folder of what is kept
	Parts        []Part       `json:"parts,omitempty"` // what lies outside of Place
	Size         int64        `json:"size"`            // bytes it takes on disk, parts included
	// End is where the WAL of a standby's data ended that was set aside whole, nil where that is not proven, or the data may have
	// more that nothing else has.
	End *End `json:"end,omitempty"`
	// Needless says why it holds no transaction that its successor lacks: then it is reduced where a later repair needs the room.
	Needless string   `json:"needless,omitempty"`
	Reduced  *Reduced `json:"reduced,omitempty"`
	Dropped  *Drop    `json:"dropped,omitempty"`
	// Problem is what is wrong with the piece, such as files that are gone. It is found out at each look, never kept.
	Problem string `json:"problem,omitempty"`
}

// Part is what data that was set aside had outside of its directory: pg_wal on a disk of its own, or a tablespace.
type Part struct {
	Link  string `json:"link"`  // in the data directory; it leads to Place now
	From  string `json:"from"`  // where it led, and where its successor's lies
	Place string `json:"place"` // folder of what is kept
}

// End is the end of WAL, with the ancestry of its timeline.
type End struct {
	Timeline platform.Timeline `json:"timeline"`
	LSN      platform.LSN      `json:"lsn"`
	History  platform.History  `json:"history,omitempty"`
}

// Reduced tells that of data without a transaction that its successor lacks only WAL, control file and small files are kept.
type Reduced struct {
	Why  string `json:"why"`
	When string `json:"when"` // RFC 3339
	Done bool   `json:"done"` // the rest is gone; else the agent is at it
}

// Drop is an operator's word that a piece may be destroyed.
type Drop struct {
	By     string `json:"by"`
	Reason string `json:"reason"`
	When   string `json:"when"` // RFC 3339
}

// PieceAnswer is GET /v1/quarantine/{id}.
type PieceAnswer struct {
	Host  string `json:"host"`
	Piece Piece  `json:"piece"`
	// List holds the first of the kept WAL's transactions; Note says why it is short or empty, if it is.
	List []Transaction `json:"list,omitempty"`
	Note string        `json:"note,omitempty"`
}

// Transaction is a commit in kept WAL.
type Transaction struct {
	XID       uint32       `json:"xid"`
	Committed string       `json:"committed"` // by the member's wall clock, in UTC
	LSN       platform.LSN `json:"lsn"`
	Relations int          `json:"relations"` // tables and indexes changed
	Changes   int          `json:"changes"`   // WAL records of those changes
}

// DropRequest is POST /v1/quarantine/{id}/drop.
type DropRequest struct {
	Reason string `json:"reason"`
}

// DropAnswer says whether the files are gone; if not yet, the agent goes on removing them.
type DropAnswer struct {
	Piece Piece `json:"piece"`
	Gone  bool  `json:"gone"`
}
