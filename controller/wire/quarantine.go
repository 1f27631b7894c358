package wire

import "mainstay/controller/platform"

// The ways in which a repair discards data (Piece.How). A change of upstream alone discards nothing: a standby with WAL past the
// fork is stopped and rewound.
const (
	Rewound = "rewind"
	Rebuilt = "rebuild"
	Mended  = "mending"
)

// Quarantine is the answer to GET /v1/quarantine of an agent: the data that repairs of its host's members have removed and kept (S9).
type Quarantine struct {
	Host   string  `json:"host"`
	Limit  int64   `json:"limit"` // bytes for each member
	Pieces []Piece `json:"pieces"`
}

// Piece is the record of the data that one repair of one member has removed. It is stored beside the kept files.
type Piece struct {
	ID      string         `json:"id"`
	Cluster string         `json:"cluster"`
	Member  string         `json:"member"`
	When    string         `json:"when"`  // RFC 3339, wall clock: for people
	How     string         `json:"how"`   // Rewound: the WAL is kept; Rebuilt: the whole data directory, unless Reduced; Mended: a page, or a fork
	Was     string         `json:"was"`   // the last role of the data: primary or standby
	Epoch   platform.Epoch `json:"epoch"` // whose history does not contain it
	// Incarnation is the name of the removed data, Successor that of the data in its place.
	Incarnation string            `json:"incarnation,omitempty"`
	Successor   string            `json:"successor"`
	SystemID    string            `json:"systemID,omitempty"`
	Timeline    platform.Timeline `json:"timeline"`
	// From is where the data leaves the primary's history, To the end of its WAL; between them are Bytes of WAL with Transactions commits.
	// Uncounted is the reason if they could not be counted.
	From         platform.LSN `json:"from"`
	To           platform.LSN `json:"to"`
	Bytes        int64        `json:"bytes"`
	Transactions int          `json:"transactions"`
	Uncounted    string       `json:"uncounted,omitempty"`
	Place        string       `json:"place"`           // folder of the kept data
	Parts        []Part       `json:"parts,omitempty"` // kept outside of Place
	Size         int64        `json:"size"`            // bytes it takes on disk, parts included
	// End is the end of WAL of a standby's data that was set aside whole; nil if that is not proven, or if the data may hold more that exists
	// nowhere else.
	End *End `json:"end,omitempty"`
	// Needless says why it holds no transaction that its successor lacks; it is then reduced where a later repair needs the space.
	Needless string   `json:"needless,omitempty"`
	Reduced  *Reduced `json:"reduced,omitempty"`
	Dropped  *Drop    `json:"dropped,omitempty"`
	// Problem is a fault of the piece, such as missing files. It is found at each reading, never stored.
	Problem string `json:"problem,omitempty"`
}

// Part is a folder outside of a data directory that was set aside: pg_wal on its own disk, or a tablespace.
type Part struct {
	Link  string `json:"link"`  // in the data directory; it now points to Place
	From  string `json:"from"`  // its former target, where its successor's data is
	Place string `json:"place"` // folder of the kept data
}

// End is the end of WAL, with the ancestry of its timeline.
type End struct {
	Timeline platform.Timeline `json:"timeline"`
	LSN      platform.LSN      `json:"lsn"`
	History  platform.History  `json:"history,omitempty"`
}

// Reduced is set for data of which only WAL, control file and small files are kept, because its successor has every transaction.
type Reduced struct {
	Why  string `json:"why"`
	When string `json:"when"` // RFC 3339
	Done bool   `json:"done"` // the rest is gone; otherwise the agent is still removing it
}

// Drop is an operator's decision that a piece may be destroyed.
type Drop struct {
	By     string `json:"by"`
	Reason string `json:"reason"`
	When   string `json:"when"` // RFC 3339
}

// PieceAnswer is the answer to GET /v1/quarantine/{id}.
type PieceAnswer struct {
	Host  string `json:"host"`
	Piece Piece  `json:"piece"`
	// List holds the first transactions of the kept WAL; Note gives the reason if it is not complete.
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

// DropRequest is the body of POST /v1/quarantine/{id}/drop.
type DropRequest struct {
	Reason string `json:"reason"`
}

// DropAnswer says whether the files are gone; if not, the agent keeps removing them.
type DropAnswer struct {
	Piece Piece `json:"piece"`
	Gone  bool  `json:"gone"`
}
