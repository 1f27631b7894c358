package postgres

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/lib/pq"

	"mainstay/controller/pgdial"
)

// mostSurveyed bounds how many databases are asked for the collations of their columns.
const mostSurveyed = 64

// columnCollations finds the collations of columns and of indexes, other than their database's default, that have another version on this
// host than was recorded. An index has its collations as a table does (ConstructTupleDescriptor). The collations that depend on no library
// (C, POSIX) have no version. Catalogs that many tables make large are read once; that is why it is asked seldom.
const columnCollations = `
WITH used AS MATERIALIZED (
	SELECT attcollation AS oid, count(*) AS n, min(attrelid) AS relation FROM pg_attribute JOIN pg_class AS r ON r.oid = attrelid
	WHERE attnum > 0 AND NOT attisdropped AND attcollation >= 100 AND attcollation NOT IN (SELECT oid FROM pg_collation WHERE collname
		IN ('default', 'C', 'POSIX') AND collnamespace = 'pg_catalog'::regnamespace) AND relkind IN ('r', 'm', 'f', 'p', 'i', 'I')
	GROUP BY attcollation
), c AS (
	SELECT format('%I.%I', n.nspname, c.collname) AS name, c.collprovider AS provider, c.collversion AS recorded,
		coalesce(pg_collation_actual_version(c.oid), '') AS offered, used.n,
		(SELECT format('%I.%I', s.nspname, r.relname) FROM pg_class AS r JOIN pg_namespace AS s ON s.oid = r.relnamespace
			WHERE r.oid = used.relation) AS relation
	FROM used JOIN pg_collation AS c ON c.oid = used.oid JOIN pg_namespace AS n ON n.oid = c.collnamespace WHERE c.collversion IS NOT NULL
)
SELECT CASE provider WHEN 'i' THEN 'ICU' WHEN 'c' THEN 'libc' ELSE 'builtin' END, recorded, offered,
	format('collation %s, as of %s', name, relation) || CASE WHEN n > 1 THEN format(' and %s more', n - 1) ELSE '' END
FROM c WHERE recorded <> offered ORDER BY name LIMIT $1`

// surveyed are the databases to ask. A template is left out: nothing can be copied from it while it has a session.
const surveyed = `SELECT coalesce(array_agg(datname ORDER BY datname), '{}') FROM (SELECT datname FROM pg_database
	WHERE datallowconn AND NOT datistemplate ORDER BY datname LIMIT $1) AS d`

// ColumnCollations asks each database, on a connection of its own, for the collations of its columns and indexes that have another version
// on this host than was recorded. What it has learned before an error is good.
func (i *Server) ColumnCollations(ctx context.Context) (all []Collation, err error) {
	defer i.wrap("ask for the collations of", &err)
	err = i.eachDatabase(ctx, func(c *sql.Conn, name string) (more bool, err error) {
		some, err := columnCollationsOn(ctx, c, name)
		all = append(all, some...)
		return len(all) < maxUserSlots, err
	})
	return all[:min(len(all), maxUserSlots)], err
}

// eachDatabase calls f with a connection to each database, as long as it wants more. An error of one is kept, and the next follows.
func (i *Server) eachDatabase(ctx context.Context, f func(c *sql.Conn, name string) (more bool, err error)) error {
	var databases []string
	err := i.with(ctx, func(c *sql.Conn) error {
		return c.QueryRowContext(ctx, surveyed, mostSurveyed).Scan(pq.Array(&databases))
	})
	if err != nil {
		return err
	}
	more := true
	for _, name := range databases {
		of := i.Local()
		of.Database = name
		of.Runtime["lock_timeout"] = "500" // a session may lock a catalog
		wrong := pgdial.WithConn(ctx, of, func(c *sql.Conn) (err error) {
			more, err = f(c, name)
			return err
		})
		if wrong != nil {
			err = errors.Join(err, fmt.Errorf("database %s: %w", name, wrong))
		}
		if ctx.Err() != nil || !more {
			break
		}
	}
	return err
}

func columnCollationsOn(ctx context.Context, c *sql.Conn, database string) (all []Collation, err error) {
	rows, err := c.QueryContext(ctx, columnCollations, maxUserSlots)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		one := Collation{Database: database}
		if err := rows.Scan(&one.Provider, &one.Recorded, &one.Offered, &one.Of); err != nil {
			return all, err
		}
		all = append(all, one)
	}
	return all, rows.Err()
}
