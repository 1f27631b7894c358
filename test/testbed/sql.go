package testbed

import (
	"context"
	"database/sql"
	"fmt"
	"os"
	"os/user"
	"strconv"
	"strings"

	"mainstay/controller/pgdial"
)

// SQL runs statements on a member as its superuser, through its own socket, and returns what `psql -At` would print of their
// rows. It makes a connection and starts no program.
func (s *Testbed) SQL(ctx context.Context, member, database, statements string) (out string, err error) {
	cfg := pgdial.Config{SocketDir: s.Socket(member), Port: 5432, User: "postgres", Database: database, Application: "testbed",
		Passfile: os.Getenv("PGPASSFILE"), OSUser: ownerIDs()}
	err = pgdial.WithConn(ctx, cfg, func(c *sql.Conn) error {
		rows, err := c.QueryContext(ctx, statements)
		if err != nil {
			return err
		}
		defer rows.Close()
		out, err = printed(rows)
		return err
	})
	if err != nil {
		return "", fmt.Errorf("SQL on %s: %w", member, err)
	}
	return out, nil
}

// ownerIDs are the ids that PostgreSQL runs with, nil where they are this process's own.
func ownerIDs() *pgdial.OSUser {
	u, err := user.Lookup(Owner())
	if os.Geteuid() != 0 || err != nil {
		return nil
	}
	uid, _ := strconv.ParseUint(u.Uid, 10, 32)
	gid, _ := strconv.ParseUint(u.Gid, 10, 32)
	return &pgdial.OSUser{UID: uint32(uid), GID: uint32(gid)}
}

// printed is all rows of all results, a line each.
func printed(rows *sql.Rows) (string, error) {
	var lines []string
	for more := true; more; more = rows.NextResultSet() {
		columns, err := rows.Columns()
		if err != nil {
			return "", err
		}
		for rows.Next() {
			values, places := make([]any, len(columns)), make([]any, len(columns))
			for i := range values {
				places[i] = &values[i]
			}
			if err := rows.Scan(places...); err != nil {
				return "", err
			}
			var words []string
			for _, v := range values {
				words = append(words, word(v))
			}
			lines = append(lines, strings.Join(words, "|"))
		}
		if err := rows.Err(); err != nil {
			return "", err
		}
	}
	return strings.TrimSpace(strings.Join(lines, "\n")), rows.Err()
}

// word is a value as psql prints it.
func word(v any) string {
	switch v := v.(type) {
	case nil:
		return ""
	case bool:
		return strconv.FormatBool(v)[:1]
	case []byte:
		return string(v)
	}
	return fmt.Sprint(v)
}
