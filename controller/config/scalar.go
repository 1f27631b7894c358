package config

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"
	"unicode"

	"go.yaml.in/yaml/v3"
)

// scalar reads a value of one YAML type; a value of another type is a mistake that names the wanted one.
func (r *reader) scalar(n *yaml.Node, at where, tag, want, do string) bool {
	if n.Kind == yaml.ScalarNode && n.ShortTag() == tag {
		return true
	}
	r.unread(n, at, fmt.Sprintf("is %s, not %s", kindOf(n), want), do)
	return false
}

// text reads a string. It refuses numbers and dates, because they could be read back in another spelling.
func (r *reader) text(dst *string) reading {
	return func(n *yaml.Node, at where) { r.textInto(n, at, dst) }
}

// word reads one of the operator's choices, as text; what it may be is checked with the rest.
func word[T ~string](r *reader, dst *T) reading {
	return func(n *yaml.Node, at where) {
		s := string(*dst)
		r.textInto(n, at, &s)
		*dst = T(s)
	}
}

func (r *reader) textInto(n *yaml.Node, at where, dst *string) {
	if r.wasAddress(n, at) {
		return
	}
	do := "write one word or a \"quoted text\""
	if n.Kind == yaml.ScalarNode {
		do = inQuotes(n.Value)
	}
	if r.scalar(n, at, "!!str", "text", do) {
		*dst = n.Value
	}
}

// asText reads a value as postgresql.conf would: a word, a number or true and false, all kept as written.
func (r *reader) asText(n *yaml.Node, at where, dst *string) {
	switch {
	case r.wasAddress(n, at):
	case n.Kind != yaml.ScalarNode:
		r.unread(n, at, "is "+kindOf(n)+", not a value", "write one value, in quotes where it has commas")
	case strings.ContainsFunc(n.Value, unicode.IsControl):
		r.unread(n, at, quote(n.Value)+" holds control characters", "write it on one line")
	default:
		*dst = n.Value
	}
}

// boolean reads true or false; yes, no, on and off are text in YAML 1.2.
func (r *reader) boolean(dst *bool) reading {
	return func(n *yaml.Node, at where) {
		if r.scalar(n, at, "!!bool", "true or false", "write true or false") {
			*dst = strings.EqualFold(n.Value, "true")
		}
	}
}

// decimal excludes numbers that YAML and people read differently: 010, 0x10, 1_000.
var (
	decimal = regexp.MustCompile(`^-?(0|[1-9][0-9]{0,8})$`)
	long    = regexp.MustCompile(`^-?[1-9][0-9]{9,}$`)
)

// integer reads a whole number of at most nine digits.
func (r *reader) integer(dst *int) reading {
	return func(n *yaml.Node, at where) {
		if n.Kind != yaml.ScalarNode || n.ShortTag() != "!!int" || !decimal.MatchString(n.Value) {
			what, do := "is "+kindOf(n)+", not a whole number", "write plain digits, without quotes"
			switch {
			case n.Kind == yaml.ScalarNode && long.MatchString(n.Value):
				what, do = quote(n.Value)+" is out of range", "write at most nine digits"
			case n.Kind == yaml.ScalarNode:
				what = quote(n.Value) + " is not a whole number"
			}
			r.unread(n, at, what, do)
			return
		}
		*dst, _ = strconv.Atoi(n.Value)
	}
}

// duration reads a time with its unit, such as 500ms, 5s or 1m30s.
func (r *reader) duration(dst *time.Duration) reading {
	return func(n *yaml.Node, at where) { r.time(n, at, dst, "write a number and a unit: 500ms, 5s, 1m") }
}

// time reads one; do says what the place may have.
func (r *reader) time(n *yaml.Node, at where, dst *time.Duration, do string) {
	if n.Kind != yaml.ScalarNode {
		r.unread(n, at, "is "+kindOf(n)+", not a time", do)
		return
	}
	d, err := time.ParseDuration(n.Value)
	switch {
	case n.ShortTag() == "!!int":
		r.unread(n, at, quote(n.Value)+" has no unit", do)
	case err != nil:
		r.unread(n, at, quote(n.Value)+" is not a time", do)
	default:
		*dst = d
	}
}
