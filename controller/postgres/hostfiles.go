package postgres

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// A data directory also holds files of this host: links that its user has made, to a configuration file or to the log's folder on
// another disk, and the log itself. pg_rewind refuses a target in which a link stands where its source has a file or a folder, and replaces
// the log by its source's. So both are moved out of its way, and back after it.

// serversOwn tells whether a path below a data directory is PostgreSQL's. Its user may have made the log's folder of old (pg_log), and
// links for what a server makes anew at each start (pg_stat_tmp) and for the access rules.
func serversOwn(name string) bool {
	top, _, _ := strings.Cut(name, "/")
	if slices.Contains([]string{"pg_log", "pg_stat_tmp", "pg_hba.conf", "pg_ident.conf"}, top) {
		return false
	}
	return top == "base" || top == "global" || top == "PG_VERSION" || strings.HasPrefix(top, "pg_")
}

// layoutOf is the user's own part of a data directory's layout.
type layoutOf struct {
	links    map[string]string // what each says, by its path below the data; without those of pg_wal and of tablespaces
	replaced []string          // links in the place of what PostgreSQL keeps there, other than pg_wal and tablespaces
	special  []string          // sockets, pipes and devices
}

// userLayout looks through a data directory, but not through PostgreSQL's own folders.
func (o Owner) userLayout(data string) (l layoutOf, err error) {
	l.links = map[string]string{}
	err = o.asOwner(func() error {
		return filepath.WalkDir(data+"/", func(path string, e fs.DirEntry, err error) error {
			name, wrong := filepath.Rel(data, path)
			if err != nil || wrong != nil || name == "." {
				return wrong // a folder that cannot be read ends pg_rewind's trial run already
			}
			own := serversOwn(name)
			switch {
			case e.IsDir() && own && name != "base":
				return fs.SkipDir
			case e.Type()&fs.ModeSymlink == 0:
				if !e.IsDir() && !e.Type().IsRegular() {
					l.special = append(l.special, name)
				}
			case name == walLink:
			case own:
				l.replaced = append(l.replaced, name)
			default:
				l.links[name], err = os.Readlink(path)
			}
			return err
		})
	})
	return l, err
}

// movedFiles records what was moved out of a rewind's way. It names the data, since Conf may outlive it.
type movedFiles struct {
	Data  string            `json:"data"`
	Links map[string]string `json:"links,omitempty"` // what each says, by its path below the data
	Log   string            `json:"log,omitempty"`   // the log's folder, by its path below the data
	Place string            `json:"place,omitempty"` // where that is meanwhile: the only entry of a folder that is removed after it
	Copy  bool              `json:"copy,omitempty"`  // it could not be moved: its files have been copied to logCopy
}

func (i *Server) movedFile() string { return filepath.Join(i.Conf, "moved.json") }

// moveHostFiles moves them out of the way of pg_rewind. The record is on disk before anything moves; returnHostFiles goes by it.
func (i *Server) moveHostFiles(ctx context.Context) error {
	l, err := i.Owner.userLayout(i.Data)
	if err != nil {
		return err
	}
	if len(l.replaced) > 0 {
		return fmt.Errorf(
			"%s: pg_rewind refuses that, and a copy would not keep it: with PostgreSQL stopped, move the files back there (to gain room, use "+
				"tablespaces; pg_wal may be a link)",
			linksInPlace(l.replaced))
	}
	h := movedFiles{Data: i.Data, Links: l.links}
	if h.Log = i.logFolder(ctx); h.Log != "" {
		if err := i.placeForLog(ctx, &h); err != nil {
			i.notice("the rewind replaces " + filepath.Join(i.Data, h.Log) + " by that of its source: " + err.Error())
			h.Log = ""
		}
	}
	if len(h.Links) == 0 && h.Log == "" {
		return nil
	}
	text, err := json.Marshal(h)
	if err != nil {
		return err
	}
	if err := i.Owner.writeFile(i.movedFile(), text, 0o600); err != nil {
		return err
	}
	if h.Place != "" {
		if err := i.Owner.rename(filepath.Join(i.Data, h.Log), h.Place); err != nil {
			return err
		}
	}
	for name := range h.Links {
		if err := i.Owner.removeFile(filepath.Join(i.Data, name)); err != nil {
			return err
		}
	}
	return nil
}

