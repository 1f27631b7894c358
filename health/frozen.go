package health

import "mainstay/controller/platform"

// Frozen is what a replica reports of its replay, which its controllers want paused.
type Frozen struct {
	// Incarnation is that of the data whose replay is paused. PostgreSQL has confirmed it: a pause that was only asked for is none.
	Incarnation string `json:"incarnation"`
	// At is where replay has stopped.
	At platform.LSN `json:"at"`
	// Held: it was started again since, with a position beyond which it does not replay. A resume by SQL would promote it.
	Held bool `json:"held,omitempty"`
	// Keeps is how many bytes of WAL it receives beyond At before it stops receiving, so that they do not fill its disk.
	Keeps int64 `json:"keeps,omitempty"`
	// Compared says what comparing the pages again has shown, since the pause; nil before that.
	Compared []FrozenPage `json:"compared,omitempty"`
}

// FrozenPage is a page of a frozen replica beside the primary's.
type FrozenPage struct {
	Page string `json:"page"` // as Comparison.Accuses names it
	// Differs: the replica still has another page than the primary. Same: it has not.
	Differs bool   `json:"differs,omitempty"`
	Same    bool   `json:"same,omitempty"`
	Detail  string `json:"detail,omitempty"` // for people
}

// Mended is how the mending of one page of a replica has ended (platform.Mend).
type Mended struct {
	Number uint64 `json:"number"` // of the operation
	Page   string `json:"page"`
	// Done: the page, or what stands in its place, is a good one. Otherwise nothing was changed.
	Done   bool   `json:"done,omitempty"`
	Detail string `json:"detail"`         // for people: what was done, or why not
	Kept   string `json:"kept,omitempty"` // the ID of what was replaced, in the quarantine
	// Compared is what comparing the page with the primary's has shown since; nil before that.
	Compared *FrozenPage `json:"compared,omitempty"`
}
