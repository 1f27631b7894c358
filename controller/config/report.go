package config

import (
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// where is a place in a file under its two names: key finds its node (entries of lists by number), show is for the operator (entries by
// name).
type where struct{ key, show string }

// field is the place of a key of a section.
func (w where) field(name string) where {
	if w.key == "" {
		return where{name, name}
	}
	return where{w.key + "." + name, w.show + "." + name}
}

// item is the place of entry i of a list; a usable name is shown instead of the number.
func (w where) item(i int, name string) where {
	n := strconv.Itoa(i)
	if !isName(name) {
		name = n
	}
	return where{w.key + "[" + n + "]", w.show + "[" + name + "]"}
}

// report collects the mistakes of one file. The checks that follow the reading report nothing about a place that could not be read: one
// cause, one mistake.
type report struct {
	file   string
	nodes  map[string]*yaml.Node // by where.key; empty for a value that is not from a file
	broken map[string]bool       // by where.key: reported while reading
	found  Mistakes
}

func newReport(file string) *report {
	return &report{file: file, nodes: map[string]*yaml.Node{}, broken: map[string]bool{}}
}

// unread reports a node that could not be read, and suppresses later checks of its place.
func (r *report) unread(n *yaml.Node, at where, what, do string) {
	r.broken[at.key] = true
	r.found = append(r.found, Mistake{File: r.file, Line: n.Line, Column: n.Column, Path: at.show, What: what, Do: do})
}

// add reports a wrong value at its own line, or a missing one at the line of its section.
func (r *report) add(at where, what, do string) {
	m := Mistake{File: r.file, Path: at.show, What: what, Do: do}
	for key := at.key; ; key = parent(key) {
		if r.broken[key] {
			return
		}
		if n := r.nodes[key]; n != nil && m.Line == 0 {
			m.Line, m.Column = n.Line, n.Column
		}
		if key == "" {
			break
		}
	}
	r.found = append(r.found, m)
}

// given tells whether the file has a value there.
func (r *report) given(at where) bool { return r.nodes[at.key] != nil }

// line is the line of a value, for a message about another one: " at line 7", or "" where it has no line.
func (r *report) line(at where) string {
	if n := r.nodes[at.key]; n != nil {
		return " at line " + strconv.Itoa(n.Line)
	}
	return ""
}

// parent is the key of the section or list that contains a key.
func parent(key string) string {
	return key[:max(0, strings.LastIndexAny(key, ".["))]
}
