package postgres

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"

	"mainstay/controller/platform"
)

// Recovering is what a server that takes no sessions yet is at, as the kernel and its files show it: it cannot be asked.
type Recovering struct {
	// Mark changes whenever its recovery gets on: by what it writes to its control file, by the WAL that it goes on to, receives or
	// restores.
	Mark string
	// Asks is where the WAL begins that it has not, and asks for; 0 where it does not say (update_process_title).
	Asks platform.LSN
	// Restoring: its restore_command runs.
	Restoring bool
}

// Titles of processes (set_ps_display): what the startup process reads or asks for, and how far the WAL receiver is.
var (
	startupTitle  = regexp.MustCompile(`^postgres: (?:.*: )?startup(?: (waiting for|recovering) ([0-9A-F]{24}))?`)
	receiverTitle = regexp.MustCompile(`^postgres: (?:.*: )?walreceiver.* streaming ([0-9A-F]+/[0-9A-F]+)`)
)

// title is a process's command line as it shows it.
func title(pid int) string {
	raw, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid)) // it may have ended since
	return strings.TrimSpace(strings.ReplaceAll(string(raw), "\x00", " "))
}

// Recovering looks at a server that takes no sessions yet.
func (i *Instance) Recovering(ctx context.Context) (r Recovering, err error) {
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
				r.Mark += " segment " + m[2][8:] // where timelines meet it asks for that of each, again and again
			}
			if m[1] == "waiting for" {
				asked = m[2]
			}
			raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
			r.Restoring = err == nil && len(strings.TrimSpace(string(raw))) > 0
		case receiverTitle.MatchString(t):
			r.Mark += " received " + receiverTitle.FindStringSubmatch(t)[1]
		}
	}
	r.Mark += " written " + strconv.FormatInt(i.origin().control.UnixNano(), 10)
	if f, err := i.Owner.stat(filepath.Join(i.walDir(), "RECOVERYXLOG")); err == nil { // what a restore_command writes to
		r.Mark += fmt.Sprintf(" restored %d of %d", f.Size(), f.ModTime().UnixNano())
	}
	if asked == "" || r.Restoring {
		return r, nil
	}
	r.Asks, err = i.asks(ctx, asked)
	return r, err
}

// asks is where the WAL begins that recovery needs which asks for a segment. While it looks for its checkpoint, its stream begins at that
// one's redo point.
func (i *Instance) asks(ctx context.Context, name string) (platform.LSN, error) {
	c, native, err := i.control(ctx)
	if err != nil || !native {
		return 0, err
	}
	s, ok := parseSegment(name, c.SegmentSize)
	if !ok {
		return 0, nil
	}
	at := platform.LSN(s.number * c.SegmentSize)
	if uint64(c.Checkpoint)/c.SegmentSize != s.number || c.Redo >= at {
		return at, nil
	}
	redo := segment{c.Timeline, uint64(c.Redo) / c.SegmentSize}
	if exists(filepath.Join(i.walDir(), redo.name(c.SegmentSize))) {
		return at, nil
	}
	return platform.LSN(redo.number * c.SegmentSize), nil
}
