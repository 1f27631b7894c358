package backup

import (
	"context"
	"database/sql"
	"fmt"
	"strings"

	"github.com/lib/pq"

	"mainstay/controller/pgdial"
)

// Limits of what is proposed for one database.
const (
	proposedTables = 5
	proposedKeys   = 20
)

// Propose offers assertions for a database, from its catalog: that its largest tables hold rows, and that no row refers to a missing one,
// for each validated foreign key, those of the largest tables first. They hold now, as far as the catalog knows; whether they must always
// hold is for a person to say. at is a connection of a superuser's; its database is not used.
func Propose(ctx context.Context, at pgdial.Config, database string) (all []Assertion, err error) {
	at.Database = database
	err = pgdial.WithConn(ctx, at, func(c *sql.Conn) error {
		tables, err := holdRows(ctx, c)
		if err != nil {
			return err
		}
		keys, err := noOrphans(ctx, c)
		all = append(tables, keys...)
		return err
	})
	for n := range all {
		all[n].Database = database
	}
	return all, err
}

// ProposeFresh is an assertion that the newest row of a table is at most so old when it is asked. The table is as SQL names it, the column
// has a timestamp.
func ProposeFresh(database, table, column, window string) Assertion {
	return Assertion{Name: table + " is fresh", Database: database,
		SQL: fmt.Sprintf("SELECT max(%s) > now() - interval %s FROM %s", pq.QuoteIdentifier(column), pq.QuoteLiteral(window), table)}
}

const userTables = `c.relkind IN ('r', 'p') AND c.relpersistence = 'p' AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'mainstay')
	AND n.nspname !~ '^pg_'`

func holdRows(ctx context.Context, c *sql.Conn) (all []Assertion, err error) {
	err = eachText(ctx, c, 2, `SELECT n.nspname, c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
		WHERE `+userTables+` AND NOT c.relispartition AND c.reltuples > 0 ORDER BY pg_total_relation_size(c.oid) DESC, 1, 2
		LIMIT `+fmt.Sprint(proposedTables), func(v []string) {
		table := pq.QuoteIdentifier(v[0]) + "." + pq.QuoteIdentifier(v[1])
		all = append(all, Assertion{Name: v[0] + "." + v[1] + " holds rows", SQL: "SELECT EXISTS (SELECT 1 FROM " + table + ")"})
	})
	return all, err
}

// noOrphans leaves out keys with periods (18), which are no equality.
func noOrphans(ctx context.Context, c *sql.Conn) (all []Assertion, err error) {
	err = eachText(ctx, c, 6, `SELECT k.conname, n.nspname || '.' || c.relname, format('%I.%I', n.nspname, c.relname),
		format('%I.%I', rn.nspname, r.relname),
		(SELECT string_agg(format('o.%I IS NOT NULL', a.attname), ' AND ') FROM pg_attribute a
			WHERE a.attrelid = c.oid AND a.attnum = ANY (k.conkey)),
		(SELECT string_agg(format('t.%I OPERATOR(%I.%s) o.%I', there.attname, os.nspname, op.oprname, here.attname), ' AND ')
			FROM unnest(k.conkey, k.confkey, k.conpfeqop) AS p (own, other, eq)
			JOIN pg_attribute here ON here.attrelid = c.oid AND here.attnum = p.own
			JOIN pg_attribute there ON there.attrelid = r.oid AND there.attnum = p.other
			JOIN pg_operator op ON op.oid = p.eq JOIN pg_namespace os ON os.oid = op.oprnamespace)
		FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid JOIN pg_namespace n ON n.oid = c.relnamespace
		JOIN pg_class r ON r.oid = k.confrelid JOIN pg_namespace rn ON rn.oid = r.relnamespace
		WHERE k.contype = 'f' AND k.convalidated AND k.conparentid = 0 AND to_jsonb(k) ->> 'conperiod' IS DISTINCT FROM 'true'
		AND `+userTables+` ORDER BY pg_total_relation_size(c.oid) DESC, 1, 2 LIMIT `+fmt.Sprint(proposedKeys), func(v []string) {
		all = append(all, Assertion{Name: v[1] + " has no orphans of " + v[0], SQL: fmt.Sprintf(
			"SELECT NOT EXISTS (SELECT 1 FROM %s o WHERE %s AND NOT EXISTS (SELECT 1 FROM %s t WHERE %s))", v[2], v[4], v[3], v[5])})
	})
	return all, err
}

// eachText reads rows of text columns.
func eachText(ctx context.Context, c *sql.Conn, columns int, query string, each func([]string)) error {
	rows, err := c.QueryContext(ctx, strings.TrimSpace(query))
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		values, into := make([]string, columns), make([]any, columns)
		for n := range values {
			into[n] = &values[n]
		}
		if err := rows.Scan(into...); err != nil {
			return err
		}
		each(values)
	}
	return rows.Err()
}
