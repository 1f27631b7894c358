package postgres

import (
	"context"
	"crypto/hmac"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha256"
	"database/sql"
	"encoding/base64"
	"fmt"
	"os"
	"strings"
)

// The functions pg_rewind calls on its source; their privileges are those of the database it connects to.
var rewindFunctions = []string{
	"pg_ls_dir(text, boolean, boolean)", "pg_stat_file(text, boolean)",
	"pg_read_binary_file(text)", "pg_read_binary_file(text, bigint, bigint, boolean)",
}

// CreateRoles makes, on a running primary, those that are missing of: mainstay_replication and mainstay_probe (not on adopted
// clusters, which bring their own) and the table behind WriteProbe. It is idempotent, and waits for no replica.
func (i *Server) CreateRoles(ctx context.Context) (err error) {
	defer i.wrap("create the roles of", &err)
	return i.with(ctx, func(c *sql.Conn) error { return i.createRoles(ctx, c) })
}

func (i *Server) createRoles(ctx context.Context, c *sql.Conn) error {
	var do []string
	if i.Replication.User == "" {
		do = append(do, createRole(ReplicationUser, "LOGIN REPLICATION"), createRole(ProbeUser, "LOGIN"),
			"GRANT pg_monitor TO "+ProbeUser)
		for _, f := range rewindFunctions {
			do = append(do, unless("pg_catalog.has_function_privilege("+quoteLiteral(ReplicationUser)+", "+quoteLiteral("pg_catalog."+f)+
				", 'EXECUTE')",
				"GRANT EXECUTE ON FUNCTION pg_catalog."+f+" TO "+ReplicationUser))
		}
	}
	if i.Replication.User == "" && i.Binaries.Major >= 16 { // a server that is full of its clients lets them in, where its user reserves some
		for _, role := range []string{ReplicationUser, ProbeUser} {
			do = append(do, "GRANT pg_use_reserved_connections TO "+role)
		}
	}
	if i.Replication.User == "" && i.Binaries.Major >= 17 { // they may not state it themselves; pg_rewind logs in too
		for _, role := range []string{ReplicationUser, ProbeUser} {
			do = append(do, "ALTER ROLE "+role+" SET event_triggers = off")
		}
	}
	do = append(do, unless("pg_catalog.to_regclass('mainstay.beat') IS NOT NULL", "CREATE SCHEMA IF NOT EXISTS mainstay; "+
		"CREATE TABLE mainstay.beat (id int PRIMARY KEY, n bigint NOT NULL, at timestamptz NOT NULL) WITH (fillfactor = 10, "+quietTable+")"))
	if _, err := c.ExecContext(ctx, strings.Join(do, ";\n")); err != nil { // one round trip
		return err
	}
	return writeProbeIsOurs(ctx, c)
}

// quietTable keeps autovacuum from the write probe's table while its one row stays on its page, as pruning sees to: otherwise it would be
// analyzed every minute, because all of it changes, and a WAL record of a whole page be written for each page of the catalog that this
// touches. What a long transaction leaves in the table is vacuumed. A table that an earlier build has made stays as it is: a user's event
// trigger may forbid ALTER TABLE, and a promoted member must be opened.
const quietTable = "autovacuum_analyze_threshold = 2147483647, autovacuum_vacuum_threshold = 5000"

// writeProbeIsOurs refuses a table that a user has put where WriteProbe writes: its triggers would run as the superuser.
func writeProbeIsOurs(ctx context.Context, c *sql.Conn) error {
	var schema, table string
	var ours bool
	err := c.QueryRowContext(ctx, `SELECT n.nspowner::regrole, r.relowner::regrole, ns.rolsuper AND rs.rolsuper AND r.relkind = 'r'
		FROM pg_namespace n, pg_class r, pg_roles ns, pg_roles rs
		WHERE n.nspname = 'mainstay' AND r.relnamespace = n.oid AND r.relname = 'beat' AND ns.oid = n.nspowner AND rs.oid = r.relowner`).
		Scan(&schema, &table, &ours)
	if err == nil && !ours {
		err = fmt.Errorf("schema mainstay belongs to %s and mainstay.beat to %s: both must be a superuser's, and beat a table; "+
			"move these away, and Mainstay makes its own", schema, table)
	}
	return err
}

