package postgres

import (
	"context"
	"fmt"
	"hash/fnv"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"mainstay/controller/platform"
)

// Recovering is the progress of a server that takes no sessions yet, as the kernel and its files show it: it cannot be asked.
type Recovering struct {
	// Segment is the last segment of WAL that it has come to, as its name without the timeline: where timelines meet it asks for that of each,
	// again and again. One that lacks WAL also goes back to the one before, again and again: only a later one shows progress.
	Segment string
	// Reached is where that segment begins; 0 if unknown.
	Reached platform.LSN
	// Mark changes whenever its recovery advances: by what it writes to its control file, by the WAL that it receives or restores, by other
	// files that it opens, and by what it reads from disk. It needs no titles of processes (update_process_title).
	Mark string
	// Asks is where the WAL begins that it has not, and asks for; 0 where it does not say (update_process_title).
	Asks platform.LSN
	// Restoring: its restore_command runs.
	Restoring bool
}

// Titles of processes (set_ps_display): what the startup process reads or asks for, and how far the WAL receiver is. With
// update_process_title off they end before that.
var (
	startupTitle  = regexp.MustCompile(`^postgres: (?:.*: )?startup(?: (waiting for|recovering) ([0-9A-F]{24}))?`)
	receiverTitle = regexp.MustCompile(`^postgres: (?:.*: )?walreceiver(?:.* streaming ([0-9A-F]+/[0-9A-F]+))?`)
)

// title is a process's command line as it shows it.
func title(pid int) string {
	raw, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid)) // it may have ended since
	return strings.TrimSpace(strings.ReplaceAll(string(raw), "\x00", " "))
}

// Recovering observes a server that takes no sessions yet.
func (i *Server) Recovering(ctx context.Context) (r Recovering, err error) {
	defer i.wrap("look at the recovery of", &err)
	children, err := i.children()
	if err != nil {
		return r, err
	}
	asked := ""
	for _, pid := range children {
		switch t := title(pid); {
		case startupTitle.MatchString(t):
			m := startupTitle.FindStringSubmatch(t)
			if m[2] != "" {
				r.Segment = max(r.Segment, m[2][8:])
			}
			if m[1] == "waiting for" {
				asked = m[2]
			}
			i.startup(pid, m[2] == "", &r)
		case receiverTitle.MatchString(t):
			if at := receiverTitle.FindStringSubmatch(t)[1]; at != "" {
				r.Mark += " received " + at
				continue
			}
			open, _ := i.open(pid)
			for _, path := range open {
				if f, err := i.Owner.stat(path); err == nil {
					r.Mark += fmt.Sprintf(" received %s %d", filepath.Base(path), f.ModTime().UnixNano())
				}
			}
		}
	}
	r.Mark += " written " + strconv.FormatInt(i.controlWritten().UnixNano(), 10)
	if f, err := i.Owner.stat(filepath.Join(i.wal().dir(), "RECOVERYXLOG")); err == nil { // what a restore_command writes to
		r.Mark += fmt.Sprintf(" restored %d of %d", f.Size(), f.ModTime().UnixNano())
	}
	if r.Segment == "" {
		return r, nil
	}
	c, native, err := i.control(ctx)
	if err != nil || !native {
		return r, err
	}
	if s, ok := parseSegment("00000001"+r.Segment, c.SegmentSize); ok {
		r.Reached = platform.LSN(s.number * c.SegmentSize)
	}
	if asked != "" && !r.Restoring {
		r.Asks = i.wal().asks(c, asked)
	}
	return r, nil
}

// Restoring tells whether a standby's restore_command runs. Before 15 no wait event shows that, only the startup process's child.
func (i *Server) Restoring() (bool, error) {
	children, err := i.children()
	for _, pid := range children {
		if startupTitle.MatchString(title(pid)) {
			return restores(pid), nil
		}
	}
	return false, err
}

// restores tells whether a startup process has a child.
func restores(pid int) bool {
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
	return err == nil && len(strings.TrimSpace(string(raw))) > 0
}

// startup looks at the startup process. Before recovery it opens each file of the data to sync it, which may take long on each. One
// without a title shows its progress by its use of the processor.
func (i *Server) startup(pid int, untitled bool, r *Recovering) {
	r.Restoring = restores(pid)
	wal, others := i.open(pid)
	for _, path := range wal {
		r.Segment = max(r.Segment, filepath.Base(path)[8:])
	}
	names := fnv.New64()
	for _, path := range others {
		names.Write([]byte(path + "\x00"))
	}
	r.Mark += fmt.Sprintf(" opened %x", names.Sum64())
	io, _ := os.ReadFile(fmt.Sprintf("/proc/%d/io", pid)) // it may have ended since
	if m := diskReads.FindSubmatch(io); m != nil {
		r.Mark += fmt.Sprintf(" read %s", m[1])
	}
	if st, err := readStat(pid); untitled && err == nil {
		r.Mark += fmt.Sprintf(" worked %d", st.used/workedFor)
	}
}

// workedFor is how much of a processor's time shows that a recovery advances. One that lacks WAL, and looks for it 20 times a second,
// uses as much only in many minutes; one that reads its WAL from memory, in as long as it says, or little more.
const workedFor = 30 * time.Second

// diskReads finds how much a process has read from disks (proc_pid_io(5)). Reads from memory show nothing: one that lacks WAL
// reads the same again and again.
var diskReads = regexp.MustCompile(`(?m)^read_bytes: (\d+)$`)

// open lists the segments of WAL, and the other files of its data, that a process of the server has open.
func (i *Server) open(pid int) (wal, others []string) {
	data, walDir := real(i.Data), real(i.wal().dir())
	dir := fmt.Sprintf("/proc/%d/fd", pid)
	links, _ := os.ReadDir(dir) // it may have ended since
	for _, l := range links {
		path, _ := os.Readlink(filepath.Join(dir, l.Name()))
		switch {
		case filepath.Dir(path) == walDir:
			if segmentName.MatchString(filepath.Base(path)) {
				wal = append(wal, path)
			}
		case strings.HasPrefix(path, data+"/") || strings.Contains(path, "/PG_"): // a tablespace has a folder of that name
			others = append(others, path)
		}
	}
	slices.Sort(others)
	return wal, others
}

// asks is where the WAL begins that a recovery needs which asks for this segment. A recovery that searches for its checkpoint streams from
// the checkpoint's redo point.
func (w walFolder) asks(c Control, name string) platform.LSN {
	s, ok := parseSegment(name, c.SegmentSize)
	if !ok {
		return 0
	}
	at := platform.LSN(s.number * c.SegmentSize)
	if uint64(c.Checkpoint)/c.SegmentSize != s.number || c.Redo >= at {
		return at
	}
	redo := segment{c.Timeline, uint64(c.Redo) / c.SegmentSize}
	if exists(filepath.Join(w.dir(), redo.name(c.SegmentSize))) {
		return at
	}
	return platform.LSN(redo.number * c.SegmentSize)
}
