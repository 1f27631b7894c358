package postgres

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"mainstay/controller/platform"
	"mainstay/controller/postgres/ondisk"
)

// reserved is the content of a history file that only keeps a number from being taken again.
const reserved = "1\t0/1\treserved\n"

func (w walFolder) historyFile(t platform.Timeline) string {
	return filepath.Join(w.dir(), ondisk.HistoryName(t))
}

// ReadHistory reads the ancestry of a timeline from pg_wal, oldest first. Timeline 1 has none, and no file.
func (i *Server) ReadHistory(ctx context.Context, t platform.Timeline) (h platform.History, err error) {
	defer i.wrap(fmt.Sprintf("read the history of timeline %d of", t), &err)
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	return i.wal().readHistory(t)
}

func (w walFolder) readHistory(t platform.Timeline) (platform.History, error) {
	if t == 1 {
		return platform.History{}, nil
	}
	raw, err := w.owner.readFile(w.historyFile(t))
	if err != nil {
		return nil, err
	}
	if len(raw) > maxHistory {
		return nil, fmt.Errorf("%s has more than %d bytes: it is damaged", w.historyFile(t), maxHistory)
	}
	return ondisk.ParseHistory(string(raw))
}

// maxHistory is the most that is read of a history file, in bytes; a line takes less than a hundred.
const maxHistory = 1 << 20

func formatHistory(h platform.History) string {
	var b strings.Builder
	for _, f := range h {
		fmt.Fprintf(&b, "%d\t%s\tkept by Mainstay\n", f.Timeline, f.End)
	}
	return b.String()
}

// TimelineTakenError is returned when the number reserved for a promotion, or a higher one, is in pg_wal already.
type TimelineTakenError struct{ Want, Found platform.Timeline }

func (e *TimelineTakenError) Error() string {
	return fmt.Sprintf("timeline %d is wanted but pg_wal has timeline %d; the attempt needs a number that was never used", e.Want, e.Found)
}

// PrepareTimeline makes the next promotion take timeline want: PostgreSQL takes the first number without a history file.
// Every lower number gets its file, real where history knows it, reserved otherwise; replicas fetch them all later.
func (i *Server) PrepareTimeline(ctx context.Context, want platform.Timeline, history map[platform.Timeline]platform.History) (err error) {
	defer i.wrap(fmt.Sprintf("prepare timeline %d on", want), &err)
	have, err := i.wal().freeBelow(want)
	if err != nil {
		return err
	}
	for t := platform.Timeline(2); t < want; t++ {
		if err := ctx.Err(); err != nil {
			return err
		}
		text := reserved
		if h, ok := history[t]; ok {
			text = formatHistory(h)
		}
		if have[t] {
			continue
		}
		if err := i.Owner.writeFile(i.wal().historyFile(t), []byte(text), fileMode(i.Data)); err != nil {
			return err
		}
	}
	return nil
}

// free tells whether the next promotion can still take timeline want.
func (w walFolder) free(want platform.Timeline) error {
	_, err := w.freeBelow(want)
	return err
}

// freeBelow lists the timelines with a history file in pg_wal, all of which are below want, else it is an error.
func (w walFolder) freeBelow(want platform.Timeline) (map[platform.Timeline]bool, error) {
	have, err := w.historyNumbers()
	if err != nil {
		return nil, err
	}
	for _, t := range slices.Sorted(maps.Keys(have)) {
		if t >= want {
			return nil, &TimelineTakenError{want, t}
		}
	}
	return have, nil
}

// historyNumbers lists the timelines with a history file in pg_wal.
func (w walFolder) historyNumbers() (map[platform.Timeline]bool, error) {
	entries, err := os.ReadDir(w.dir())
	if err != nil {
		return nil, err
	}
	out := map[platform.Timeline]bool{}
	for _, e := range entries {
		if t, ok := ondisk.ParseHistoryName(e.Name()); ok {
			out[t] = true
		}
	}
	return out, nil
}

