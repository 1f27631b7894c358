package postgres

import (
	"cmp"
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"

	"mainstay/controller/platform"
)

// Refusal is one reason not to adopt a running instance, with its remedy.
type Refusal struct{ Reason, Next string }

func (r Refusal) String() string { return r.Reason + "; " + r.Next }

// Facts are the settings and state that a running instance to be adopted reports.
type Facts struct {
	SystemID      string            `json:"system_id"`
	Version       string            `json:"version"`
	VersionNumber int               `json:"version_number"` // 150018
	InRecovery    bool              `json:"in_recovery"`
	Timeline      platform.Timeline `json:"timeline"`

	DataDirectory string `json:"data_directory"`
	ConfigFile    string `json:"config_file"` // the user's
	HBAFile       string `json:"hba_file"`
	IdentFile     string `json:"ident_file"`
	Port          int    `json:"port"`
	Sockets       string `json:"sockets"` // unix_socket_directories
	Listen        string `json:"listen"`

	Checksums           bool   `json:"checksums"`
	WALLogHints         bool   `json:"wal_log_hints"`
	WALLevel            string `json:"wal_level"`
	MaxWALSenders       int    `json:"max_wal_senders"`
	MaxReplicationSlots int    `json:"max_replication_slots"`
	WALKeepMB           int    `json:"wal_keep_mb"`
	MaxSlotWALKeepMB    int    `json:"max_slot_wal_keep_mb"` // -1 is unlimited
	FullPageWrites      bool   `json:"full_page_writes"`
	Fsync               bool   `json:"fsync"`
	AlterSystemOff      string `json:"alter_system_off"` // where allow_alter_system is turned off; "" where it is not

	RoleReplicates bool   `json:"role_replicates"` // the replication user exists, may log in and replicate
	RoleRewinds    bool   `json:"role_rewinds"`    // and call the functions that pg_rewind needs, if it exists
	Access         access `json:"access"`
}

const factsSQL = `
WITH RECURSIVE belongs (role) AS (
	SELECT oid FROM pg_roles WHERE rolname = $1::text
	UNION SELECT m.roleid FROM pg_auth_members m JOIN belongs b ON m.member = b.role
), h AS MATERIALIZED (
	SELECT * FROM pg_hba_file_rules
), words AS MATERIALIZED (
	SELECT DISTINCT w FROM h, unnest(database || user_name) AS w WHERE error IS NULL AND w LIKE '/%' AND current_setting('server_version_num')::int >= 160000
)
SELECT json_build_object(
	'system_id', (SELECT system_identifier::text FROM pg_control_system()),
	'version', current_setting('server_version'), 'version_number', current_setting('server_version_num')::int,
	'in_recovery', pg_is_in_recovery(), 'timeline', (SELECT timeline_id FROM pg_control_checkpoint()),
	'data_directory', current_setting('data_directory'), 'config_file', current_setting('config_file'),
	'hba_file', current_setting('hba_file'), 'ident_file', current_setting('ident_file'),
	'port', current_setting('port')::int, 'sockets', current_setting('unix_socket_directories'),
	'listen', current_setting('listen_addresses'),
	'checksums', current_setting('data_checksums') = 'on', 'wal_log_hints', current_setting('wal_log_hints') = 'on',
	'wal_level', current_setting('wal_level'), 'max_wal_senders', current_setting('max_wal_senders')::int,
	'max_replication_slots', current_setting('max_replication_slots')::int,
	'wal_keep_mb', (SELECT setting::int FROM pg_settings WHERE name = 'wal_keep_size'),
	'max_slot_wal_keep_mb', (SELECT setting::int FROM pg_settings WHERE name = 'max_slot_wal_keep_size'),
	'full_page_writes', current_setting('full_page_writes') = 'on', 'fsync', current_setting('fsync') = 'on',
	'alter_system_off', coalesce((SELECT coalesce(sourcefile || ' line ' || sourceline, source) FROM pg_settings
		WHERE name = 'allow_alter_system' AND setting = 'off'), ''),
	'role_replicates', EXISTS (SELECT FROM pg_roles WHERE rolname = $1::text AND rolcanlogin AND (rolreplication OR rolsuper)),
	'role_rewinds', coalesce((SELECT bool_and(has_function_privilege(r.oid, 'pg_catalog.' || f, 'EXECUTE'))
		FROM pg_roles r, unnest($2::text[]) AS f WHERE r.rolname = $1::text), true),
	'access', json_build_object('tls', current_setting('ssl') = 'on',
		'rules', (SELECT json_agg(h) FROM h), 'groups', (SELECT json_agg(rolname) FROM pg_roles JOIN belongs ON oid = role),
		'regexes', (SELECT json_object_agg(w, (SELECT json_agg(n) FROM unnest(ARRAY[$1::text, 'postgres']) AS n
			WHERE n COLLATE "C" ~ substr(w, 2))) FROM words)))`

