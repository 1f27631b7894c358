package page

// Method is the access method that a relation's pages belong to. It comes from the catalog: two methods may write pages that look alike.
type Method int

// Access methods whose pages can be compared, and Unknown for all others.
const (
	Unknown Method = iota
	Heap           // tables, TOAST tables, materialized views
	BTree
	Hash
	GIN
	GiST
	SPGiST
	BRIN
	Sequence
)

var methodNames = []string{"unknown", "heap", "btree", "hash", "gin", "gist", "spgist", "brin", "sequence"}

func (m Method) String() string { return name(methodNames, int(m)) }

// MethodOf reads pg_class.relkind and pg_am.amname, which is empty for a sequence.
func MethodOf(relkind, amname string) Method {
	if relkind == "S" {
		return Sequence
	}
	for m := Heap; m < Sequence; m++ {
		if methodNames[m] == amname {
			return m
		}
	}
	return Unknown
}

// Fork is a part of a relation with files of its own.
type Fork int

// Forks of a relation.
const (
	Main Fork = iota
	FreeSpace
	Visibility
	Init // what the main fork of an unlogged relation is reset to after a crash
)

var forkNames = []string{"main", "fsm", "vm", "init"}

func (f Fork) String() string { return name(forkNames, int(f)) }

// ForkOf reads a fork's name as in the name of a file; "" is the main fork.
func ForkOf(suffix string) (Fork, bool) {
	for n, s := range forkNames {
		if s == suffix && Fork(n) != Main || suffix == "" && Fork(n) == Main {
			return Fork(n), true
		}
	}
	return Main, false
}

// Rules say how a page is compared.
type Rules struct {
	Method Method
	Fork   Fork
	// HintsLogged: pages have checksums, or wal_log_hints is on, on both members. A page whose all-visible flag changes then has a new LSN.
	HintsLogged bool
}
