package postgres

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"mainstay/controller/pgdial"
)

// CatalogRelation is a relation with files, as the catalog of its database has it.
type CatalogRelation struct {
	Space, Database, Node uint32 // OIDs of tablespace and database (0: shared), and relfilenode
	Kind                  string // pg_class.relkind
	Method                string // pg_am.amname, "" for none
	Name                  string // database, schema and name
}

const relationsSQL = `SELECT coalesce(nullif(c.reltablespace, 0), d.dattablespace), CASE WHEN c.relisshared THEN 0 ELSE d.oid END,
	pg_catalog.pg_relation_filenode(c.oid), c.relkind::text, coalesce(a.amname::text, ''), d.datname || '.' || n.nspname || '.' || c.relname
	FROM pg_catalog.pg_class AS c JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
	JOIN pg_catalog.pg_database AS d ON d.datname = current_database() LEFT JOIN pg_catalog.pg_am AS a ON a.oid = c.relam
	WHERE c.relpersistence <> 't' AND pg_catalog.pg_relation_filenode(c.oid) IS NOT NULL`

// relationsBound ends the statement on the server's side, should nothing wait for its answer any more; in milliseconds.
const relationsBound = "20000"

// Relations lists the relations of all databases that take connections, each on a connection of its own, one after the other. It returns
// what it has also with an error.
func (i *Server) Relations(ctx context.Context) (all []CatalogRelation, err error) {
	defer i.wrap("list the relations of", &err)
	var databases []string
	err = i.with(ctx, func(c *sql.Conn) error {
		return eachRow(ctx, c, "SELECT datname FROM pg_catalog.pg_database WHERE datallowconn ORDER BY oid", func(r *sql.Rows) error {
			var name string
			err := r.Scan(&name)
			databases = append(databases, name)
			return err
		})
	})
	for _, name := range databases {
		local := i.Local()
		local.Database, local.Runtime["statement_timeout"] = name, relationsBound
		one := pgdial.WithConn(ctx, local, func(c *sql.Conn) error {
			return eachRow(ctx, c, relationsSQL, func(r *sql.Rows) error {
				var rel CatalogRelation
				err := r.Scan(&rel.Space, &rel.Database, &rel.Node, &rel.Kind, &rel.Method, &rel.Name)
				all = append(all, rel)
				return err
			})
		})
		if one != nil {
			err = errors.Join(err, fmt.Errorf("database %s: %w", name, one))
		}
	}
	return all, err
}

func eachRow(ctx context.Context, c *sql.Conn, query string, each func(*sql.Rows) error) error {
	r, err := c.QueryContext(ctx, query)
	if err != nil {
		return err
	}
	defer r.Close()
	for r.Next() {
		if err := each(r); err != nil {
			return err
		}
	}
	return r.Err()
}
