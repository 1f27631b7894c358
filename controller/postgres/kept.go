package postgres

import (
	"cmp"
	"path/filepath"
	"strconv"
	"strings"
)

// Kept are properties of an instance that our settings must not change: where the files of an adopted one are, and values of its user.
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
	// Asked are the values that the user's files ask for, in force or not, until they no longer do.
	Asked Asked `json:"asked,omitzero"`
}

// Asked are settings that are the user's to raise.
type Asked struct {
	WALLevel            string `json:"walLevel,omitempty"` // "logical", or empty
	MaxWALSenders       int    `json:"maxWALSenders,omitempty"`
	MaxReplicationSlots int    `json:"maxReplicationSlots,omitempty"`
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

// Want takes over what the user's files ask for and, for good, what of it is in force: a server does not start with less wal_level than
// its slots need, with fewer slots than it has, nor a standby with fewer WAL senders than its primary has.
func (k Kept) Want(wanted, inForce map[string]string) Kept {
	k.Asked = Asked{logical(strings.ToLower(wanted["wal_level"])), wantedNumber(wanted["max_wal_senders"]),
		wantedNumber(wanted["max_replication_slots"])}
	k.WALLevel = cmp.Or(k.WALLevel, logical(inForce["wal_level"]))
	for at, name := range map[*int]string{&k.MaxWALSenders: "max_wal_senders", &k.MaxReplicationSlots: "max_replication_slots"} {
		*at = max(*at, wantedNumber(inForce[name]))
	}
	return k
}

// wantedNumber is a count of WAL senders or slots, 0 for an absurd one: PostgreSQL would not start with more.
func wantedNumber(text string) int {
	const most = 10000
	if n, err := strconv.Atoi(text); err == nil && n > 0 && n <= most {
		return n
	}
	return 0
}

func logical(level string) string {
	if level == "logical" {
		return level
	}
	return ""
}

// atLeast is a number that is ours unless the user's own is higher.
func atLeast(ours func(Settings) int, standard int, kept func(Kept) int) func(*Server, Settings) (string, bool) {
	return func(i *Server, s Settings) (string, bool) {
		n := ours(s)
		if n <= 0 {
			n = standard
		}
		return strconv.Itoa(max(n, kept(i.Kept))), true
	}
}

// megabytes puts the unit to a value.
func megabytes(value func(*Server, Settings) (string, bool)) func(*Server, Settings) (string, bool) {
	return func(i *Server, s Settings) (string, bool) {
		v, ok := value(i, s)
		return v + "MB", ok
	}
}

// ifKept is a place of an adopted instance's own files.
func ifKept(get func(Kept) string) func(*Server, Settings) (string, bool) {
	return func(i *Server, _ Settings) (string, bool) { v := get(i.Kept); return v, v != "" }
}

// hbaFile is where the access rules lie.
func (i *Server) hbaFile() string {
	return cmp.Or(i.Kept.HBAFile, filepath.Join(i.Data, "pg_hba.conf"))
}

func (i *Server) identFile() string {
	return cmp.Or(i.Kept.IdentFile, filepath.Join(i.Data, "pg_ident.conf"))
}

// loopbackOnly tells whether a listen_addresses shuts out other hosts although they must reach the member.
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
