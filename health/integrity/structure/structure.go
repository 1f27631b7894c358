package structure

import (
	"context"
	"errors"
	"fmt"
	"time"

	"mainstay/controller/pgdial"
	"mainstay/controller/wakeup"
)

// Checker checks one server.
type Checker struct {
	// Local is how to connect as the superuser, with the settings of pgdial.Sessions. Its database is where the list of databases is asked
	// for.
	Local pgdial.Config
}

// Options of a check. The zero value checks everything, as fast as the server does.
type Options struct {
	From *Place // where an earlier check ended; nil: at the beginning
	// Install creates the extensions amcheck and pg_visibility where they are missing, in databases that are no templates. A standby
	// refuses.
	Install bool
	Rate    int64         // bytes a second on average; a range of a table or a whole index is read at once, and a pause follows; 0: no bound
	Range   int           // pages of a table for each statement; 0: 4096
	Short   time.Duration // deadline of a statement about a range or a list; 0: a minute
	Long    time.Duration // deadline of a statement about a whole index or visibility map; 0: two hours
	Tries   int           // of a statement that gets no verdict; 0: 3
	Pause   time.Duration // between tries; 0: 10 seconds
	Again   time.Duration // before a finding is checked once more; 0: a second
	// Turn waits until the check may continue, before each relation and each range of a table; nil: it always may. Its error, which is that of
	// the context, ends the check.
	Turn func(ctx context.Context) error
	// Only leaves out the databases for which it is false; nil: none. They are not counted.
	Only func(database string) bool
}

const (
	defaultRange = 4096
	defaultShort = time.Minute
	defaultLong  = 2 * time.Hour
	defaultTries = 3
	defaultPause = 10 * time.Second
	defaultAgain = time.Second
)

func (o *Options) fill() {
	fill(&o.Range, defaultRange)
	fill(&o.Short, defaultShort)
	fill(&o.Long, defaultLong)
	fill(&o.Tries, defaultTries)
	fill(&o.Pause, defaultPause)
	fill(&o.Again, defaultAgain)
}

func fill[T time.Duration | int](v *T, otherwise T) {
	if *v <= 0 {
		*v = otherwise
	}
}

// Place is where a check continues. Databases and relations are checked in the order of their OIDs.
type Place struct {
	Database uint32 `json:"database"`
	Listed   bool   `json:"listed"`   // its files have been compared with the catalog
	Relation uint32 `json:"relation"` // this one, or the next
	Block    uint32 `json:"block"`    // of the table's main fork, and then its visibility map is done
	// State and Found are the verdict on the blocks before Block.
	State State `json:"state,omitempty"`
	Found int   `json:"found,omitempty"`
}

// Check is what is checked of a relation.
type Check string

// The checks. A relation has those that its kind has.
const (
	Files  Check = "files"          // the main fork's segments and their sizes, against the catalog
	Heap   Check = "heap"           // a table's rows and the TOAST values that they point to
	Map    Check = "visibility map" // of a table, against its rows
	BTree  Check = "btree"          // an index, and that it has each of its table's rows
	Unique Check = "unique"         // that a unique btree has no two visible rows with one key
	GIN    Check = "gin"
	Index  Check = "index"    // of an access method without a check
	All    Check = "database" // whatever a database has
)

// State is a verdict. The zero value is Unverified.
type State int

// Verdicts, in the order in which one outweighs another.
const (
	Unverified State = iota
	Clean
	Suspect // an innocent explanation exists; another look, or a comparison, decides
	Corrupt
)

var states = map[State]string{Unverified: "unverified", Clean: "clean", Suspect: "suspect", Corrupt: "corrupt"}

func (s State) String() string { return states[s] }

// MarshalText writes the state's name.
func (s State) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText reads a state's name; an unknown one is Unverified.
func (s *State) UnmarshalText(b []byte) error {
	*s = Unverified
	for state, name := range states {
		if name == string(b) {
			*s = state
		}
	}
	return nil
}

// Kind is what is wrong.
type Kind string

