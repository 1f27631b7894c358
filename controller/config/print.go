package config

import (
	"fmt"
	"strings"
	"time"
)

// span prints a duration as an operator writes it: 1m, not 1m0s. ParseDuration reads it back.
func span(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

// count prints a number of things: 1 replica, 2 replicas.
func count(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return fmt.Sprintf("%d %ss", n, thing)
}

// one puts the article before a thing: a site, an app.
func one(thing string) string {
	if strings.HasPrefix(thing, "a") || strings.HasPrefix(thing, "i") {
		return "an " + thing
	}
	return "a " + thing
}

// upTo is the remedy for a number whose largest valid value is n.
func upTo(n int) string {
	if n == 0 {
		return "use 0"
	}
	return fmt.Sprintf("use 0 to %d", n)
}
