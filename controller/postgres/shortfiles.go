package postgres

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"time"

	"mainstay/controller/wakeup"
)

const (
	// mostShort bounds how many files are named.
	mostShort = 8
	// shortAgain is the pause before files are listed again: what was being dropped, truncated or vacuumed has changed by then.
	shortAgain = 2 * time.Second
)

// shortFiles finds the segments of relations that are not there, or have fewer pages than the catalog counted at the last VACUUM, ANALYZE
// or CREATE INDEX. It takes no lock on them: pg_stat_file and pg_relation_filepath need none. Shared relations count for one database.
const shortFiles = `
WITH s AS MATERIALIZED (
	SELECT setting::bigint AS per, current_setting('block_size')::bigint AS bytes FROM pg_settings WHERE name = 'segment_size'
), r AS MATERIALIZED (
	SELECT format('%I.%I', n.nspname, c.relname) AS name, pg_relation_filepath(c.oid) AS path, greatest(c.relpages, 0)::bigint AS pages
	FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
	WHERE c.relkind IN ('r', 'm', 't', 'S', 'i') AND c.relpersistence = 'p' AND (NOT c.relisshared OR $2)
), f AS MATERIALIZED (
	SELECT name, path || CASE number WHEN 0 THEN '' ELSE '.' || number END AS file, number, least(pages - number * per, per) AS counted
	FROM s, r, generate_series(0, (greatest(pages, 1) - 1) / per) AS number WHERE path IS NOT NULL
)
SELECT name, file, counted, coalesce(size, -1) / CASE WHEN size IS NULL THEN 1 ELSE bytes END
FROM s, f, LATERAL (SELECT (pg_stat_file(file, true)).size AS size) AS found
WHERE size IS NULL OR size < counted * bytes ORDER BY file LIMIT $1`

// ShortFiles names files that contradict the catalog, in two looks at most mostShort of them: they are missing, or have fewer pages than
// were counted. A VACUUM that was interrupted while it truncated its table leaves the same, so this is no proof of damage. What it has
// learned before an error is good.
func (i *Server) ShortFiles(ctx context.Context) (all []string, err error) {
	defer i.wrap("compare files with the catalog of", &err)
	all, err = i.listShort(ctx)
	if len(all) == 0 {
		return nil, err
	}
	if err := wakeup.Pause(ctx, shortAgain); err != nil {
		return nil, err
	}
	again, err := i.listShort(ctx)
	return slices.DeleteFunc(all, func(file string) bool { return !slices.Contains(again, file) }), err
}

func (i *Server) listShort(ctx context.Context) (all []string, err error) {
	shared := true
	err = i.eachDatabase(ctx, func(c *sql.Conn, database string) (more bool, err error) {
		rows, err := c.QueryContext(ctx, shortFiles, mostShort-len(all), shared)
		if err != nil {
			return true, err
		}
		shared = false
		defer rows.Close()
		for rows.Next() {
			var name, file string
			var counted, has int64
			if err := rows.Scan(&name, &file, &counted, &has); err != nil {
				return true, err
			}
			what := "is not there"
			if has >= 0 {
				what = fmt.Sprintf("has %d of the %d pages that the catalog counted", has, counted)
			}
			all = append(all, fmt.Sprintf("%s of %s in database %s %s", file, name, database, what))
		}
		return len(all) < mostShort, rows.Err()
	})
	return all, err
}
