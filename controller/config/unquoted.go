package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"regexp"
	"sort"
	"strings"

	"go.yaml.in/yaml/v3"
)

// An IPv6 address needs quotes in many places: YAML takes its bracket for the beginning of a list, or its colons for a section's.

// bareAddress matches quoted text, comments, and possible IPv6 addresses outside of them. The first group is such an address with the
// URL or the port around it; the second or the third is the address alone.
var bareAddress = regexp.MustCompile(`"(?:\\.|[^"\\\n])*"|'[^'\n]*'|(?m:(?:^|\s)#.*$)|` +
	`((?:[a-z]+://)?\[([0-9A-Fa-f.:]*:[0-9A-Fa-f.:]*(?:%\w+)?)\](?:[:/][^\s,{}\[\]]*)?|([0-9A-Fa-f]*:[0-9A-Fa-f]*:[0-9A-Fa-f.:]*))`)

// piece is a part of a text, by its offsets.
type piece struct{ from, to int }

// bareAddresses returns the addresses without quotes, most of which need none.
func bareAddresses(data []byte) (found []piece) {
	for _, m := range bareAddress.FindAllSubmatchIndex(data, -1) {
		for group := 4; group <= 6; group += 2 {
			if m[group] < 0 {
				continue
			}
			if _, err := netip.ParseAddr(string(data[m[group]:m[group+1]])); err == nil {
				found = append(found, piece{m[2], m[3]})
			}
		}
	}
	return found
}

// unquoted finds the first IPv6 address without quotes that keeps a text from being YAML; the parser names another line. It reports the
// address only if the text with all of them quoted is YAML.
func (r *report) unquoted(data []byte) (Mistake, bool) {
	found := bareAddresses(data)
	works := func(bare int) bool { return isYAML(quoteAll(data, found[bare:])) }
	if len(found) == 0 || !works(0) {
		return Mistake{}, false
	}
	bad := sort.Search(len(found), func(n int) bool { return !works(n + 1) })
	if bad == len(found) {
		return Mistake{}, false
	}
	before, text := data[:found[bad].from], string(data[found[bad].from:found[bad].to])
	return Mistake{File: r.file, Line: 1 + bytes.Count(before, []byte("\n")), Column: len(before) - bytes.LastIndexByte(before, '\n'),
		What: text + " " + notText, Do: inQuotes(text)}, true
}

// quoteAll returns the text with quotes around the pieces.
func quoteAll(data []byte, pieces []piece) []byte {
	var b bytes.Buffer
	at := 0
	for _, p := range pieces {
		fmt.Fprintf(&b, `%s"%s"`, data[at:p.from], data[p.from:p.to])
		at = p.to
	}
	b.Write(data[at:])
	return b.Bytes()
}

// isYAML tells whether a text can be parsed.
func isYAML(data []byte) bool {
	dec := yaml.NewDecoder(bytes.NewReader(data))
	for {
		if err := dec.Decode(new(yaml.Node)); err != nil {
			return errors.Is(err, io.EOF)
		}
	}
}

const notText = "is an IPv6 address that YAML does not read as text"

func inQuotes(s string) string {
	return fmt.Sprintf("write it in quotes: \"%s\"", strings.Trim(quote(s), `"`))
}

// wasAddress reports an IPv6 address that YAML has read as a list.
func (r *reader) wasAddress(n *yaml.Node, at where) bool {
	s := bracketed(n)
	switch {
	case strings.HasSuffix(s, "]"):
		r.unread(n, at, s+" "+notText, fmt.Sprintf("write it without the brackets or, with its port, in quotes: \"%s:7101\"", s))
	case s != "":
		r.unread(n, at, s+" "+notText, inQuotes(s))
	}
	return s != ""
}

// bracketed is the address, with its port if it has one, that became such a list; "" for anything else.
func bracketed(n *yaml.Node) string {
	switch {
	case n.Kind == yaml.SequenceNode && len(n.Content) == 1 && n.Content[0].Kind == yaml.ScalarNode:
		if isIPv6(n.Content[0].Value) {
			return "[" + n.Content[0].Value + "]"
		}
	case n.Kind == yaml.MappingNode && len(n.Content) == 2 && n.Content[1].Kind == yaml.ScalarNode:
		if host := bracketed(n.Content[0]); host != "" {
			return host + ":" + n.Content[1].Value
		}
	}
	return ""
}
