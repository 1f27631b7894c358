package postgres

import (
	"cmp"
	"fmt"
	"maps"
	"net"
	"slices"
	"strconv"
	"strings"

	"mainstay/controller/platform"
)

// Settings are the values of the managed settings that change over a member's life; the others follow from Instance.
// Zero sizes take their defaults.
type Settings struct {
	PrimaryConnInfo string // Instance.ConnInfo; "" for no upstream
	PrimarySlot     string // the slot on the upstream
	SyncNames       string // member.SyncNames(...)
	SyncSlots       string // SyncSlots(...)
	// Sealed empties primary_conninfo, even against the value above, and turns restore_command off: no WAL comes in.
	Sealed bool
	// NoArchive leaves restore_command off: the member is sealed but for the WAL of another sealed one.
	NoArchive bool
	// Quiet looks for WAL every few seconds only: PostgreSQL logs each look that finds none. Not while a seal is being made.
	Quiet bool
	// Hold starts a standby that replays to that position and pauses there; 0: it replays on. Only a start takes it up.
	Hold platform.LSN
	// NoApplyDelay lets replay win over a wanted delay, NoReplayDelay over queries too: a candidate must reach its position.
	NoApplyDelay, NoReplayDelay bool

	WALLevel            string // "replica", or "logical" where the cluster has it
	MaxWALSenders       int    // 16; never below what Kept has
	MaxReplicationSlots int    // 16
	WALKeepMB           int    // 256
	MaxSlotWALKeepMB    int    // 10240; never unlimited: a dead member must not fill the primary's disk
}

// managed is one setting that is ours. value gives false where it is left to the user.
type managed struct {
	name, why string
	value     func(*Server, Settings) (string, bool)
}

// listens is listen_addresses: the adopted instance's own, or the host's address with loopback for clients on the host.
// PostgreSQL starts, and logs it, where there is no ::1 or another program has the port there.
func (i *Server) listens() string {
	switch {
	case i.Kept.Listen != "":
		return i.Kept.Listen
	case i.Listen == "localhost" || i.Listen == "*":
		return i.Listen
	}
	if ip := net.ParseIP(i.Listen); ip.IsLoopback() || ip.IsUnspecified() {
		return i.Listen
	}
	return i.Listen + ", 127.0.0.1, ::1"
}

func fixed(v string) func(*Server, Settings) (string, bool) {
	return func(*Server, Settings) (string, bool) { return v, true }
}

// from leaves a setting alone that older versions do not know.
func from(major int, value func(*Server, Settings) (string, bool)) func(*Server, Settings) (string, bool) {
	return func(i *Server, s Settings) (string, bool) {
		if i.Binaries.Major < major {
			return "", false
		}
		return value(i, s)
	}
}

// ifTLS is a file of the server's certificate; without one ssl is the user's.
func ifTLS(get func(TLSFiles) string) func(*Server, Settings) (string, bool) {
	return func(i *Server, _ Settings) (string, bool) { return get(i.TLS), i.TLS.Cert != "" }
}

// upstream is empty in a sealed member, so that no caller's stale settings unseal it by the way.
func upstream(_ *Server, s Settings) (string, bool) {
	if s.Sealed {
		return "", true
	}
	return s.PrimaryConnInfo, true
}

