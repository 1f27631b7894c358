package render

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"mainstay/health/integrity"
)

// Scan is what was read of a data directory.
type Scan struct {
	Directory string              `json:"directory"`
	Running   bool                `json:"running"`         // a server was using it
	Checksums bool                `json:"checksums"`       // its pages have checksums
	Took      time.Duration       `json:"took"`            // nanoseconds
	Ended     string              `json:"ended,omitempty"` // why the scan ended before the last page
	Findings  []integrity.Finding `json:"findings"`        // the first ones; the result counts all
	ZeroRuns  int                 `json:"zeroRuns"`        // of pages without content before one that has some
	Result    integrity.Result    `json:"result"`
}

// Scanned is the report on a scan: what was read, what was found, and what is not verified.
func Scanned(s Scan, o Options) string {
	r := &s.Result
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %s read in %s, %s of %s\n", s.Directory, Bytes(r.Bytes), s.Took.Round(100*time.Millisecond),
		number(r.Blocks, "page"), number(r.Files, "file"))
	fmt.Fprintf(&b, "verified by checksum %d, by header only %d, without content %d, damaged %d\n", r.Verified, r.HeaderOnly, r.Zero, r.Bad)
	if !s.Checksums {
		b.WriteString(o.paint(yellow, "no checksums") + ": a page that holds other values than PostgreSQL wrote looks the same; " +
			"pg_checksums --enable, on a stopped server, adds them\n")
	}
	var rows []row
	for _, f := range s.Findings {
		settled := "yes"
		if !f.Settled {
			settled = "not yet"
		}
		rows = append(rows, texts(f.Path, strconv.FormatUint(uint64(f.Number), 10), string(f.Kind), settled, f.Detail))
	}
	if len(rows) > 0 {
		b.WriteString("\n" + o.table("", []string{"FILE", "BLOCK", "DAMAGE", "SETTLED", "EVIDENCE"}, rows))
	}
	if s.ZeroRuns > 0 {
		b.WriteString(count(s.ZeroRuns, "run") + " of pages without content lie between others: PostgreSQL leaves such runs when it crashes " +
			"while it extends a file, and a page that was zeroed looks the same\n")
	}
	for _, why := range slices.Sorted(maps.Keys(r.Skipped)) {
		fmt.Fprintf(&b, "not verified, %s: %s, %s\n", why, number(r.Skipped[why].Files, "file"), number(r.Skipped[why].Blocks, "page"))
	}
	b.WriteString("\n" + verdictOf(s, o) + "\n")
	return b.String()
}

func verdictOf(s Scan, o Options) string {
	found := s.Result.Settled + s.Result.Unsettled
	switch {
	case s.Ended != "" && found == 0:
		return o.paint(yellow, "not finished") + ": " + s.Ended
	case found == 0:
		return o.paint(green, "no damage found") + " in what was read"
	case s.Result.Settled == 0:
		return o.paint(yellow, "suspect") + ": the server runs, and its next checkpoint may mend that; scan again after it"
	}
	return o.paint(red, "damaged") + fmt.Sprintf(": %s, %d of them settled", number(found, "finding"), s.Result.Settled)
}

func number(n int64, thing string) string { return count(int(n), thing) }
