package postgres

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"time"

	"mainstay/controller/platform"
	"mainstay/health/integrity/serverlog"
)

// Fault says why a server that was started has ended on its own.
type Fault struct {
	// Said is the most telling line of its log; "" if it wrote nothing there.
	Said string
	// Data: its data may be at fault. Recovery had begun, or found nothing to begin with. Otherwise the server ended for its address, a
	// library, a setting, a permission, the disk or the memory of its host, or it was killed.
	Data bool
	// At is the record at which its replay ended, where it names one.
	At platform.LSN
}

// origin is the state before a start.
type origin struct {
	control   time.Time // when the control file was written last: the beginning of a recovery writes it (UpdateControlFile in StartupXLOG)
	log       int64     // where the log ended
	collected string    // the collector's log; "" for none
	form      serverlog.Form
	size      int64 // where that ended
}

// controlWritten is when the control file was written last; the zero time if it cannot be read.
func (i *Server) controlWritten() time.Time {
	f, err := i.Owner.stat(i.controlFile())
	if err != nil {
		return time.Time{}
	}
	return f.ModTime()
}

func (i *Server) origin() (o origin) {
	o.control = i.controlWritten()
	if f, err := i.Owner.stat(i.Log); err == nil {
		o.log = f.Size()
	}
	if o.collected, o.form = i.collected(); o.collected != "" {
		if f, err := i.Owner.stat(o.collected); err == nil {
			o.size = f.Size()
		}
	}
	return o
}

// collected is the file into which a server with logging_collector writes its log once that runs, and its form; "" for none. What comes
// before is in i.Log. It is read with the rights of PostgreSQL's user, who names it. Of several forms it is the one that says most.
func (i *Server) collected() (path string, form serverlog.Form) {
	text, err := i.Owner.readIfThere(filepath.Join(i.Data, "current_logfiles"))
	if err != nil {
		return "", ""
	}
	named := map[serverlog.Form]string{}
	for line := range strings.Lines(text) {
		if form, path, ok := strings.Cut(strings.TrimSpace(line), " "); ok && filepath.IsAbs(path) {
			named[serverlog.Form(form)] = path
		} else if ok {
			named[serverlog.Form(form)] = filepath.Join(i.Data, path)
		}
	}
	for _, form := range []serverlog.Form{serverlog.JSON, serverlog.CSV, serverlog.Stderr} {
		if named[form] != "" {
			return named[form], form
		}
	}
	return "", ""
}

// logged is what a server has logged since an origin: the first, or the last, limit bytes in each of its two logs, in the form of stderr.
func (i *Server) logged(since origin, limit int64, last bool) string {
	first, second, form := i.parts(since, limit, last)
	if form == serverlog.Stderr || second == "" {
		return first + "\n" + second
	}
	var b strings.Builder
	b.WriteString(first)
	for _, e := range logEntries(form, second) {
		b.WriteString("\n" + e.String())
	}
	return b.String()
}

// said are the entries of that.
func (i *Server) said(since origin, limit int64, last bool) []serverlog.Entry {
	first, second, form := i.parts(since, limit, last)
	return append(logEntries(serverlog.Stderr, first), logEntries(form, second)...)
}

func logEntries(form serverlog.Form, text string) (all []serverlog.Entry) {
	d := serverlog.NewDecoder(form, nil, true)
	tell := func(e serverlog.Entry) { all = append(all, e) }
	d.Decode([]byte(text), tell)
	d.Decode([]byte("\n"), tell)
	d.End(tell)
	return all
}

// parts are what each of the two logs has gained, and the form of the second.
func (i *Server) parts(since origin, limit int64, last bool) (first, second string, form serverlog.Form) {
	now := i.origin()
	part := func(path string, from, end int64) string {
		if from > end { // written anew
			from = 0
		}
		if last {
			from = max(from, end-limit)
		}
		return i.Owner.tail(path, from, limit)
	}
	first = part(i.Log, since.log, now.log)
	if now.collected == "" {
		return first, "", ""
	}
	if now.collected != since.collected {
		since.size = 0
	}
	return first, part(now.collected, since.size, now.size), now.form
}

