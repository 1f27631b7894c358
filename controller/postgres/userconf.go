package postgres

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
)

// A cluster's configuration may lie outside of its data directories, as on Debian in /etc/postgresql. A copy of the data
// has none then. So each such member keeps a copy of its user's configuration beside its data (CopyConfig), which is part
// of every clone; a clone on a host that has no configuration of its own makes its first one from it (firstConfig).

// copiedDir holds the copy, in the data directory. It is ours; PostgreSQL does not look at it.
const copiedDir = "mainstay"

// userFiles are the user's configuration files by the names they have in a data directory.
func (i *Server) userFiles() map[string]string {
	return map[string]string{"postgresql.conf": i.userConfig(), "pg_hba.conf": i.hbaFile(), "pg_ident.conf": i.identFile()}
}

// inData tells whether a file lies, links followed, in the data directory.
func (i *Server) inData(path string) bool {
	data := i.Data
	if real, err := filepath.EvalSymlinks(data); err == nil {
		data = real
	}
	for _, p := range []string{path, real(path)} {
		rel, err1 := filepath.Rel(i.Data, p)
		other, err2 := filepath.Rel(data, p)
		if (err1 != nil || !filepath.IsLocal(rel)) && (err2 != nil || !filepath.IsLocal(other)) {
			return false
		}
	}
	return true
}

// real follows links as far as the path is there.
func real(path string) string {
	if r, err := filepath.EvalSymlinks(path); err == nil {
		return r
	}
	return path
}

// CopyConfig brings the copy of a configuration outside of the data directory up to date, on a running server. It writes
// only what has changed; where nothing lies outside there is nothing to do.
func (i *Server) CopyConfig(ctx context.Context) (err error) {
	defer i.wrap("copy the configuration of", &err)
	for name, path := range i.userFiles() {
		if i.inData(path) {
			continue
		}
		var content []byte
		if name == "postgresql.conf" {
			content, err = i.userSettings(ctx)
		} else {
			content, err = i.Owner.readFile(path)
		}
		if err != nil {
			return err
		}
		to := filepath.Join(i.Data, copiedDir, name)
		if old, err := i.Owner.readFile(to); err == nil && bytes.Equal(old, content) {
			continue
		}
		if err := errors.Join(i.Owner.makeDir(filepath.Dir(to), 0o700), i.Owner.writeFile(to, content, 0o600)); err != nil {
			return err
		}
	}
	return nil
}

// notCopied are places of this host alone.
var notCopied = []string{"config_file", "hba_file", "ident_file", "external_pid_file"}

// userSettings are the settings in the user's files and their includes, without ours. The last of a name is in force.
func (i *Server) userSettings(ctx context.Context) ([]byte, error) {
	found, ours := map[string]string{}, i.Values(Settings{})
	err := i.with(ctx, func(c *sql.Conn) error {
		rows, err := c.QueryContext(ctx, `SELECT name, setting, sourcefile FROM pg_catalog.pg_file_settings
			WHERE name IS NOT NULL AND setting IS NOT NULL ORDER BY seqno`)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var name, value, file string
			if err := rows.Scan(&name, &value, &file); err != nil {
				return err
			}
			name = strings.ToLower(name)
			if _, always := ours[name]; always || slices.Contains(notCopied, name) {
				continue
			}
			if file != i.managedFile() && filepath.Base(file) != autoConf {
				found[name] = value
			}
		}
		return rows.Err()
	})
	var b bytes.Buffer
	for _, name := range slices.Sorted(maps.Keys(found)) {
		fmt.Fprintf(&b, "%s = %s\n", name, quoteConf(found[name]))
	}
	return b.Bytes(), err
}

// firstConfig gives fresh data, copied from a member whose configuration lies outside of it, the files that this host has
// not: written once, the user's from then on.
func (i *Server) firstConfig(dir string, from Source) error {
	for name, path := range i.userFiles() {
		content, err := i.Owner.readFile(filepath.Join(dir, copiedDir, name))
		if err != nil || exists(filepath.Join(dir, name)) || path != filepath.Join(i.Data, name) {
			continue
		}
		text := fmt.Sprintf("# Written by Mainstay when it cloned %s from %s, whose own file lies outside of its data directory.\n"+
			"# It is yours from now on: Mainstay does not write it again.\n", i.Member, from.Host)
		if name == "postgresql.conf" {
			if err := i.Owner.in(dir, func() error { text += portable(string(content)); return nil }); err != nil {
				return err
			}
		} else {
			text += string(content)
		}
		if err := i.Owner.writeFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			return err
		}
		i.notice("wrote " + path + " like the primary's; check that it fits this host: it is yours from now on")
	}
	return i.Owner.removeAll(filepath.Join(dir, copiedDir))
}

// portable leaves out the settings that name a file or folder this host does not have, and says so. Without its
// certificate ssl would keep the server from starting.
func portable(conf string) string {
	var missing []string
	for line := range strings.Lines(conf) {
		name, _, _ := strings.Cut(line, " ")
		value := confValue(line)
		if filepath.IsAbs(value) && !strings.HasSuffix(name, "_command") && !exists(value) {
			missing = append(missing, name)
		}
	}
	if slices.Contains(missing, "ssl_cert_file") || slices.Contains(missing, "ssl_key_file") || slices.Contains(missing, "ssl_ca_file") {
		missing = append(missing, "ssl")
	}
	var b strings.Builder
	for line := range strings.Lines(conf) {
		if name, _, _ := strings.Cut(line, " "); slices.Contains(missing, name) {
			line = "# not on this host: " + line
		}
		b.WriteString(line)
	}
	return b.String()
}
