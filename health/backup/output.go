package backup

import (
	"bufio"
	"io"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"

	"mainstay/controller/platform"
)

// serverOutput is what a server says, in English and with SQLSTATEs first: see scratch.settings.
type serverOutput struct {
	ready chan struct{} // closed when the server takes writes
	over  chan struct{} // closed at the end of the output, when no process has it any more
	lines atomic.Int64
	at    atomic.Uint64 // the LSN that replay has told last

	mu    sync.Mutex
	kept  []string // the last lines
	fatal string   // the first line that tells why it ends
}

func newServerOutput() *serverOutput {
	return &serverOutput{ready: make(chan struct{}), over: make(chan struct{})}
}

const (
	keptLines   = 30
	longestLine = 2000
)

// read takes the output to its end. A line is cut where it is long: a server quotes statements.
func (o *serverOutput) read(r io.Reader) {
	defer close(o.over)
	in := bufio.NewReaderSize(r, longestLine)
	for amid := false; ; {
		line, more, err := in.ReadLine()
		if err != nil {
			return
		}
		if !amid {
			o.take(strings.TrimSpace(string(line)))
		}
		amid = more
	}
}

const readyText = "LOG:  database system is ready to accept connections"

var progressAt = regexp.MustCompile(`current LSN: ([0-9A-F]+/[0-9A-F]+)`)

// graver are the severities that tell of the end, the gravest first.
var graver = []string{" PANIC:  ", " FATAL:  "}

func (o *serverOutput) take(line string) {
	o.lines.Add(1)
	o.mu.Lock()
	defer o.mu.Unlock()
	o.kept = append(o.kept, line)
	if len(o.kept) > keptLines {
		o.kept = o.kept[1:]
	}
	for _, severity := range graver {
		if strings.Contains(line, severity) && (o.fatal == "" || severity == graver[0] && !strings.Contains(o.fatal, severity)) {
			o.fatal = line
		}
	}
	if m := progressAt.FindStringSubmatch(line); m != nil {
		if at, err := platform.ParseLSN(m[1]); err == nil {
			o.at.Store(uint64(at))
		}
	}
	if strings.HasSuffix(line, readyText) {
		select {
		case <-o.ready: // a second time, after a crash
		default:
			close(o.ready)
		}
	}
}

// why is the line that tells why the server has ended; "" for none.
func (o *serverOutput) why() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.fatal
}

// last are the last lines, for a message.
func (o *serverOutput) last() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return strings.Join(o.kept[max(0, len(o.kept)-3):], " | ")
}