// dropReserved removes reserved numbers above the highest real timeline. They are left by an attempt that never
// promoted, and PostgreSQL, told to follow the latest timeline, would refuse to start as a standby: it takes the newest
// history file for its goal, and a reserved one descends from nothing. The controllers remember the numbers.
func (w walFolder) dropReserved() error {
	have, err := w.historyNumbers()
	if err != nil {
		return err
	}
	numbers := slices.Sorted(maps.Keys(have))
	for _, t := range slices.Backward(numbers) {
		raw, err := w.owner.readFile(w.historyFile(t))
		if err != nil {
			return err
		}
		if string(raw) != reserved {
			return nil
		}
		archived := filepath.Join(w.archiveStatus(), filepath.Base(w.historyFile(t)))
		err = errors.Join(w.owner.removeFile(w.historyFile(t)), w.owner.removeFile(archived+".ready"), w.owner.removeFile(archived+".done"))
		if err != nil {
			return err
		}
	}
	return nil
}

// foreignSuffix marks a history file that was set aside: PostgreSQL does not look at such names.
const foreignSuffix = ".foreign"

// SetAsideHistories sets aside, in pg_wal of a stopped standby, the history files that are not of the line of timeline t, and names them:
// those of later timelines, and those of its own that say otherwise. They come from an archive that another server writes to, such as a
// restore test, and a standby that follows the latest timeline would look for one that never was.
func (i *Server) SetAsideHistories(ctx context.Context, t platform.Timeline, line platform.History) (foreign []string, err error) {
	defer i.wrap("look for foreign timelines in", &err)
	if err := errors.Join(ctx.Err(), i.stopped()); err != nil {
		return nil, err
	}
	have, err := i.wal().historyNumbers()
	if err != nil {
		return nil, err
	}
	for _, n := range slices.Sorted(maps.Keys(have)) {
		raw, err := i.Owner.readFile(i.wal().historyFile(n))
		if err != nil {
			return foreign, err
		}
		if string(raw) == reserved || !isForeign(n, string(raw), t, line) {
			continue
		}
		if err := i.Owner.rename(i.wal().historyFile(n), i.wal().historyFile(n)+foreignSuffix); err != nil {
			return foreign, err
		}
		foreign = append(foreign, filepath.Base(i.wal().historyFile(n)))
	}
	unread, err := i.setAsideFetched(line)
	if unread != "" && !slices.Contains(foreign, unread) {
		foreign = append(foreign, unread)
	}
	return foreign, err
}

// fetchedHistory is the name under which PostgreSQL fetches any history file from an archive. A file that it cannot read keeps that name
// (RECOVERYHISTORY), and the server ends, again at each start that asks the archive.
const fetchedHistory = "RECOVERYHISTORY"

// restoredHistory finds in a log in English which history file was fetched.
var restoredHistory = regexp.MustCompile(`restored log file "([0-9A-F]{8}\.history)"`)

// setAsideFetched sets a fetched history file aside that is none of the line, and names it as far as that is known; "" for none.
func (i *Server) setAsideFetched(line platform.History) (name string, err error) {
	path := filepath.Join(i.wal().dir(), fetchedHistory)
	text, err := i.Owner.readIfThere(path)
	if err != nil || text == "" || text == reserved {
		return "", err
	}
	if h, err := ondisk.ParseHistory(text); err == nil && len(h) <= len(line) && slices.Equal(h, line[:len(h)]) {
		return "", nil
	}
	name = "a history file that PostgreSQL cannot read (its log has the name)"
	if all := restoredHistory.FindAllStringSubmatch(i.logged(origin{}, mostSaid, true), -1); all != nil {
		name = all[len(all)-1][1]
	}
	return name, i.Owner.rename(path, path+foreignSuffix)
}

// isForeign tells whether the text is not the history of timeline n, for those who are on timeline t.
func isForeign(n platform.Timeline, text string, t platform.Timeline, line platform.History) bool {
	if n > t {
		return true
	}
	at := slices.IndexFunc(line, func(f platform.Fork) bool { return f.Timeline == n })
	if n == t {
		at = len(line)
	}
	if at < 0 {
		return false // no part of the line, so no standby follows it
	}
	h, err := ondisk.ParseHistory(text)
	return err == nil && !slices.Equal(h, line[:at])
}
