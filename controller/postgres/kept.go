package postgres

import (
	"cmp"
	"path/filepath"
	"strconv"
	"strings"
)

// Kept is what none of our settings may take from an instance: where the files of an adopted one lie, and values that its user asks for.
// Those that were in force are never lowered by us. The zero Kept is that of a cluster we have just initialised.
type Kept struct {
	ConfigFile string `json:"configFile,omitempty"`
	HBAFile    string `json:"hbaFile,omitempty"`
	IdentFile  string `json:"identFile,omitempty"`
	Listen     string `json:"listen,omitempty"`  // listen_addresses
	Sockets    string `json:"sockets,omitempty"` // unix_socket_directories

	WALLevel            string `json:"walLevel,omitempty"` // "logical", or empty
	MaxWALSenders       int    `json:"maxWALSenders,omitempty"`
	MaxReplicationSlots int    `json:"maxReplicationSlots,omitempty"`
	WALKeepMB           int    `json:"walKeepMB,omitempty"`
	MaxSlotWALKeepMB    int    `json:"maxSlotWALKeepMB,omitempty"`
}

// Keep is what a running instance takes with it when it is adopted.
func (f Facts) Keep() Kept {
	return Kept{
		ConfigFile: f.ConfigFile, HBAFile: f.HBAFile, IdentFile: f.IdentFile, Listen: f.Listen, Sockets: f.Sockets,
		WALLevel: logical(f.WALLevel), MaxWALSenders: f.MaxWALSenders, MaxReplicationSlots: f.MaxReplicationSlots,
		WALKeepMB: f.WALKeepMB, MaxSlotWALKeepMB: f.MaxSlotWALKeepMB,
	}
}

// Raise takes over what the data was last run with: a standby refuses to start with fewer WAL senders than its primary
// has, and a promoted one would lose its logical slots at a lower wal_level.
func (k Kept) Raise(c Control) Kept {
	k.WALLevel = cmp.Or(logical(c.WALLevel), k.WALLevel)
	k.MaxWALSenders = max(k.MaxWALSenders, c.MaxWALSenders)
	return k
}

// Want takes over what the user's files ask for beyond what was in force, by Status.Wanted. Nothing is lowered: a server does not start with
// less wal_level than its slots need, nor a standby with fewer WAL senders than its primary has.
func (k Kept) Want(wanted map[string]string) Kept {
	k.WALLevel = cmp.Or(logical(strings.ToLower(wanted["wal_level"])), k.WALLevel)
	for name, at := range map[string]*int{"max_wal_senders": &k.MaxWALSenders, "max_replication_slots": &k.MaxReplicationSlots} {
		if n, err := strconv.Atoi(wanted[name]); err == nil && n <= maxSenders {
			*at = max(*at, n)
		}
	}
	return k
}

// maxSenders is the most that PostgreSQL takes for max_wal_senders and max_replication_slots (MAX_BACKENDS).
const maxSenders = 1<<18 - 1

func logical(level string) string {
	if level == "logical" {
		return level
	}
	return ""
}

// atLeast is a number that is ours unless the user's own is higher.
func atLeast(ours func(Settings) int, standard int, kept func(Kept) int) func(*Instance, Settings) (string, bool) {
	return func(i *Instance, s Settings) (string, bool) {
		n := ours(s)
		if n <= 0 {
			n = standard
		}
		return strconv.Itoa(max(n, kept(i.Kept))), true
	}
}

// megabytes puts the unit to a value.
func megabytes(value func(*Instance, Settings) (string, bool)) func(*Instance, Settings) (string, bool) {
	return func(i *Instance, s Settings) (string, bool) {
		v, ok := value(i, s)
		return v + "MB", ok
	}
}

// ifKept is a place of an adopted instance's own files.
func ifKept(get func(Kept) string) func(*Instance, Settings) (string, bool) {
	return func(i *Instance, _ Settings) (string, bool) { v := get(i.Kept); return v, v != "" }
}

// hbaFile is where the access rules lie.
func (i *Instance) hbaFile() string {
	return cmp.Or(i.Kept.HBAFile, filepath.Join(i.Data, "pg_hba.conf"))
}

func (i *Instance) identFile() string {
	return cmp.Or(i.Kept.IdentFile, filepath.Join(i.Data, "pg_ident.conf"))
}

// loopbackOnly tells whether a listen_addresses lets nobody in from other hosts, and the member is to be reached by them.
func loopbackOnly(listen, wanted string) bool {
	for a := range strings.SplitSeq(listen, ",") {
		switch a = strings.TrimSpace(a); a {
		case "", "localhost", "127.0.0.1", "::1":
		default:
			return false
		}
	}
	return wanted != "localhost" && wanted != "127.0.0.1" && wanted != "::1"
}
