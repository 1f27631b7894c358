package ondisk

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"mainstay/controller/platform"
)

// Segment is one WAL file.
type Segment struct {
	Timeline platform.Timeline
	Number   uint64 // position divided by the segment's size
}

var segmentName = regexp.MustCompile(`^[0-9A-F]{24}$`)

// Name is that of the file, for segments of size bytes.
func (s Segment) Name(size uint64) string {
	per := (1 << 32) / size
	return fmt.Sprintf("%08X%08X%08X", uint32(s.Timeline), s.Number/per, s.Number%per)
}

// ParseSegment is the inverse of Name; false for the name of anything else.
func ParseSegment(name string, size uint64) (Segment, bool) {
	if !segmentName.MatchString(name) {
		return Segment{}, false
	}
	t, _ := strconv.ParseUint(name[:8], 16, 32)
	hi, _ := strconv.ParseUint(name[8:16], 16, 32)
	lo, _ := strconv.ParseUint(name[16:], 16, 32)
	return Segment{platform.Timeline(t), hi*((1<<32)/size) + lo}, true
}

// HistoryName is that of a timeline's history file.
func HistoryName(t platform.Timeline) string { return fmt.Sprintf("%08X.history", uint32(t)) }

// ParseHistoryName is the inverse of HistoryName.
func ParseHistoryName(name string) (platform.Timeline, bool) {
	hex, ok := strings.CutSuffix(name, ".history")
	n, err := strconv.ParseUint(hex, 16, 32)
	return platform.Timeline(n), ok && len(hex) == 8 && err == nil
}

// ParseHistory reads a history file: lines of timeline, tab, position, tab, reason; blank lines and comments are skipped.
func ParseHistory(text string) (platform.History, error) {
	h := platform.History{}
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		if len(f) == 0 || strings.HasPrefix(f[0], "#") {
			continue
		}
		if len(f) < 2 {
			return nil, fmt.Errorf("history line %q has no position", strings.TrimSpace(line))
		}
		n, err := strconv.ParseUint(f[0], 10, 32)
		if err != nil {
			return nil, fmt.Errorf("history line %q: %w", strings.TrimSpace(line), err)
		}
		end, err := platform.ParseLSN(f[1])
		if err != nil {
			return nil, err
		}
		h = append(h, platform.Fork{Timeline: platform.Timeline(n), End: end})
	}
	return h, nil
}
