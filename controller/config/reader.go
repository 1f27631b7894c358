package config

import (
	"fmt"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// maxNodes bounds the values of a file with its aliases followed, and maxMerge the nesting of << sections: a page of YAML can expand to
// a billion values, or refer to itself.
const (
	maxNodes = 200_000
	maxMerge = 8
)

// reader walks a document along the expected keys, never along keys that only the file has.
type reader struct {
	*report
	left int // values that may still be visited
}

// reading stores one value at its destination. The node is neither an alias nor null.
type reading func(n *yaml.Node, at where)

// field is a key of a section, and how its value is read.
type field struct {
	key  string
	read reading
}

// renamed has the keys that files of earlier builds may have, which are still read, and the keys that replaced them. Messages name
// the new key, at the line of the old one.
var renamed = map[string]string{"witness": "reachable-by"}

// find is the field of a key, under that key or the one that replaced it; -1 for none.
func find(fields []field, key string) int {
	for _, k := range []string{key, renamed[key]} {
		if i := slices.IndexFunc(fields, func(f field) bool { return f.key == k }); i >= 0 {
			return i
		}
	}
	return -1
}

// readFile parses a text and reads its top section.
func readFile(file string, data []byte, fields func(r *reader) []field) *report {
	r := &reader{report: newReport(file), left: maxNodes}
	if root := r.parse(data); root != nil {
		r.value(root, where{}, r.section(fields(r)...))
	}
	return r.report
}

// value follows an alias and reads the value.
func (r *reader) value(n *yaml.Node, at where, read reading) {
	if !r.spend(n) {
		return
	}
	r.nodes[at.key] = n
	if n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	if isNull(n) {
		r.unread(n, at, "has no value", "give it one, or delete the key")
		return
	}
	read(n, at)
}

// spend counts one more value, and reports once that there are too many.
func (r *reader) spend(n *yaml.Node) bool {
	r.left--
	if r.left == 0 {
		r.unread(n, where{}, "more than 200,000 values, aliases followed", "use fewer aliases")
	}
	return r.left > 0
}

// section reads a mapping with exactly these keys, each optional.
func (r *reader) section(fields ...field) reading {
	return func(n *yaml.Node, at where) {
		first := map[string]*yaml.Node{} // the key of each field so far
		for _, p := range r.pairs(n, at) {
			i := find(fields, p.key.Value)
			if i < 0 {
				r.unknown(p.key, at, fields)
				continue
			}
			key := fields[i].key
			if k := first[key]; k != nil {
				r.unread(p.key, at.field(p.key.Value), fmt.Sprintf("means the same as %s at line %d", k.Value, k.Line), "keep "+key+" only")
				continue
			}
			first[key] = p.key
			r.value(p.value, at.field(key), fields[i].read)
		}
	}
}

// unknown reports a key that the section does not have. If it is a misspelt key, that key is not reported as missing too.
func (r *reader) unknown(k *yaml.Node, at where, fields []field) {
	key, do := meant(k.Value, fields)
	if key != "" {
		r.broken[at.field(key).key] = true
	}
	r.unread(k, at.field(label(k.Value)), "unknown key", do)
}

// label makes a key from the file fit for a path.
func label(key string) string {
	if key == "" || len(key) > 60 || strings.ContainsFunc(key, func(c rune) bool { return c <= ' ' || c == 0x7f }) {
		return quote(key)
	}
	return key
}

// pair is a key of a section with its value.
type pair struct{ key, value *yaml.Node }

// pairs returns the keys of a section once each: its own, then those that << merges into it.
func (r *reader) pairs(n *yaml.Node, at where) []pair {
	return r.pairsInto(n, at, map[string]bool{}, 0)
}

// pairsInto omits the keys in seen and adds its own to it: a section's own keys override those merged into it. A key repeated within
// one section is a mistake.
func (r *reader) pairsInto(n *yaml.Node, at where, seen map[string]bool, depth int) (out []pair) {
	if n.Kind != yaml.MappingNode {
		r.unread(n, at, "is "+kindOf(n)+", not a section", "write `key: value` lines below it")
		return nil
	}
	var merges []*yaml.Node
	own := map[string]int{} // key to line
	for i := 0; i+1 < len(n.Content); i += 2 {
		k, v := n.Content[i], n.Content[i+1]
		switch {
		case !r.spend(k):
			return out
		case k.Kind != yaml.ScalarNode:
			r.unread(k, at, "a key is not a word", "write `key: value` lines below it")
		case k.ShortTag() == "!!merge":
			merges = append(merges, v)
		case own[k.Value] > 0:
			r.unread(k, at.field(label(k.Value)), fmt.Sprintf("is given twice, first at line %d", own[k.Value]),
				"delete one of them")
		default:
			own[k.Value] = k.Line
			if !seen[k.Value] {
				seen[k.Value] = true
				out = append(out, pair{k, v})
			}
		}
	}
	for _, m := range merges {
		out = append(out, r.merge(m, at, seen, depth+1)...)
	}
	return out
}

// merge returns the keys of the section or list of sections after <<.
func (r *reader) merge(n *yaml.Node, at where, seen map[string]bool, depth int) (out []pair) {
	if depth > maxMerge {
		r.unread(n, at.field("<<"), "merges too many sections into each other", "write the keys out")
		return nil
	}
	if n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	if n.Kind != yaml.SequenceNode {
		return r.pairsInto(n, at, seen, depth)
	}
	for _, c := range n.Content {
		if !r.spend(c) {
			break
		}
		out = append(out, r.merge(c, at, seen, depth+1)...)
	}
	return out
}

// list reads every entry of a list into dst. An entry that cannot be read leaves a zero value, so that numbers stay right.
func list[T any](r *reader, dst *[]T, read func(n *yaml.Node, at where, into *T)) reading {
	return func(n *yaml.Node, at where) {
		if n.Kind != yaml.SequenceNode {
			r.unread(n, at, "is "+kindOf(n)+", not a list", "write `- entry` lines below it, or [entries]")
			return
		}
		if len(n.Content) == 0 {
			r.unread(n, at, "is empty", "add an entry, or delete the key")
			return
		}
		for i, c := range n.Content {
			var v T
			r.value(c, at.item(i, nameOf(c)), func(n *yaml.Node, at where) { read(n, at, &v) })
			*dst = append(*dst, v)
		}
	}
}

// named reads a section whose keys are names that the operator chose. A later mistake about an entry shows at its key.
func named[T any](r *reader, dst *map[string]T, read func(n *yaml.Node, at where, into *T)) reading {
	return func(n *yaml.Node, at where) {
		for _, p := range r.pairs(n, at) {
			var v T
			r.value(p.value, at.field(label(p.key.Value)), func(n *yaml.Node, at where) { read(n, at, &v) })
			r.nodes[at.field(label(p.key.Value)).key] = p.key
			if *dst == nil {
				*dst = map[string]T{}
			}
			(*dst)[p.key.Value] = v
		}
	}
}

// nameOf is the name in an entry of a list, for messages about it.
func nameOf(n *yaml.Node) string {
	if n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	for i := 0; n.Kind == yaml.MappingNode && i+1 < len(n.Content); i += 2 {
		if v := n.Content[i+1]; n.Content[i].Value == "name" && v.Kind == yaml.ScalarNode {
			return v.Value
		}
	}
	return ""
}