func (o Owner) stat(path string) (os.FileInfo, error) {
	f, err := o.open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return f.Stat()
}

// Fault looks into a server that we started and that has ended before it answered once.
func (i *Server) Fault(ctx context.Context, p *Process) Fault {
	all := complaints(i.logged(p.origin, mostSaid, false))
	said := first(all)
	f := Fault{Said: said.text, At: said.redo}
	if said.panic || said.inReplay() {
		all = []complaint{said}
	}
	if !p.byItself() || i.hostAtFault(all) {
		return f
	}
	if i.controlWritten() != p.origin.control {
		f.Data = true
		return f
	}
	// A server that finds no checkpoint to begin with says so by a PANIC; a standby waits for it instead, so it ends for something else.
	_, err := i.EndOfWAL(ctx)
	var none *NoWALError
	f.Data = errors.As(err, &none) && said.panic || errors.Is(err, ErrCorruptControl)
	return f
}

// Crash looks into a server that we started, that has answered, and that has ended since. Said is "" if no line shows that its replay
// or a PANIC was the cause, for example if one of its processes was killed.
func (i *Server) Crash(p *Process) Fault {
	said := last(complaints(i.logged(p.origin, mostSaid, true)))
	if !p.byItself() || !said.panic && !said.inReplay() {
		return Fault{}
	}
	return Fault{Said: said.text, At: said.redo, Data: !i.hostAtFault([]complaint{said})}
}

// noStream finds in a log in English why a standby does not stream. From 17 on its receiver names itself.
var noStream = regexp.MustCompile(
	`\b(?:FATAL|ERROR):\s+(?:streaming replication receiver "[^"]*" )?(could not (?:connect to the primary server|start WAL streaming|receive data from WAL stream).*)`)

// NoStream is why a standby does not stream, as its server has said last; "" where it has not, or says so to
// syslog alone.
func (i *Server) NoStream() (said string) {
	const most = 8 << 10
	for line := range strings.SplitSeq(i.logged(origin{}, most, true), "\n") {
		if m := noStream.FindStringSubmatch(line); m != nil {
			said = m[1]
		} else if strings.Contains(line, "started streaming WAL") {
			said = ""
		}
	}
	return said
}

// byItself tells, after Done, whether the postmaster gave up: it was not killed, and not asked to stop.
func (p *Process) byItself() bool {
	return p.err != nil && strings.HasPrefix(p.err.Error(), "exit status ")
}

// mostSaid bounds how much of a server's log is read.
const mostSaid = 64 << 10

// tail reads a file from an offset on, as much as limit.
func (o Owner) tail(path string, from, limit int64) string {
	f, err := o.open(path)
	if err != nil {
		return ""
	}
	defer f.Close()
	b, err := io.ReadAll(io.NewSectionReader(f, from, limit))
	if err != nil {
		return ""
	}
	return string(b)
}

// complaint is a line of a log that may say why a server ended.
type complaint struct {
	text  string
	panic bool
	fatal bool         // or worse
	redo  platform.LSN // the record that was being replayed, as the line's context names it; 0 for none
	died  bool         // the process that replays was ended by a signal of its own making
}

// died finds that in a log in English.
var died = regexp.MustCompile(`\bLOG:\s+(startup process \(PID \d+\) was terminated by signal (?:4|6|7|8|11)\b.*)`)

// other begins an entry of a log that is no complaint.
var other = regexp.MustCompile(`\b(?:LOG|WARNING|ERROR|NOTICE|INFO|DEBUG[1-5]):\s`)

// reason finds a line that says why a server ended; severity words but PANIC are translated, and in most languages FATAL is the same.
var reason = regexp.MustCompile(`\b(FATAL|PANIC):\s+(.*)|\bLOG:\s+((?:could not|invalid|unrecognized|syntax error|out of) .*)`)

