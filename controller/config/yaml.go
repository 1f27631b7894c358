package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

// maxFile bounds a file in bytes: ten thousand members fit, and most files named by mistake do not.
const maxFile = 1 << 20

// parse returns the only document of a YAML text, and reports any other text.
func (r *report) parse(data []byte) *yaml.Node {
	if len(data) > maxFile {
		r.whole("is larger than 1 MiB", "name the right file")
		return nil
	}
	dec := yaml.NewDecoder(bytes.NewReader(data))
	var doc, more yaml.Node
	err := dec.Decode(&doc)
	if errors.Is(err, io.EOF) || err == nil && isNull(doc.Content[0]) {
		r.whole("is empty", "write the settings into it")
		return nil
	}
	if err == nil {
		switch err = dec.Decode(&more); {
		case errors.Is(err, io.EOF):
			return doc.Content[0]
		case err == nil:
			r.found = append(r.found, Mistake{File: r.file, Line: more.Line, What: "a second document begins here",
				Do: "keep one document, without a --- line"})
			return nil
		}
	}
	if m, ok := r.unquoted(data); ok {
		r.found = append(r.found, m)
	} else {
		r.notYAML(data, err)
	}
	return nil
}

// whole reports a mistake that concerns the file as a whole.
func (r *report) whole(what, do string) {
	r.found = append(r.found, Mistake{File: r.file, What: what, Do: do})
}

var (
	yamlError   = regexp.MustCompile(`^yaml: (?:line (\d+): )?(.*)$`)
	yamlUnknown = regexp.MustCompile(`^unknown anchor '(.*)' referenced$`)
)

// notYAML reports the parser's own error. For the first line, an unknown anchor and bytes that are not text the parser names no line:
// they are found here.
func (r *report) notYAML(data []byte, err error) {
	m := Mistake{File: r.file, What: "is not YAML: " + err.Error(),
		Do: "check the indentation, the colons and the quotes around it"}
	if parts := yamlError.FindStringSubmatch(err.Error()); parts != nil {
		m.Line, _ = strconv.Atoi(parts[1])
		m.Line = max(m.Line, 1)
		m.What = "is not YAML: " + parts[2]
		if i := badByte(data); parts[1] == "" && i >= 0 {
			m.Line = 1 + bytes.Count(data[:i], []byte("\n"))
			m.What, m.Do = "is not a text file: "+parts[2], "save it as UTF-8 text"
		} else if a := yamlUnknown.FindStringSubmatch(parts[2]); a != nil {
			m.Line = lineOf(data, "*"+a[1])
			m.What, m.Do = "no anchor "+quote(a[1]), fmt.Sprintf("write &%s before the value that it names", a[1])
		}
	}
	if i := tabAt(data, m.Line, err); i > 0 {
		line := lines(data)[i-1]
		m.Line, m.Column = i, 1+strings.IndexByte(line, '\t')
		m.What, m.Do = "a tab indents this line, which YAML does not allow", "indent it with spaces"
	}
	r.found = append(r.found, m)
}

func lines(data []byte) []string { return strings.Split(string(data), "\n") }

// tabAt is the first line from a given one on that a tab indents, if the parser complains of a tab or of a character that begins nothing;
// else 0. Of a tab that ends a value, the parser names the line on which the value begins.
func tabAt(data []byte, from int, err error) int {
	last := from
	switch text := err.Error(); {
	case strings.Contains(text, "found a tab character"):
		last = bytes.Count(data, []byte("\n")) + 1
	case !strings.Contains(text, "cannot start any token"):
		return 0
	}
	for i, line := range lines(data) {
		indent := line[:len(line)-len(strings.TrimLeft(line, " \t"))]
		if i+1 >= from && i+1 <= last && strings.Contains(indent, "\t") {
			return i + 1
		}
	}
	return 0
}

// badByte is the offset of the first byte that YAML does not allow, -1 for none.
func badByte(data []byte) int {
	for i := 0; i < len(data); {
		c, n := utf8.DecodeRune(data[i:])
		if c == utf8.RuneError && n == 1 || c < ' ' && c != '\t' && c != '\n' && c != '\r' || c == 0x7f {
			return i
		}
		i += n
	}
	return -1
}

// lineOf is the first line that contains a text, 0 where none does.
func lineOf(data []byte, text string) int {
	before, _, ok := strings.Cut(string(data), text)
	if !ok {
		return 0
	}
	return 1 + strings.Count(before, "\n")
}

// isNull tells whether a node is an empty value: nothing, null or ~.
func isNull(n *yaml.Node) bool { return n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null" }

// kindOf names the kind of a node for an operator.
func kindOf(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "a section"
	case yaml.SequenceNode:
		return "a list"
	}
	switch n.ShortTag() {
	case "!!int", "!!float":
		return "a number"
	case "!!bool":
		return "true or false"
	case "!!timestamp":
		return "a date"
	case "!!null":
		return "nothing"
	case "!!str":
		return "text"
	}
	return "a value with the tag " + quote(n.Tag)
}
