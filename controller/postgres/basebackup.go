package postgres

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"net"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// backupName is the application_name of copies for backups: it is in no durability set.
const backupName = "mainstay-backup"

// BaseBackup is a copy of this server that a backup is made of.
type BaseBackup struct {
	To     string            // absent or empty, for the owner to write
	Spaces map[string]string // where each tablespace goes, by its location; all of Copyable.Locations
	Since  string            // the manifest of the backup that it builds on (17 and newer); "": a full one
	Rate   int64             // bytes a second, 0: no bound; below 32 kB and above 1 GB pg_basebackup's own bounds hold
	// Spread has the checkpoint before the copy take its usual time, in place of all at once.
	Spread bool
}

// The least and the most that pg_basebackup takes as --max-rate, in kB a second.
const leastRate, mostRate = 32, 1 << 20

// BaseBackup copies the server itself by pg_basebackup into a directory, with all WAL that the copy needs and a manifest, and without a
// sync: the copy is read, checked, and removed. It goes through the server's own socket as the superuser, or, where its access rules refuse
// that, over the network as the replication account. The program ends with this process, and its helper that receives WAL when it next
// looks for it. An error leaves a part of a copy.
func (i *Server) BaseBackup(ctx context.Context, b BaseBackup, progress Progress) (err error) {
	defer i.wrap("back up", &err)
	args := []string{"-D", b.To, "-X", "stream", "--no-password", "--no-sync", "--no-clean", "-P", "-c", "fast"}
	if b.Spread {
		args[len(args)-1] = "spread"
	}
	if b.Since != "" {
		args = append(args, "--incremental="+b.Since)
	}
	if b.Rate > 0 {
		args = append(args, "--max-rate="+strconv.FormatInt(min(max(b.Rate>>10, leastRate), mostRate), 10))
	}
	args = append(args, mappings(b.Spaces)...)
	run := func(conninfo string) error {
		err := i.streamBound(ctx, &progressWriter{report: progress}, "pg_basebackup", append(args, "-d", conninfo)...)
		if failed := (*CommandError)(nil); errors.As(err, &failed) {
			failed.Tail = reasons(failed.Tail)
		}
		return err
	}
	local := []pair{{"host", i.Socket}, {"port", strconv.Itoa(i.Port)}, {"user", i.superuser()}, {"application_name", backupName},
		{"connect_timeout", "5"}, {"passfile", i.SuperPassfile}}
	err = run(joinConnInfo(local))
	if failed := (*CommandError)(nil); !errors.As(err, &failed) || !strings.Contains(failed.Tail, "pg_hba.conf") {
		return err
	}
	remote, none := i.ConnInfo(Source{i.Listen, i.Port}, backupName, "")
	if none != nil || net.ParseIP(i.Listen) == nil {
		return fmt.Errorf("the access rules have no line for a copy through the local socket (add: local replication %s peer): %w",
			quoteHBA(i.superuser()), err)
	}
	return run(remote)
}

// reasons are what pg_basebackup says of a failure, without its progress, on one line.
func reasons(tail string) string {
	var all []string
	for line := range strings.Lines(tail) {
		line = strings.TrimSpace(line)
		if line != "" && line != "waiting for checkpoint" && !progressText.MatchString(line) && !strings.HasSuffix(line, "user's request") {
			all = append(all, strings.TrimPrefix(line, "pg_basebackup: "))
		}
	}
	return strings.Join(all, "; ")
}

// mappings are the arguments -T of pg_basebackup and pg_combinebackup.
func mappings(spaces map[string]string) (args []string) {
	for _, from := range slices.Sorted(maps.Keys(spaces)) {
		args = append(args, mapping(from, spaces[from])...)
	}
	return args
}

// Copyable is what a server says of itself before it is copied.
type Copyable struct {
	Standby    bool
	Bytes      int64             // of all tablespaces
	Locations  map[uint32]string // of tablespaces outside the data directory, by OID
	Summarizes bool              // summarize_wal is on (17 and newer): an incremental backup is possible
}

// Copyable asks the server what a copy of it would be.
func (i *Server) Copyable(ctx context.Context) (c Copyable, err error) {
	defer i.wrap("ask before a backup of", &err)
	c.Locations = map[uint32]string{}
	err = i.with(ctx, func(conn *sql.Conn) error {
		if err := conn.QueryRowContext(ctx, `SELECT pg_is_in_recovery(), (SELECT sum(pg_tablespace_size(oid)) FROM pg_tablespace),
			COALESCE(current_setting('summarize_wal', true), 'off') = 'on'`).Scan(&c.Standby, &c.Bytes, &c.Summarizes); err != nil {
			return err
		}
		found, err := readSpaces(ctx, conn)
		for _, s := range found {
			oid, wrong := strconv.ParseUint(filepath.Base(s.link), 10, 32)
			c.Locations[uint32(oid)] = s.location
			err = errors.Join(err, wrong)
		}
		return err
	})
	return c, err
}

// Combination is a chain of backups that becomes one data directory.
type Combination struct {
	Inputs []string          // the full one first, then each incremental; their manifests have been verified
	To     string            // absent or empty
	Spaces map[string]string // where each tablespace goes, by its place in the last input
	Clone  bool              // share blocks with the inputs, which the filesystem must be able to
}

// Combine runs pg_combinebackup (17 and newer), without a sync and without a manifest. It makes no check of its inputs: what is rotten in
// them is rotten in the result.
func (i *Server) Combine(ctx context.Context, c Combination) (err error) {
	defer i.wrap("combine backups of", &err)
	args := []string{"-o", c.To, "--no-sync", "--no-manifest"}
	if c.Clone {
		args = append(args, "--clone")
	}
	return i.streamBound(ctx, nil, "pg_combinebackup", slices.Concat(args, mappings(c.Spaces), c.Inputs)...)
}
