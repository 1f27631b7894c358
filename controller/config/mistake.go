package config

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Mistake is one fault at one place of a file, with its remedy.
type Mistake struct {
	File   string `json:"file,omitempty"`   // as the caller named it; empty for a value that is not from a file
	Line   int    `json:"line,omitempty"`   // from 1; 0 where it concerns no line
	Column int    `json:"column,omitempty"` // from 1; 0 where only the line is known
	Path   string `json:"path,omitempty"`   // clusters[feed].members[feed-e1].host; empty for the file as a whole
	What   string `json:"what"`             // what is wrong
	Do     string `json:"do"`               // the remedy

	cause error // from the operating system, for errors.Is; nil for a mistake in the text
}

// Error prints file:line:column: path: fault; remedy.
func (m Mistake) Error() string {
	var b strings.Builder
	b.WriteString(m.File)
	if m.Line > 0 {
		fmt.Fprintf(&b, ":%d", m.Line)
		if m.Column > 0 {
			fmt.Fprintf(&b, ":%d", m.Column)
		}
	}
	for _, s := range []string{m.Path, m.What} {
		if b.Len() > 0 && s != "" {
			b.WriteString(": ")
		}
		b.WriteString(s)
	}
	b.WriteString("; ")
	b.WriteString(m.Do)
	return b.String()
}

// Unwrap returns the operating system's error, so that errors.Is(err, fs.ErrNotExist) finds a missing file.
func (m Mistake) Unwrap() error { return m.cause }

// Mistakes is every mistake of a file, in the order of its lines. A function of this package that returns an error
// returns a Mistakes with at least one entry.
type Mistakes []Mistake

// Error prints each mistake on its own line.
func (ms Mistakes) Error() string {
	lines := make([]string, len(ms))
	for i, m := range ms {
		lines[i] = m.Error()
	}
	return strings.Join(lines, "\n")
}

// Unwrap returns all mistakes, for errors.Is and errors.As.
func (ms Mistakes) Unwrap() []error {
	errs := make([]error, len(ms))
	for i, m := range ms {
		errs[i] = m
	}
	return errs
}

// err returns the mistakes in the order of the file, or nil where there are none.
func (ms Mistakes) err() error {
	if len(ms) == 0 {
		return nil
	}
	slices.SortStableFunc(ms, func(a, b Mistake) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
	return ms
}

// quote prints a value from a file inside a message: quoted, and cut if it is very long.
func quote(s string) string {
	const most = 60
	if r := []rune(s); len(r) > most {
		s = string(r[:most]) + "…"
	}
	return fmt.Sprintf("%q", s)
}

// some lists names in a message, the first few of many.
func some(names []string) string {
	const most = 8
	if len(names) > most {
		return fmt.Sprintf("%s and %d more", strings.Join(names[:most], ", "), len(names)-most)
	}
	return strings.Join(names, ", ")
}
