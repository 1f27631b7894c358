package postgres

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"syscall"

	"mainstay/health/integrity/serverlog"
)

const (
	// mostGained bounds how much of a log one call of Follow reads, in bytes: what a log has gained beyond that is passed over.
	mostGained = 8 << 20
	// logPiece is how much is read at once, in bytes.
	logPiece = 128 << 10
)

// LogPlace is how far a log has been read.
type LogPlace struct {
	Path  string         `json:"path,omitempty"`
	Form  serverlog.Form `json:"form,omitempty"`
	Inode uint64         `json:"inode,omitempty"`
	At    int64          `json:"at,omitempty"` // bytes
}

// LogFollower reads what the server's log gains, wherever its settings put it. It is not for concurrent use. The calls read files, which
// may hang with their disk: they are for a goroutine that nothing waits for.
type LogFollower struct {
	LogPlace       // where it continues; the zero value begins at the end of the log
	Passed   int64 // bytes that were passed over
	decoder  *serverlog.Decoder
	own      int64 // the size of Server.Log while that is not the log in force
}

// Follow calls tell for each entry that may be evidence since the last call. The error says why the log, or the rest of an earlier file of
// it, could not be read.
func (f *LogFollower) Follow(i *Server, tell func(serverlog.Entry)) error {
	path, form, err := i.logInForce()
	if err != nil {
		return err
	}
	first := f.Path == ""
	var wrong error
	if !first && f.Path != path { // rotated, perhaps since an earlier agent
		if err := f.read(i, tell); err != nil && !errors.Is(err, os.ErrNotExist) {
			wrong = err
		}
	}
	if f.Path != path || f.Form != form {
		f.end(tell)
		if f.LogPlace = (LogPlace{Path: path, Form: form}); path == i.Log {
			f.At = f.own
		}
	}
	if info, err := i.Owner.stat(i.Log); err == nil && path != i.Log {
		f.own = info.Size()
	}
	if first {
		f.At = -1
	}
	err = f.read(i, tell)
	if errors.Is(err, os.ErrNotExist) {
		err = fmt.Errorf("PostgreSQL's log %s is not there: %w", path, err)
	}
	return errors.Join(wrong, err)
}

func (f *LogFollower) end(tell func(serverlog.Entry)) {
	if f.decoder != nil {
		f.decoder.End(tell)
		f.decoder = nil
	}
}

// read takes what its file has gained.
func (f *LogFollower) read(i *Server, tell func(serverlog.Entry)) error {
	file, err := i.Owner.open(f.Path)
	if err != nil {
		return err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return err
	}
	size, inode := info.Size(), info.Sys().(*syscall.Stat_t).Ino
	switch {
	case f.At < 0:
		f.At = size
	case f.Inode != 0 && f.Inode != inode, size < f.At: // written anew
		f.end(tell)
		f.At = 0
	}
	f.Inode = inode
	if gained := size - f.At; gained > mostGained {
		f.end(tell)
		f.Passed += gained - mostGained
		f.At = size - mostGained
	}
	if f.decoder == nil {
		f.decoder = serverlog.NewDecoder(f.Form, serverlog.MayBeEvidence, f.At > 0)
	}
	buffer := make([]byte, min(logPiece, size-f.At))
	for f.At < size {
		n, err := file.ReadAt(buffer[:min(int64(len(buffer)), size-f.At)], f.At)
		f.decoder.Decode(buffer[:n], tell)
		f.At += int64(n)
		if err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		if n == 0 {
			break
		}
	}
	f.decoder.End(tell)
	return nil
}

// ErrLogElsewhere is returned where PostgreSQL writes its log to no file.
var ErrLogElsewhere = errors.New("PostgreSQL writes its log to no file")

// logInForce finds the file into which the server writes its log, or wrote it last. The collector names its own; without one it is
// what the postmaster has as its standard error.
func (i *Server) logInForce() (path string, form serverlog.Form, err error) {
	if path, form = i.collected(); path != "" {
		return path, form, nil
	}
	pid, _, ok := i.Running()
	if !ok {
		return i.Log, serverlog.Stderr, nil
	}
	path, err = os.Readlink(fmt.Sprintf("/proc/%d/fd/2", pid))
	switch {
	case err != nil:
		return "", "", fmt.Errorf("find PostgreSQL's log: %w", err)
	case !strings.HasPrefix(path, "/") || path == os.DevNull:
		return "", "", fmt.Errorf("%w, but to %s (a pipe, a socket, the journal or syslog): set logging_collector = on there",
			ErrLogElsewhere, path)
	}
	return path, serverlog.Stderr, nil
}

// LogSettings are the settings that say what a server's log can tell.
type LogSettings struct {
	Destination, Prefix, Language, Least string // log_destination, log_line_prefix, lc_messages, log_min_messages
}

// LogSettings asks the server for them.
func (i *Server) LogSettings(ctx context.Context) (s LogSettings, err error) {
	defer i.wrap("ask for the log settings of", &err)
	err = i.with(ctx, func(c *sql.Conn) error {
		return c.QueryRowContext(ctx, `SELECT current_setting('log_destination'), current_setting('log_line_prefix'),
			current_setting('lc_messages'), current_setting('log_min_messages')`).Scan(&s.Destination, &s.Prefix, &s.Language, &s.Least)
	})
	return s, err
}

// Hides says what evidence a log in that form does not show, with the setting that changes it; "" for none.
func (s LogSettings) Hides(form serverlog.Form) string {
	files := strings.FieldsFunc(strings.ToLower(s.Destination), func(r rune) bool { return r == ',' || r == ' ' })
	language, _, _ := strings.Cut(s.Language, ".")
	language, _, _ = strings.Cut(language, "_")
	switch {
	case len(files) == 1 && files[0] == "syslog":
		return "PostgreSQL logs to syslog alone (log_destination), which the agent does not read: add stderr, csvlog or jsonlog"
	case s.Least == "fatal" || s.Least == "panic":
		return "PostgreSQL does not log errors (log_min_messages = " + s.Least + "): set it to warning"
	case form == serverlog.Stderr && language != "C" && language != "POSIX" && language != "en" && language != "" &&
		!strings.Contains(s.Prefix, "%e"):
		return "PostgreSQL's messages are in another language (lc_messages = " + s.Language +
			") and have no SQLSTATE: add %e to log_line_prefix, or csvlog to log_destination"
	}
	return ""
}