func execAll(ctx context.Context, c *sql.Conn, statements []string) error {
	for _, s := range statements {
		if _, err := c.ExecContext(ctx, s); err != nil {
			return err
		}
	}
	return nil
}

// createRole makes a role unless it exists: CREATE ROLE has no IF NOT EXISTS.
func createRole(name, options string) string {
	return unless("EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = "+quoteLiteral(name)+")",
		"CREATE ROLE "+quoteIdent(name)+" "+options)
}

// unless runs statements where a condition does not hold. IF NOT EXISTS is not enough: before 17 a user's event trigger, which may
// forbid each statement of its kind, is run all the same, and a promoted member would not be opened.
func unless(condition, statements string) string {
	return "DO $mainstay$ BEGIN IF NOT (" + condition + ") THEN " + statements + "; END IF; END $mainstay$"
}

// InitOptions ask for an application's database and its owner in a new cluster. The role's password is the first line
// of PasswordFile, if one is given.
type InitOptions struct{ Database, Role, PasswordFile string }

// CreateApplication makes the database and the role if they are missing; an existing role keeps its password.
func (i *Server) CreateApplication(ctx context.Context, o InitOptions) (err error) {
	defer i.wrap("create the application's database on", &err)
	options := "LOGIN"
	if o.PasswordFile != "" {
		verifier, err := verifierFromFile(o.PasswordFile)
		if err != nil {
			return err
		}
		options += " PASSWORD " + quoteLiteral(verifier)
	}
	return i.with(ctx, func(c *sql.Conn) error {
		if o.Role != "" {
			if _, err := c.ExecContext(ctx, createRole(o.Role, options)); err != nil {
				return err
			}
		}
		return createDatabase(ctx, c, o)
	})
}

func createDatabase(ctx context.Context, c *sql.Conn, o InitOptions) error {
	if o.Database == "" {
		return nil
	}
	var there bool
	err := c.QueryRowContext(ctx, "SELECT EXISTS (SELECT FROM pg_catalog.pg_database WHERE datname = $1)", o.Database).Scan(&there)
	if err != nil || there {
		return err
	}
	s := "CREATE DATABASE " + quoteIdent(o.Database)
	if o.Role != "" {
		s += " OWNER " + quoteIdent(o.Role)
	}
	_, err = c.ExecContext(ctx, s)
	return err
}

// verifierFromFile turns a password into the form PostgreSQL stores, so that the clear text reaches neither the server
// nor its log.
func verifierFromFile(path string) (string, error) {
	raw, err := os.ReadFile(path)
	if err != nil {
		return "", err
	}
	password, _, _ := strings.Cut(string(raw), "\n")
	password = strings.TrimSuffix(password, "\r")
	if password == "" {
		return "", fmt.Errorf("%s: its first line is empty; write the password there", path)
	}
	salt := make([]byte, 16)
	rand.Read(salt) // never fails
	return scramVerifier(password, salt)
}

const scramIterations = 4096

// scramVerifier follows RFC 5803, as PostgreSQL does.
func scramVerifier(password string, salt []byte) (string, error) {
	salted, err := pbkdf2.Key(sha256.New, password, salt, scramIterations, sha256.Size)
	if err != nil {
		return "", err
	}
	stored := sha256.Sum256(mac(salted, "Client Key"))
	b64 := base64.StdEncoding.EncodeToString
	return fmt.Sprintf("SCRAM-SHA-256$%d:%s$%s:%s", scramIterations, b64(salt), b64(stored[:]), b64(mac(salted, "Server Key"))), nil
}

func mac(key []byte, text string) []byte {
	m := hmac.New(sha256.New, key)
	m.Write([]byte(text))
	return m.Sum(nil)
}