func linksInPlace(names []string) string {
	if len(names) == 1 {
		return names[0] + " of the data directory is a symbolic link"
	}
	return strings.Join(names, ", ") + " of the data directory are symbolic links"
}

// besideData makes a folder of the owner's beside the data directory, on the same file system.
func (i *Server) besideData(what string) (dir string, err error) {
	data := real(i.Data)
	mounted, err := mountPoint(data)
	if err == nil && mounted {
		err = fmt.Errorf("%s is a mount point, so nothing can be moved beside it", data)
	}
	if err != nil {
		return "", err
	}
	err = i.beside(func() error {
		dir, err = i.Owner.makeTemp(filepath.Dir(data), filepath.Base(data)+"."+ourMark+what+"-*")
		return err
	})
	return dir, err
}

// logFolder is the folder of the server's log, by its path below the data; "" where it lies elsewhere, or is not there.
func (i *Server) logFolder(ctx context.Context) string {
	if !exists(i.mainFile()) {
		return ""
	}
	out, err := i.run(ctx, "postgres", "-D", i.Data, "-c", "config_file="+i.mainFile(), "-C", "log_directory")
	if err != nil {
		return "" // its start tells what is wrong with its configuration
	}
	data, path := real(i.Data), strings.TrimSpace(out)
	if !filepath.IsAbs(path) {
		path = filepath.Join(data, path)
	}
	name, err := filepath.Rel(data, real(path))
	if err != nil || !filepath.IsLocal(name) || name == "." || serversOwn(name) {
		return ""
	}
	if info, err := os.Lstat(filepath.Join(data, name)); err != nil || !info.IsDir() {
		return ""
	}
	return name
}

// returnHostFiles puts back what moveHostFiles has moved, in this run of the agent or in an earlier one that did not finish. The files that
// a rewind has put in their place are its source's, and are removed.
func (i *Server) returnHostFiles() error {
	raw, err := i.Owner.readIfThere(i.movedFile())
	if err != nil || raw == "" {
		return err
	}
	var h movedFiles
	if err := json.Unmarshal([]byte(raw), &h); err != nil {
		return fmt.Errorf("%s is damaged: %w; remove it, and check the links and the log's folder in %s", i.movedFile(), err,
			i.Data)
	}
	if h.Data == i.Data && !exists(filepath.Join(i.Data, "PG_VERSION")) { // the data has been removed, and a copy wants the place empty
		if h.Place != "" && exists(h.Place) {
			i.notice("the log's folder of data that is gone stays in " + h.Place)
		}
	} else if h.Data == i.Data {
		if err := errors.Join(i.Owner.putLinks(i.Data, h.Links), i.returnLog(h)); err != nil {
			return err
		}
	}
	return i.Owner.removeFile(i.movedFile())
}

func (i *Server) returnLog(h movedFiles) error {
	switch {
	case h.Log == "":
		return nil
	case h.Copy && filepath.IsLocal(h.Log):
		return i.returnLogCopy(filepath.Join(i.Data, h.Log))
	}
	beside := real(i.Data) + "." + ourMark + "log-" // the record is where PostgreSQL's user writes: it names nothing else
	if key, ok := strings.CutPrefix(filepath.Dir(h.Place), beside); !ok || strings.Contains(key, "/") || !filepath.IsLocal(h.Log) {
		return fmt.Errorf("%s names %s, which is not ours; remove it, and check the log's folder in %s", i.movedFile(),
			h.Place, i.Data)
	}
	if exists(h.Place) {
		path := filepath.Join(i.Data, h.Log)
		err := i.Owner.asOwner(func() error {
			return errors.Join(os.RemoveAll(path), os.MkdirAll(filepath.Dir(path), 0o700))
		})
		if err != nil {
			return err
		}
		if err := i.Owner.rename(h.Place, path); err != nil {
			return err
		}
	}
	return i.beside(func() error { return i.Owner.removeFile(filepath.Dir(h.Place)) })
}