// redoAt finds the context of a failure in replay, "WAL redo at 0/3000028 for Heap/INSERT: ...", in any language.
var redoAt = regexp.MustCompile(`^[^"]*\b([0-9A-F]{1,8}/[0-9A-F]{1,8}) [^"]*\b[A-Z][A-Za-z0-9]+/[A-Z][A-Z0-9_+]*\b`)

// complaints are the lines of a log that say why a server ended or, where there are none, its last line.
func complaints(log string) (all []complaint) {
	last, open := "", false // open: what follows belongs to the last complaint
	for _, line := range strings.Split(log, "\n") {
		if m := died.FindStringSubmatch(line); m != nil {
			all, open = append(all, complaint{text: m[1], fatal: true, died: true}), false
			continue
		}
		if m := reason.FindStringSubmatch(line); m != nil {
			all, open = append(all, complaint{text: m[2] + m[3], panic: m[1] == "PANIC", fatal: m[1] != ""}), true
			continue
		}
		if line = strings.TrimSpace(line); line == "" {
			continue
		}
		last, open = line, open && !other.MatchString(line)
		if m := redoAt.FindStringSubmatch(line); m != nil && open && all[len(all)-1].redo == 0 {
			all[len(all)-1].redo, _ = platform.ParseLSN(m[1])
		}
	}
	if all == nil && last != "" {
		all = []complaint{{text: last}}
	}
	return all
}

// first is why a server that has not answered ended: a PANIC, a failure of its replay, or else the first complaint, since the
// later ones are mostly its consequences.
func first(all []complaint) complaint {
	for _, of := range []func(complaint) bool{complaint.severe, complaint.inReplay, complaint.any} {
		for _, c := range all {
			if of(c) {
				return c
			}
		}
	}
	return complaint{}
}

// last is why a server that has answered ended: earlier lines may be about a session.
func last(all []complaint) (found complaint) {
	for _, of := range []func(complaint) bool{complaint.any, complaint.inReplay, complaint.severe} {
		for _, c := range all {
			if of(c) {
				found = c
			}
		}
	}
	return found
}

func (c complaint) any() bool      { return true }
func (c complaint) severe() bool   { return c.panic }
func (c complaint) inReplay() bool { return c.died || c.fatal && c.redo != 0 }

// ofHost finds lines in which a server blames its host (its disk, its memory, its files), in the words of strerror.
var ofHost = regexp.MustCompile(
	`No space left on device|Disk quota exceeded|Read-only file system|Too many open files|out of file descriptors|` +
		`Cannot allocate memory|out of memory|could not fork|Resource temporarily unavailable|Permission denied|Operation not permitted|` +
		`^directory "[^"]*" does not exist`) // a tablespace's

// hostAtFault tells whether a server that ended blames its host, or its disk is full: in another language the words
// differ.
func (i *Server) hostAtFault(said []complaint) bool {
	for _, c := range said {
		if (c.fatal || strings.HasPrefix(c.text, "out of")) && ofHost.MatchString(c.text) {
			return true
		}
	}
	return i.full()
}

// fullAt is how much room, in bytes, a disk has at most that counts as full: PostgreSQL fills a new segment of WAL at once.
const fullAt = 16 << 20

// full tells whether the disk of the data, of its WAL or of a tablespace has no room.
func (i *Server) full() bool {
	places := []string{i.Data, i.wal().dir()}
	if spaces, err := filepath.Glob(filepath.Join(i.Data, "pg_tblspc", "*")); err == nil {
		places = append(places, spaces...)
	}
	for _, path := range places {
		var fs syscall.Statfs_t
		if err := syscall.Statfs(path, &fs); err == nil && (fs.Bavail*uint64(fs.Bsize) < fullAt || fs.Files > 0 && fs.Ffree == 0) {
			return true
		}
	}
	return false
}