// AdoptChecks checks whether the running instance can be adopted. An empty list of refusals means yes.
func (i *Server) AdoptChecks(ctx context.Context) (refusals []Refusal, f Facts, err error) {
	defer i.wrap("check whether to adopt", &err)
	if _, _, ok := i.Running(); !ok {
		return nil, Facts{}, ErrNotRunning
	}
	var raw []byte
	err = i.with(ctx, func(c *sql.Conn) error {
		return c.QueryRowContext(ctx, factsSQL, i.replicationUser(), "{\""+strings.Join(rewindFunctions, `","`)+"\"}").Scan(&raw)
	})
	if err != nil {
		return nil, Facts{}, err
	}
	if err := json.Unmarshal(raw, &f); err != nil {
		return nil, Facts{}, fmt.Errorf("the server's answer: %w", err)
	}
	if err := f.Access.complete(f.HBAFile, i.Owner.readFile); err != nil {
		return nil, Facts{}, err
	}
	if sameFile(f.ConfigFile, i.mainFile()) { // an agent that lost its state finds it running on our files
		if f.ConfigFile, err = i.included(); err != nil {
			return nil, Facts{}, err
		}
	}
	refusals = append(i.refuseServer(f), i.refuseAccess(f)...)
	if !i.StartedByUs() { // else it was adopted before, and stays protected
		layout, err := i.refuseLayout(f)
		return append(refusals, layout...), f, err
	}
	return refusals, f, nil
}

// refusal is one row of the table of checks.
type refusal struct {
	bad          bool
	reason, next string
}

func collect(rows []refusal) []Refusal {
	var out []Refusal
	for _, r := range rows {
		if r.bad {
			out = append(out, Refusal{r.reason, r.next})
		}
	}
	return out
}

func (i *Server) refuseServer(f Facts) []Refusal {
	return collect([]refusal{
		{!sameFile(f.DataDirectory, i.Data), "it runs on " + f.DataDirectory + ", not on " + i.Data, "correct the member's data directory"},
		{f.VersionNumber/10000 < OldestMajor, "PostgreSQL " + f.Version + " is too old", fmt.Sprintf("upgrade to %d or newer", OldestMajor)},
		{f.VersionNumber/10000 != i.Binaries.Major, fmt.Sprintf("it is version %s, the configured programs are %s", f.Version,
			i.Binaries.Version), "point the member to the matching programs"},
		{!f.Checksums && !f.WALLogHints, "neither data checksums nor wal_log_hints are on, so it could never be rewound",
			"set wal_log_hints = on and restart, or enable checksums with pg_checksums"},
		{loopbackOnly(f.Listen, i.Listen), "listen_addresses is '" + f.Listen + "', which the other members cannot reach",
			"add " + i.Listen + " and restart"},
		{f.WALLevel == "minimal", "wal_level is minimal", "set wal_level = replica and restart"},
		{f.MaxWALSenders < 4, fmt.Sprintf("max_wal_senders is %d", f.MaxWALSenders), "set it to 4 or more and restart"},
		{f.MaxReplicationSlots < 4, fmt.Sprintf("max_replication_slots is %d", f.MaxReplicationSlots), "set it to 4 or more and restart"},
		{!f.FullPageWrites, "full_page_writes is off, so it could never be rewound", "set full_page_writes = on and reload"},
		{!f.Fsync, "fsync is off: no commit is durable", "set fsync = on and reload"},
		{f.AlterSystemOff != "" && !i.StartedByUs(), NoAlterSystem(f.AlterSystemOff),
			"set allow_alter_system = on there and reload; after that start it may be off again"},
	})
}

// NoAlterSystem says why allow_alter_system, turned off at that place, stops the adoption of a server that its agent has not started yet.
func NoAlterSystem(place string) string {
	return "allow_alter_system is off (" + place + "), and until its agent has started it once, it is sealed and promoted by ALTER SYSTEM"
}

func (i *Server) refuseAccess(f Facts) []Refusal {
	user := i.replicationUser()
	rows := []refusal{
		{i.Replication.User == "" && i.TLS.Cert == "", "no replication account is configured",
			"set members." + i.Member + ".replication.user and .passfile in the agent's file"},
		{!f.RoleReplicates, "role " + user + " does not exist, or may not log in and replicate",
			"CREATE ROLE " + quoteIdent(user) + " LOGIN REPLICATION, and put its password into the passfile"},
		{!f.RoleRewinds, "role " + user + " may not call the functions that pg_rewind needs", i.grants(user)},
	}
	if why := i.passfileWrong(); why != "" {
		rows = append(rows, refusal{true, why, "it must hold the password of " + user + " in libpq's form, belong to " + i.Owner.Name +
			" and have mode 0600"})
	}
	for _, r := range f.Access.Rules {
		rows = append(rows, refusal{r.Error != "", fmt.Sprintf("%s has an error: line %d: %s", r.File, r.Line, r.Error), "correct it and reload"})
	}
	return collect(append(rows,
		i.shutOut(f, "pg_hba.conf lets "+user+" replicate from nowhere", ""),
		i.shutOut(f, "pg_hba.conf lets "+user+" into no database, which pg_rewind needs", "postgres")))
}