// putLinks puts a user's links into data that was taken from another member.
func (o Owner) putLinks(data string, links map[string]string) error {
	for _, name := range slices.Sorted(maps.Keys(links)) {
		path := filepath.Join(data, name)
		if to, err := os.Readlink(path); err == nil && to == links[name] || !filepath.IsLocal(name) {
			continue
		}
		err := o.asOwner(func() error {
			return errors.Join(os.RemoveAll(path), os.MkdirAll(filepath.Dir(path), 0o700))
		})
		if err != nil {
			return err
		}
		if err := o.relink(path, links[name]); err != nil {
			return err
		}
	}
	return nil
}

// emptyLog takes the source's log out of a copy, where this host's server has its log's folder.
func (i *Server) emptyLog(tmp string, here places) error {
	if here.Log == "" || !filepath.IsLocal(here.Log) {
		return nil
	}
	dir := filepath.Join(tmp, here.Log)
	return i.Owner.asOwner(func() error {
		entries, err := os.ReadDir(dir)
		if errors.Is(err, fs.ErrNotExist) {
			return nil // the server makes it
		}
		for _, e := range entries {
			err = errors.Join(err, os.RemoveAll(filepath.Join(dir, e.Name())))
		}
		return err
	})
}

// refuseLayout says what in the data directory of a server to be adopted keeps others from being rewound from it, or copied.
func (i *Server) refuseLayout(f Facts) ([]Refusal, error) {
	l, err := i.Owner.userLayout(i.Data)
	if err != nil {
		return nil, err
	}
	sockets := slices.ContainsFunc(l.special, isSocket)
	others := slices.DeleteFunc(l.special, isSocket)
	return collect([]refusal{
		{len(l.replaced) > 0, linksInPlace(l.replaced) + ", which base backups leave out and pg_rewind refuses",
			"stop PostgreSQL, move the files back into the data directory, and start it (to gain room, use " +
				"tablespaces; pg_wal may be a link)"},
		{sockets, "its socket lies in its data directory (unix_socket_directories = '" + f.Sockets +
			"'), where pg_rewind fails, so that no other member could be rewound from it",
			"set unix_socket_directories to a folder elsewhere and restart; name that as members." + i.Member + ".socket in the agent's file"},
		{len(others) > 0,
			strings.Join(others, ", ") +
				" in its data directory is a socket, a pipe or a device, where pg_rewind fails, so that no other member could be rewound from it",
			"move it elsewhere"},
	}), nil
}

// socketName is that of a server's socket (UNIXSOCK_PATH); beside it lies a regular file, its lock.
var socketName = regexp.MustCompile(`(^|/)\.s\.PGSQL\.[0-9]+$`)

func isSocket(name string) bool { return socketName.MatchString(name) }

// SocketInDataError is returned when pg_rewind, which reads whatever its source has, came to a socket there. Its trial run finds that out.
type SocketInDataError struct {
	Source, Path string
	Err          error
}

func (e *SocketInDataError) Error() string {
	return fmt.Sprintf("the data directory of the source (%s) holds a socket, %s, at which pg_rewind fails: "+
		"set unix_socket_directories there to a folder elsewhere and restart it: %v", e.Source, e.Path, e.Err)
}

// Unwrap returns what pg_rewind said.
func (e *SocketInDataError) Unwrap() error { return e.Err }

var unreadSocket = regexp.MustCompile(`could not open file "([^"]*\.s\.PGSQL\.[0-9]+)" for reading`)

// trialFailed says why pg_rewind's trial run has failed, where that is known.
func trialFailed(err error, from Source) error {
	var c *CommandError
	if errors.As(err, &c) {
		if m := unreadSocket.FindStringSubmatch(c.Tail); m != nil {
			return &SocketInDataError{from.Host, m[1], err}
		}
	}
	return err
}