// table lists every setting that Mainstay manages. synchronous_commit, hot_standby_feedback and all others belong to
// the user.
var table = []managed{
	{"data_directory", "not the one in a copied configuration", func(i *Server, _ Settings) (string, bool) { return i.Data, true }},
	{"hba_file", "the adopted instance's own", ifKept(func(k Kept) string { return k.HBAFile })},
	{"ident_file", "the adopted instance's own", ifKept(func(k Kept) string { return k.IdentFile })},
	{"port", "where members and clients find each other", func(i *Server, _ Settings) (string, bool) { return strconv.Itoa(i.Port), true }},
	{"listen_addresses", "the host's address, and loopback", func(i *Server, _ Settings) (string, bool) { return i.listens(), true }},
	{"unix_socket_directories", "where the agent connects",
		func(i *Server, _ Settings) (string, bool) { return cmp.Or(i.Kept.Sockets, i.Socket), true }},
	{"cluster_name", "the member's name in the process list", func(i *Server, _ Settings) (string, bool) { return i.Member, true }},
	{"hot_standby", "a replica answers the agent's questions", fixed("on")},
	{"wal_level", "replicas need it", func(i *Server, s Settings) (string, bool) {
		return cmp.Or(s.WALLevel, i.Kept.WALLevel, i.Kept.Asked.WALLevel, "replica"), true
	}},
	{"max_wal_senders", "one for each member, clones besides",
		atLeast(func(s Settings) int { return s.MaxWALSenders }, 16, func(k Kept) int { return max(k.MaxWALSenders, k.Asked.MaxWALSenders) })},
	{"max_replication_slots", "one for each member", atLeast(func(s Settings) int { return s.MaxReplicationSlots }, 16,
		func(k Kept) int { return max(k.MaxReplicationSlots, k.Asked.MaxReplicationSlots) })},
	{"wal_keep_size", "a short absence without a slot",
		megabytes(atLeast(func(s Settings) int { return s.WALKeepMB }, 256, func(k Kept) int { return k.WALKeepMB }))},
	{"max_slot_wal_keep_size", "a dead member must not fill the disk", func(i *Server, s Settings) (string, bool) {
		return strconv.Itoa(cmp.Or(max(s.MaxSlotWALKeepMB, 0), i.slotsKeepMB())) + "MB", true
	}},
	{"idle_replication_slot_timeout", "an absent member's slot is kept", from(18, fixed("0"))},
	{"wal_log_hints", "pg_rewind needs it, or checksums", fixed("on")},
	{"restart_after_crash", "nothing but the agent brings a primary back", fixed("off")},
	{"wal_retrieve_retry_interval", "a lost upstream is asked again soon", func(_ *Server, s Settings) (string, bool) {
		if s.Quiet {
			return "5s", true
		}
		return "50ms", true
	}},
	{"wal_receiver_timeout", "a silent primary is noticed", fixed("3s")},
	{"wal_receiver_status_interval", "positions are fresh", fixed("1s")},
	{"recovery_target_timeline", "follow the new primary", fixed("latest")},
	{"recovery_target", noTarget, fixed("")},
	{"recovery_target_name", noTarget, fixed("")},
	{"recovery_target_time", noTarget, fixed("")},
	{"recovery_target_xid", noTarget, fixed("")},
	{"recovery_target_lsn", noTarget, func(_ *Server, s Settings) (string, bool) {
		if s.Hold == 0 {
			return "", true
		}
		return s.Hold.String(), true
	}},
	{"recovery_target_inclusive", holdWhy, func(_ *Server, s Settings) (string, bool) { return "off", s.Hold != 0 }},
	{"recovery_target_action", holdWhy, func(_ *Server, s Settings) (string, bool) { return "pause", s.Hold != 0 }},
	{"primary_conninfo", "the upstream to stream from", upstream},
	{"primary_slot_name", "the slot that keeps our WAL there", func(_ *Server, s Settings) (string, bool) { return s.PrimarySlot, true }},
	{"synchronous_standby_names", "the durability set in force", func(_ *Server, s Settings) (string, bool) { return s.SyncNames, true }},
	{"synchronized_standby_slots", "no subscriber is ahead of a next primary",
		from(17, func(_ *Server, s Settings) (string, bool) { return s.SyncSlots, true })},
	{"restore_command", "off while sealed", func(_ *Server, s Settings) (string, bool) { return "", s.Sealed || s.NoArchive }},
	{"recovery_min_apply_delay", "off in a candidate",
		func(_ *Server, s Settings) (string, bool) { return "0", s.NoApplyDelay || s.NoReplayDelay }},
	{"max_standby_streaming_delay", "off in a candidate", func(_ *Server, s Settings) (string, bool) { return "0", s.NoReplayDelay }},
	{"max_standby_archive_delay", "off in a candidate", func(_ *Server, s Settings) (string, bool) { return "0", s.NoReplayDelay }},
	{"ssl", "certificates guard our accounts", ifTLS(func(TLSFiles) string { return "on" })},
	{"ssl_cert_file", "the server's certificate", ifTLS(func(t TLSFiles) string { return t.Cert })},
	{"ssl_key_file", "its key", ifTLS(func(t TLSFiles) string { return t.Key })},
	{"ssl_ca_file", "who signs client certificates", ifTLS(func(t TLSFiles) string { return t.CA })},
}

// noTarget: a restore leaves its target in the configuration, and a primary does not mind. A replica, started or cloned with it, stops
// there or is promoted there without a request; where the target is never reached it streams, and ends with FATAL when it is promoted.
const noTarget = "a replica replays to the end, despite the target of a restore"

const holdWhy = "a frozen replica replays no further than it must"

// RestartKeys are the managed settings that a running server takes only at its next start.
var RestartKeys = []string{"data_directory", "hba_file", "ident_file", "port", "listen_addresses", "unix_socket_directories",
	"cluster_name",
	"hot_standby", "wal_level", "max_wal_senders", "max_replication_slots", "wal_log_hints", "recovery_target_timeline",
	"recovery_target", "recovery_target_name", "recovery_target_time", "recovery_target_xid", "recovery_target_lsn"}

// ManagedKeys names every setting that is ours, as in the documentation's list.
func ManagedKeys() []string {
	keys := make([]string, len(table))
	for n, m := range table {
		keys[n] = m.name
	}
	return keys
}

// Values are the managed settings of this instance that are set at all.
func (i *Server) Values(s Settings) map[string]string {
	out := map[string]string{}
	for _, m := range table {
		if v, ok := m.value(i, s); ok {
			out[m.name] = v
		}
	}
	return out
}

// overriding are the keys that must not stand in postgresql.auto.conf, where they would win over our files: all that we may
// ever set. Those of a feature that is left to the user stay.
func (i *Server) overriding() []string {
	return slices.Sorted(maps.Keys(i.Values(Settings{Sealed: true, NoReplayDelay: true, Hold: 1})))
}

// atTimes are the keys that are the user's except in a sealed member or a candidate.
func (i *Server) atTimes() []string {
	always := i.Values(Settings{})
	return slices.DeleteFunc(i.overriding(), func(key string) bool { _, ok := always[key]; return ok })
}

// render is mainstay.conf.
func (i *Server) render(s Settings) string {
	var b strings.Builder
	b.WriteString("# Written by Mainstay, read after the user's configuration. Changes here are overwritten.\n")
	for _, m := range table {
		if v, ok := m.value(i, s); ok {
			fmt.Fprintf(&b, "%s = %s # %s\n", m.name, quoteConf(v), m.why)
		}
	}
	return b.String()
}

func isManaged(name string) bool {
	return slices.ContainsFunc(table, func(m managed) bool { return strings.EqualFold(m.name, name) })
}

func (i *Server) slotsKeepMB() int { return cmp.Or(max(i.Kept.MaxSlotWALKeepMB, 0), 10240) }

// SlotsKeep is how much WAL a slot keeps at most (max_slot_wal_keep_size), in bytes.
func (i *Server) SlotsKeep() int64 { return int64(i.slotsKeepMB()) << 20 }
