package postgres

import (
	"errors"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"mainstay/controller/pgdial"
)

// quoteConf quotes a value for postgresql.conf, where a backslash escapes and a quote is doubled.
func quoteConf(v string) string {
	return "'" + strings.NewReplacer(`\`, `\\`, `'`, `''`, "\n", `\n`, "\r", `\r`).Replace(v) + "'"
}

// quoteConnInfo quotes a value of a connection string, where a backslash escapes backslash and quote.
func quoteConnInfo(v string) string {
	return "'" + strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(v) + "'"
}

// quoteIdent quotes an SQL identifier.
func quoteIdent(v string) string { return `"` + strings.ReplaceAll(v, `"`, `""`) + `"` }

// quoteLiteral quotes an SQL string for any value of standard_conforming_strings.
func quoteLiteral(v string) string {
	q := "'" + strings.ReplaceAll(v, `'`, `''`) + "'"
	if strings.Contains(v, `\`) {
		return " E" + strings.ReplaceAll(q, `\`, `\\`)
	}
	return q
}

// pair is one keyword of a connection string.
type pair struct{ key, value string }

func joinConnInfo(pairs []pair) string {
	var b strings.Builder
	for _, p := range pairs {
		if p.value == "" {
			continue
		}
		if b.Len() > 0 {
			b.WriteByte(' ')
		}
		b.WriteString(p.key + "=" + quoteConnInfo(p.value))
	}
	return b.String()
}

// ErrNoCredentials is returned when neither a replication certificate nor an account is configured.
var ErrNoCredentials = errors.New("no replication credentials: set the member's TLS files, or a replication user and passfile")

// senderTimeout is wal_sender_timeout of the streams between members: after it the upstream ends the sender of a silent replica.
// It goes with the connection, where it wins over the upstream's files and over PGOPTIONS; the server's own value, which holds
// for the user's subscribers, for pg_receivewal and for our clones, is the user's.
const senderTimeout = "options='-c wal_sender_timeout=3s'"

// slotSyncDatabase is where a standby from PostgreSQL 17 on asks its upstream for failover slots, if its user has set
// sync_replication_slots; the stream itself has no use for a database. Our account may connect to this one for pg_rewind already.
const slotSyncDatabase = "dbname='postgres'"

// SameStream tells whether two connection strings of ConnInfo differ at most in slotSyncDatabase and senderTimeout, which those of
// earlier builds lack: these set the latter for the whole server. A replica that runs with such a string keeps its stream, because an
// upgrade must not break all of them at once. Until it is pointed anew or restarted the upstream ends its silent sender after the
// server's own value.
func SameStream(a, b string) bool {
	return bareStream(a) == bareStream(b)
}

func bareStream(conninfo string) string {
	return strings.TrimSuffix(strings.TrimSuffix(conninfo, " "+slotSyncDatabase), " "+senderTimeout)
}

// ConnInfo is the connection string to another member for replication: bounded waits, no secret in it. With database set
// it is good for pg_rewind too.
func (i *Server) ConnInfo(s Source, application, database string) (string, error) {
	cert := i.ReplicationTLS
	if cert == (TLSFiles{}) {
		cert = i.TLS
	}
	if cert.Cert == "" && i.Replication.User == "" {
		return "", ErrNoCredentials
	}
	mode := "verify-ca"
	if cert.CA == "" {
		mode = "prefer"
	}
	p := []pair{
		{"host", s.Host}, {"port", strconv.Itoa(s.Port)}, {"user", i.replicationUser()}, {"dbname", database},
		{"application_name", application}, {"connect_timeout", "2"}, {"tcp_user_timeout", "3000"},
		{"keepalives_idle", "1"}, {"keepalives_interval", "1"}, {"keepalives_count", "3"}, {"sslmode", mode},
		{"sslrootcert", cert.CA}, {"passfile", i.Replication.Passfile},
	}
	if database != "" {
		p = append(p, pair{"options", startOptions(pgdial.Sessions(i.Binaries.Major, false))})
	}
	if i.Replication.User == "" {
		p = append(p, pair{"sslcert", cert.Cert}, pair{"sslkey", cert.Key})
	}
	if application == cloneName { // its disk may stall for longer: see senderTimeout
		return joinConnInfo(p), nil
	}
	text := joinConnInfo(p) + " " + senderTimeout
	if database == "" && i.Binaries.Major >= 17 {
		text += " " + slotSyncDatabase
	}
	return text, nil
}

// startOptions writes settings of a session as libpq's options, where a backslash escapes a space.
func startOptions(settings map[string]string) string {
	var all []string
	for _, name := range slices.Sorted(maps.Keys(settings)) {
		all = append(all, "-c "+name+"="+strings.NewReplacer(`\`, `\\`, ` `, `\ `).Replace(settings[name]))
	}
	return strings.Join(all, " ")
}

var passwordInConnInfo = regexp.MustCompile(`(?i)(password\s*=\s*)('(\\.|[^'\\])*'|\S+)`)

// redact hides a password that a user's own connection string may hold.
func redact(conninfo string) string { return passwordInConnInfo.ReplaceAllString(conninfo, "${1}***") }