// Kinds of findings.
const (
	BadPage      Kind = "page"             // the server could not read it
	BadRow       Kind = "row"              // header, line pointer, transaction, update chain
	BadTOAST     Kind = "TOAST"            // a value that is missing or has another length
	BadMap       Kind = "visibility map"   // a set bit, and a row or page that does not allow it
	BadIndex     Kind = "index"            // order, links or contents of its pages
	MissingEntry Kind = "missing entry"    // a row that its index does not have
	Duplicate    Kind = "duplicate key"    // two visible rows with one key of a unique index
	MissingFile  Kind = "missing file"     // of the catalog's relation
	BadFile      Kind = "file size"        // a gap in the segments, a short one before others, an end within a page
	ShortFile    Kind = "shorter"          // than the catalog's count of pages, which is no exact one
	Failure      Kind = "internal error"   // of the server, which damage may have caused
	BadStatus    Kind = "transaction file" // pg_xact or the like has not what a row needs
)

// Finding is one piece of evidence.
type Finding struct {
	Kind  Kind   `json:"kind"`
	Block *int64 `json:"block,omitempty"` // of the relation's main fork; nil where the server names none
	Item  int    `json:"item,omitempty"`  // line pointer; 0: none
	Text  string `json:"text"`            // as the server said it
}

func (f Finding) String() string {
	if f.Block == nil {
		return fmt.Sprintf("%s: %s", f.Kind, f.Text)
	}
	return fmt.Sprintf("block %d (%s): %s", *f.Block, f.Kind, f.Text)
}

// Verdict is what one check says of one relation.
type Verdict struct {
	Database string    `json:"database"`
	Relation string    `json:"relation,omitempty"` // with its schema, quoted where SQL needs it; "" for a whole database
	OID      uint32    `json:"oid,omitempty"`
	Node     uint32    `json:"node,omitempty"` // the number of its file
	Check    Check     `json:"check"`
	State    State     `json:"state"`
	Why      string    `json:"why,omitempty"`      // of Unverified
	Found    int       `json:"found,omitempty"`    // findings, also those that are not listed
	Findings []Finding `json:"findings,omitempty"` // the first maxFindings
}

const maxFindings = 50

func (v *Verdict) add(s State, all ...Finding) {
	v.Found += len(all)
	v.State = max(v.State, s)
	v.Findings = append(v.Findings, all[:min(len(all), max(0, maxFindings-len(v.Findings)))]...)
}

// Sink receives what a check finds, from its goroutine. Each function may be nil.
type Sink struct {
	Verdict  func(Verdict)  // other than Clean
	Progress func(Progress) // after each statement
}

// Progress is how far a check is.
type Progress struct {
	Done, Total int64 // bytes, since the beginning of the first of the checks that continue one another
	// At is where a check continues that ends here, and Result what this one has counted until then. It is valid during the call.
	At     Place
	Result *Result
}

// Counts are the verdicts of one check.
type Counts struct {
	Clean, Suspect, Corrupt, Unverified int64
}

func (c *Counts) add(s State) {
	switch s {
	case Clean:
		c.Clean++
	case Suspect:
		c.Suspect++
	case Corrupt:
		c.Corrupt++
	case Unverified:
		c.Unverified++
	}
}

// Why is a reason for Unverified.
type Why struct {
	Check Check  `json:"check"`
	Text  string `json:"text"`
}

// Result counts what a check has checked.
type Result struct {
	Version    int // major
	Standby    bool
	Databases  int
	Blocks     int64 // of tables, by verify_heapam
	Counts     map[Check]Counts
	Unverified map[Why]int64
	Vanished   int64 // relations that were dropped meanwhile
	Retried    int64 // statements without a verdict
	GaveWay    int64 // of them: to sessions that waited, or to recovery
}

// maxWhys bounds the reasons that are counted one by one.
const maxWhys = 1000

// ErrNoServer is returned when no session with the server can be opened. Earlier findings stand; Place says where to continue.
var ErrNoServer = errors.New("no session with the server")

// check is one run.
type check struct {
	Checker
	o      Options
	sink   Sink
	result Result
	at     Place
	done   int64
	total  int64
	began  time.Time
	paced  int64 // bytes that count for Rate
	sess   *session
	shared uint32 // the database in which shared relations are checked
}

