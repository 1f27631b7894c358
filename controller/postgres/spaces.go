package postgres

import (
	"context"
	"database/sql"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"mainstay/controller/pgdial"
)

// remote is how to ask a source, as pg_rewind does.
func (i *Server) remote(s Source) pgdial.Config {
	cert := i.ReplicationTLS
	if cert == (TLSFiles{}) {
		cert = i.TLS
	}
	if i.Replication.User != "" {
		cert.Cert, cert.Key = "", ""
	}
	return pgdial.Config{Host: s.Host, Port: s.Port, User: i.replicationUser(), Passfile: i.Replication.Passfile, TLS: cert,
		Application: cloneName,
		Runtime:     pgdial.Sessions(i.Binaries.Major, false)}
}

const noSuchDatabase = "3D000"

// space is a tablespace of a source.
type space struct {
	link     string // below any data directory of the cluster
	location string // on the source's host
}

// spaces asks a source for its tablespaces, except those in its data directory itself. An account of an adopted cluster that may copy but
// not query learns of none: then pg_basebackup finds the obstacles.
func (i *Server) spaces(ctx context.Context, from Source) (all []space, err error) {
	_, err = i.askSource(ctx, from, "its tablespaces", func(ctx context.Context, c *sql.Conn) (err error) {
		all, err = readSpaces(ctx, c)
		return err
	})
	return all, err
}

func readSpaces(ctx context.Context, c *sql.Conn) (all []space, err error) {
	err = eachRow(ctx, c, `SELECT oid, pg_catalog.pg_tablespace_location(oid) FROM pg_catalog.pg_tablespace
		WHERE spcname NOT IN ('pg_default', 'pg_global') ORDER BY oid`, func(rows *sql.Rows) error {
		var oid, location string
		if err := rows.Scan(&oid, &location); err != nil {
			return err
		}
		if filepath.IsAbs(location) {
			all = append(all, space{filepath.Join(spaceDir, oid), location})
		}
		return nil
	})
	return all, err
}

// askSource runs f on a new connection to a source. allowed is false where the account may not ask that.
func (i *Server) askSource(ctx context.Context, from Source, what string,
	f func(context.Context, *sql.Conn) error) (allowed bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, 2*pgdial.DefaultOnce)
	defer cancel()
	ask := func(c *sql.Conn) error { return f(ctx, c) }
	at := i.remote(from)
	if err = pgdial.WithConn(ctx, at, ask); pgdial.SQLState(err) == noSuchDatabase {
		at.Database = "template1" // which is hardly ever dropped
		err = pgdial.WithConn(ctx, at, ask)
	}
	if code := pgdial.SQLState(err); strings.HasPrefix(code, "28") || code == "42501" {
		return false, nil
	}
	if err != nil {
		err = fmt.Errorf("ask the source for %s: %w", what, err)
	}
	return err == nil, err
}

// spot is the place of a tablespace on this host: its present place, or else the place that the source has.
func (s space) spot(here places) spot {
	if n := slices.IndexFunc(here.Links, func(l outlier) bool { return l.Link == s.link }); n >= 0 {
		return spot{outlier: here.Links[n], source: s.location}
	}
	at, err := filepath.EvalSymlinks(s.location)
	if err != nil {
		at = ""
	}
	return spot{outlier: outlier{s.link, s.location, at}, source: s.location}
}

// mapped are pg_basebackup's arguments for the parts of a copy that lie outside of it.
func mapped(spots []spot) (args []string) {
	for _, s := range spots {
		if s.Link == walLink {
			args = append(args, "--waldir", s.temp)
			continue
		}
		args = append(args, mapping(s.source, s.temp)...)
	}
	return args
}

// mapping is the argument that puts a tablespace elsewhere.
func mapping(from, to string) []string {
	equals := strings.NewReplacer("=", `\=`)
	return []string{"-T", equals.Replace(from) + "=" + equals.Replace(to)}
}

// userBound is how long a search for a folder's user may take: a working directory may lie on a file system that hangs.
const userBound = 5 * time.Second

// searching is held by the one search there may be: one that hangs lasts until its file system answers, and no others pile up behind it.
var searching = make(chan struct{}, 1)

// userOf finds a running server, other than ours, whose data leads to a folder; "" for none.
func (i *Server) userOf(ctx context.Context, dir string) (data string, err error) {
	ctx, cancel := context.WithTimeout(ctx, userBound)
	defer cancel()
	if data, err = await(ctx, searching, func() string { return i.foundUserOf(dir) }); err != nil {
		err = fmt.Errorf("it is not known whether another server uses %s, because the working directory of some process does not answer (%w): "+
			"check which file system of this host hangs; it is tried again", dir, err)
	}
	return data, err
}

// await waits for f, which nothing can end, no longer than ctx allows. f holds the slot until it returns, awaited or not.
func await(ctx context.Context, slot chan struct{}, f func() string) (string, error) {
	select {
	case slot <- struct{}{}:
	case <-ctx.Done():
		return "", ctx.Err()
	}
	found := make(chan string, 1)
	go func() {
		defer func() { <-slot }()
		found <- f()
	}()
	select {
	case s := <-found:
		return s, nil
	case <-ctx.Done():
		return "", ctx.Err()
	}
}

// foundUserOf looks at the working directories of processes: two clusters of one host, or a primary and its replica there. Those in
// containers are seen as this host sees them.
func (i *Server) foundUserOf(dir string) (data string) {
	want, err := os.Stat(dir)
	if err != nil {
		return ""
	}
	ours, _ := os.Stat(i.Data) // nil where it is not there
	processes, _ := filepath.Glob("/proc/[0-9]*")
	var seen []fs.FileInfo
	for _, p := range processes {
		cwd := filepath.Join(p, "cwd")
		info, err := os.Stat(cwd + "/")
		same := func(f fs.FileInfo) bool { return os.SameFile(f, info) }
		if err != nil || ours != nil && same(ours) || slices.ContainsFunc(seen, same) || !exists(cwd+"/PG_VERSION") {
			continue
		}
		seen = append(seen, info)
		links, _ := filepath.Glob(cwd + "/" + spaceDir + "/*")
		for _, link := range append(links, cwd+"/"+walLink) {
			to, err := os.Readlink(link)
			if err != nil || !filepath.IsAbs(to) {
				continue
			}
			if at, err := os.Stat(p + "/root" + to); err == nil && os.SameFile(at, want) {
				data, _ = os.Readlink(cwd)
				return data
			}
		}
	}
	return ""
}