// shutOut says why the rules let our account in from no other host ("" is replication), and the line to add.
func (i *Server) shutOut(f Facts, what, database string) refusal {
	user, ways := i.replicationUser(), i.waysIn(f)
	ok, by := f.Access.admits(user, database, i.Listen, ways)
	kind := "host"
	if ways[0] {
		kind = "hostssl"
	}
	line := fmt.Sprintf("%s %s %s all scram-sha-256", kind, cmp.Or(database, "replication"), quoteHBA(user))
	if by != nil {
		return refusal{!ok, fmt.Sprintf("%s: %s shuts it out", what, by),
			fmt.Sprintf("add to %s before line %d, and reload: %s", by.File, by.Line, line)}
	}
	return refusal{!ok, what + ": " + cmp.Or(f.Access.short(user, database, ways), "no line is for it"),
		fmt.Sprintf("add to %s, and reload: %s", f.HBAFile, line)}
}

// waysIn are the ways in which libpq, with our connection strings, tries to get in: with TLS (true) where the server has it, or will
// have it once we start it, and without where nothing says who signs its certificate.
func (i *Server) waysIn(f Facts) (ways []bool) {
	verified := i.ReplicationTLS.CA != "" || i.ReplicationTLS == (TLSFiles{}) && i.TLS.CA != ""
	if f.Access.TLS || verified || i.TLS.Cert != "" {
		ways = append(ways, true)
	}
	if !verified {
		ways = append(ways, false)
	}
	return ways
}

// grants are the privileges with which a role that is no superuser can serve pg_rewind.
func (i *Server) grants(user string) string {
	calls := make([]string, len(rewindFunctions))
	for n, f := range rewindFunctions {
		calls[n] = "pg_catalog." + f
	}
	return "in database postgres: GRANT EXECUTE ON FUNCTION " + strings.Join(calls, ", ") + " TO " + quoteIdent(user)
}

// passfileWrong says why libpq, run by the data's owner, would not read the passfile; "" if it would.
func (i *Server) passfileWrong() string {
	path := i.Replication.Passfile
	if path == "" {
		return ""
	}
	fi, err := os.Stat(path)
	if err != nil {
		return "the passfile cannot be used: " + err.Error()
	}
	if o, err := OwnerOf(path); err != nil || o.UID != i.Owner.UID || fi.Mode().Perm()&0o077 != 0 {
		return fmt.Sprintf("PostgreSQL would not read the passfile %s (it belongs to %s, mode %04o)", path, o.Name, fi.Mode().Perm())
	}
	return ""
}

// Waiting lists the managed settings of this running instance that only its next start brings into force: those whose
// value differs from the one we would start it with.
func (i *Server) Waiting(ctx context.Context, s Settings) (names []string, err error) {
	defer i.wrap("compare the settings of", &err)
	want := i.Values(s)
	err = i.with(ctx, func(c *sql.Conn) error {
		for _, name := range RestartKeys {
			value, ours := want[name]
			if !ours {
				continue
			}
			var got string
			if err := c.QueryRowContext(ctx, "SELECT current_setting($1)", name).Scan(&got); err != nil {
				return err
			}
			if got != value && !sameFile(got, value) {
				names = append(names, name)
			}
		}
		return nil
	})
	return names, err
}

// Replaces lists, of a running server that we did not start, the user's settings that ours replace, and those from
// the command line, which our starts do not repeat.
func (i *Server) Replaces(ctx context.Context, s Settings) (lines []string, err error) {
	defer i.wrap("compare the settings of", &err)
	want := i.Values(s)
	err = i.with(ctx, func(c *sql.Conn) error {
		rows, err := c.QueryContext(ctx, `SELECT name, setting, sourcefile || ' line ' || sourceline FROM (SELECT DISTINCT ON (name) *
				FROM pg_catalog.pg_file_settings WHERE name IS NOT NULL AND setting IS NOT NULL ORDER BY name, seqno DESC) f
			UNION ALL SELECT name, setting, '' FROM pg_catalog.pg_settings WHERE source = 'command line' ORDER BY 1`)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var name, value, place string
			if err := rows.Scan(&name, &value, &place); err != nil {
				return err
			}
			ours, managed := want[name]
			switch {
			case managed && place != "" && ours != value && !sameFile(ours, value):
				lines = append(lines, fmt.Sprintf("%s = %s (%s) becomes %s", name, redact(value), place, cmp.Or(redact(ours), "empty")))
			case place == "" && !managed && !slices.Contains(notCopied, name):
				lines = append(lines,
					fmt.Sprintf("%s = %s was given on the command line, which the next start does not repeat: put it into the configuration", name, value))
			}
		}
		return rows.Err()
	})
	return lines, err
}