// Run checks the server's databases, until ctx ends. Place is where the next check continues after an error.
func (c *Checker) Run(ctx context.Context, o Options, sink Sink) (r Result, at Place, err error) {
	o.fill()
	x := &check{Checker: *c, o: o, sink: sink, began: time.Now()}
	x.result.Counts, x.result.Unverified = map[Check]Counts{}, map[Why]int64{}
	if o.From != nil {
		x.at = *o.From
	}
	defer x.leave()
	err = x.run(ctx)
	if err == nil {
		err = ctx.Err()
	}
	return x.result, x.at, err
}

func (x *check) run(ctx context.Context) error {
	all, err := x.databases(ctx)
	if err != nil {
		return err
	}
	for _, d := range all {
		if d.oid < x.at.Database {
			x.done += d.bytes
			continue
		}
		if d.oid > x.at.Database {
			x.at = Place{Database: d.oid}
		}
		before := x.done
		if err := x.database(ctx, d); err != nil {
			return err
		}
		x.done = before + d.bytes // which has other forks, too
		x.at = Place{Database: d.oid + 1}
		x.result.Databases++
		x.progress()
	}
	return nil
}

// database checks the relations of one database.
func (x *check) database(ctx context.Context, d *database) error {
	if d.failed.fate != fine {
		x.unlisted(d, d.failed)
		return nil
	}
	if d.refused != "" {
		x.tell(Verdict{Database: d.name, Check: All, Why: d.refused})
		return nil
	}
	list, err := x.relations(ctx, d)
	if err != nil {
		return err
	}
	if err := x.files(ctx, d, list, !x.at.Listed); err != nil {
		return err
	}
	x.at.Listed = true
	for _, r := range list {
		if r.oid < x.at.Relation {
			x.done += r.bytes
			continue
		}
		if r.oid > x.at.Relation {
			x.at = Place{Database: d.oid, Listed: true, Relation: r.oid}
		}
		if err := x.turn(ctx); err != nil {
			return err
		}
		before := x.done
		if err := x.relation(ctx, d, r); err != nil {
			return err
		}
		x.done = before + r.bytes
		x.at = Place{Database: d.oid, Listed: true, Relation: r.oid + 1}
		x.progress()
	}
	return nil
}

// relation does the checks that a relation's kind has.
func (x *check) relation(ctx context.Context, d *database, r *relation) error {
	own := func(c Check) Verdict {
		return Verdict{Database: d.name, Relation: r.name, OID: r.oid, Node: r.node, Check: c}
	}
	if r.persistence != permanent {
		v := own(Heap)
		if r.kind == kindIndex {
			v.Check = Index
		}
		v.Why = "the relation is unlogged: a crash empties it, and no replica has it"
		if r.persistence == temporary {
			v.Why = "the relation is temporary"
		}
		x.tell(v)
		return nil
	}
	if r.kind != kindIndex {
		return x.table(ctx, d, r, own)
	}
	return x.index(ctx, d, r, own)
}

// tell counts a verdict, and passes it on unless it is clean.
func (x *check) tell(v Verdict) {
	c := x.result.Counts[v.Check]
	c.add(v.State)
	x.result.Counts[v.Check] = c
	if v.State == Unverified {
		why := Why{v.Check, v.Why}
		if _, known := x.result.Unverified[why]; !known && len(x.result.Unverified) >= maxWhys {
			why.Text = "other reasons"
		}
		x.result.Unverified[why]++
	}
	if v.State != Clean && x.sink.Verdict != nil {
		x.sink.Verdict(v)
	}
}

func (x *check) progress() {
	if x.sink.Progress != nil {
		x.sink.Progress(Progress{x.done, max(x.total, x.done), x.at, &x.result})
	}
}

// pace pauses after so many bytes, so that the average is within the rate.
func (x *check) pace(ctx context.Context, bytes int64) error {
	x.paced += bytes
	if x.o.Rate <= 0 {
		return ctx.Err()
	}
	due := x.began.Add(time.Duration(float64(x.paced) / float64(x.o.Rate) * float64(time.Second)))
	return wakeup.Pause(ctx, time.Until(due))
}

// turn waits for the turn. What passes meanwhile does not count for the rate.
func (x *check) turn(ctx context.Context) error {
	if x.o.Turn == nil {
		return ctx.Err()
	}
	before := time.Now()
	err := x.o.Turn(ctx)
	x.began = x.began.Add(time.Since(before))
	return err
}
