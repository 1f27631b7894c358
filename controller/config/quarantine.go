package config

import (
	"regexp"
	"strconv"

	"go.yaml.in/yaml/v3"
)

// Quarantine bounds the data that repairs of a member remove and keep (S9).
type Quarantine struct {
	// Limit is the number of bytes that a member may keep; a further repair then waits until an operator drops a piece.
	Limit int64
}

const defaultQuarantine = 10 << 30

// sizeText is a number with one of PostgreSQL's units: powers of 1024.
var (
	sizeText  = regexp.MustCompile(`^([1-9][0-9]{0,5})(MB|GB|TB)$`)
	sizeUnits = map[string]int64{"MB": 1 << 20, "GB": 1 << 30, "TB": 1 << 40}
)

// size reads a number of bytes, such as 512MB, 10GB or 1TB.
func (r *reader) size(dst *int64) reading {
	return func(n *yaml.Node, at where) {
		do := "write a whole number up to 999999 and a unit: 512MB, 10GB, 1TB"
		if n.Kind != yaml.ScalarNode {
			r.unread(n, at, "is "+kindOf(n)+", not a size", do)
			return
		}
		m := sizeText.FindStringSubmatch(n.Value)
		if m == nil {
			r.unread(n, at, quote(n.Value)+" is not a size", do)
			return
		}
		number, _ := strconv.ParseInt(m[1], 10, 64)
		*dst = number * sizeUnits[m[2]]
	}
}
