package config

import (
	"fmt"
	"time"

	"go.yaml.in/yaml/v3"
)

// Integrity is how the agent reads the pages of its members in the background, so that damage is found before the pages are needed.
type Integrity struct {
	Every time.Duration // from the beginning of one scan to the beginning of the next; 0: never
	Rate  int           // MB a second, at most, of the one scan that runs on a host at a time
}

// Defaults and bounds of Integrity.
var defaultIntegrity = Integrity{Every: 24 * time.Hour, Rate: 20}

// dailySpan is what an interval of hours may be.
const dailySpan = "write a time such as 24h, or off"

const (
	shortestScans = time.Second
	longestScans  = 365 * 24 * time.Hour
	highestRate   = 1000
)

// every reads an interval; 0 and off mean never. do says what else it may be.
func (r *reader) every(dst *time.Duration, do string) reading {
	return func(n *yaml.Node, at where) {
		if n.Kind == yaml.ScalarNode && (n.Value == "off" || n.Value == "0") {
			*dst = 0
			return
		}
		r.time(n, at, dst, do)
	}
}

func (l *local) checkIntegrity(at where, i Integrity) {
	if i.Every != 0 && (i.Every < shortestScans || i.Every > longestScans) {
		l.add(at.field("every"), span(i.Every)+" is not between 1s and 8760h", dailySpan)
	}
	if i.Rate < 1 || i.Rate > highestRate {
		l.add(at.field("rate"), fmt.Sprintf("%d is not between 1 and %d", i.Rate, highestRate), "write the MB to read in a second, such as 20")
	}
}
