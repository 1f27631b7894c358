// Package render turns what the API answers into text for an operator's screen: the status screen, explain, history,
// tables.
//
// It is pure: no clock, no I/O, no environment; the caller chooses whether to use colours. Values of controller/wire,
// controller/state and health come in from the verbs of cmd/mainstay, text goes back to them. It must never judge: the
// controllers decide what is a problem, which member would be promoted, and why; this package only lays it out.
package render

import (
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// Options says how to draw. The zero value is plain text.
type Options struct {
	Color bool
}

// style is an SGR code of ECMA-48; "" is plain.
type style string

const (
	plain  style = ""
	bold   style = "1"
	dim    style = "2"
	red    style = "31"
	green  style = "32"
	yellow style = "33"
)

func (o Options) paint(s style, text string) string {
	if !o.Color || s == plain || text == "" {
		return text
	}
	return "\x1b[" + string(s) + "m" + text + "\x1b[0m"
}

// cell is one field of a table. Colours are added after the widths are known.
type cell struct {
	text  string
	style style
}

// row is a line of a table with the remarks below it.
type row struct {
	cells []cell
	below []cell
}

func texts(words ...string) row {
	var r row
	for _, w := range words {
		r.cells = append(r.cells, cell{text: w})
	}
	return r
}

// table lays rows out in columns, two blanks apart, each line after indent. An empty head is left out.
func (o Options) table(indent string, head []string, rows []row) string {
	if len(head) > 0 {
		h := texts(head...)
		for i := range h.cells {
			h.cells[i].style = dim
		}
		rows = slices.Insert(slices.Clone(rows), 0, h)
	}
	widths := widthsOf(rows)
	var b strings.Builder
	for _, r := range rows {
		b.WriteString(indent + o.line(r.cells, widths) + "\n")
		for _, c := range r.below {
			b.WriteString(indent + "  " + o.paint(c.style, c.text) + "\n")
		}
	}
	return b.String()
}

func widthsOf(rows []row) (widths []int) {
	for _, r := range rows {
		for i, c := range r.cells {
			if i == len(widths) {
				widths = append(widths, 0)
			}
			widths[i] = max(widths[i], utf8.RuneCountInString(c.text))
		}
	}
	return widths
}

// line pads every cell but the last that has text, so that no line ends in blanks.
func (o Options) line(cells []cell, widths []int) string {
	last := 0
	for i, c := range cells {
		if c.text != "" {
			last = i
		}
	}
	var b strings.Builder
	for i, c := range cells[:min(last+1, len(cells))] {
		b.WriteString(o.paint(c.style, c.text))
		if i < last {
			b.WriteString(strings.Repeat(" ", widths[i]-utf8.RuneCountInString(c.text)+2))
		}
	}
	return b.String()
}

// Table lays out plain words under a head, for the verbs that show only a list.
func Table(head []string, lines [][]string, o Options) string {
	var rows []row
	for _, l := range lines {
		rows = append(rows, texts(l...))
	}
	return o.table("", head, rows)
}

// Span prints a duration as people read it: 340ms, 4.2s, 3m10s, 2h5m.
func Span(d time.Duration) string {
	switch {
	case d < 0:
		return "-" + Span(-d)
	case d < time.Second:
		return d.Round(time.Millisecond).String()
	case d < time.Minute:
		return d.Round(100 * time.Millisecond).String()
	case d < time.Hour:
		return withoutSeconds(d.Round(time.Second).String())
	}
	return withoutSeconds(d.Round(time.Minute).String())
}

// withoutSeconds turns 3m0s into 3m.
func withoutSeconds(s string) string {
	if strings.HasSuffix(s, "m0s") {
		return strings.TrimSuffix(s, "0s")
	}
	return s
}

// Bytes prints a number of bytes in the largest unit that keeps it readable.
func Bytes(n int64) string {
	const unit = 1024
	if n < unit {
		return fmt.Sprintf("%d B", n)
	}
	f, suffix := float64(n), ""
	for _, suffix = range []string{"kB", "MB", "GB", "TB"} {
		if f /= unit; f < unit {
			break
		}
	}
	return fmt.Sprintf("%.1f %s", f, suffix)
}

// count prints a number of things: 1 member, 2 members.
func count(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return fmt.Sprintf("%d %ss", n, thing)
}

// or gives the first text that is not empty.
func or(words ...string) string {
	for _, w := range words {
		if w != "" {
			return w
		}
	}
	return ""
}
