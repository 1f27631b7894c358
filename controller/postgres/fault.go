package postgres

import (
	"context"
	"errors"
	"io"
	"os"
	"regexp"
	"strings"
	"time"
)

// Fault says why a server that was started ended before it answered once.
type Fault struct {
	// Said is what it wrote to its log, the line that tells most; "" where it wrote nothing there.
	Said string
	// Data: its data may be at fault. Recovery had begun, or found nothing to begin with. Otherwise the server ended before that:
	// for its address, a library, a setting, a permission, the memory of its host.
	Data bool
}

// origin is how things stood before a start.
type origin struct {
	control time.Time // when the control file was written last: the beginning of a recovery writes it (UpdateControlFile in StartupXLOG)
	log     int64     // where the log ended
}

func (i *Instance) origin() (o origin) {
	if f, err := i.Owner.stat(i.controlFile()); err == nil {
		o.control = f.ModTime()
	}
	if f, err := i.Owner.stat(i.Log); err == nil {
		o.log = f.Size()
	}
	return o
}

func (o Owner) stat(path string) (os.FileInfo, error) {
	f, err := o.open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return f.Stat()
}

// Fault looks into a server that we started and that has ended.
func (i *Instance) Fault(ctx context.Context, p *Process) (f Fault) {
	f.Said = firstWords(i.Owner.tail(i.Log, p.origin.log, mostSaid))
	if i.origin().control != p.origin.control {
		f.Data = true
		return f
	}
	_, err := i.EndOfWAL(ctx)
	var none *NoWALError
	f.Data = errors.As(err, &none) || errors.Is(err, ErrCorruptControl)
	return f
}

// mostSaid bounds what is read of a server's log.
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

// reason finds a line that says why a server ended; severity words but PANIC are translated, and in most languages FATAL is the same.
var reason = regexp.MustCompile(`\b(?:FATAL|PANIC):\s+(.*)|\bLOG:\s+((?:could not|invalid|unrecognized|syntax error) .*)`)

// firstWords is the first reason in a log: what follows is mostly its consequence.
func firstWords(log string) string {
	last := ""
	for _, line := range strings.Split(log, "\n") {
		if m := reason.FindStringSubmatch(line); m != nil {
			return m[1] + m[2]
		}
		if line = strings.TrimSpace(line); line != "" {
			last = line
		}
	}
	return last
}
