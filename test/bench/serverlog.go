package main

import (
	"cmp"
	"regexp"
	"strings"
	"time"

	"mainstay/test/bench/machine"
)

// logSettings make a server's log tell of every connection, and by which role, also of those that it refuses.
var logSettings = []string{"log_connections = on", "log_line_prefix = '%m [%p] %quser=%u '"}

// connection is one that a server took, or refused after it had taken it.
type connection struct {
	at          time.Time
	member      string // whose server
	role, name  string // as whom, and application_name; both "" if it never said
	replication bool
}

var (
	logLine    = regexp.MustCompile(`^(\d{4}-\d\d-\d\d \S+ \S+) \[(\d+)\] (?:user=(.*?) )?[A-Z]+:  (.*)$`)
	authorised = regexp.MustCompile(`^(replication )?connection authorized: user=(\S+)(?: database=\S+)?` +
		`(?: application_name=(.*?))?(?: SSL enabled.*| GSS .*)?$`)
)

// connections reads a part of a member's log written under logSettings.
func connections(member, log string) (all []connection) {
	newest := map[string]int{} // by process
	for line := range strings.Lines(log) {
		m := logLine.FindStringSubmatch(strings.TrimRight(line, "\n"))
		if m == nil {
			continue
		}
		at, err := time.Parse("2006-01-02 15:04:05.000 MST", m[1])
		if err != nil {
			continue
		}
		pid, role, text := m[2], m[3], m[4]
		if strings.HasPrefix(text, "connection received: ") {
			newest[pid] = len(all)
			all = append(all, connection{at: at, member: member})
			continue
		}
		i, ok := newest[pid]
		if !ok {
			continue
		}
		c := &all[i]
		if role != "[unknown]" {
			c.role = cmp.Or(c.role, role)
		}
		if a := authorised.FindStringSubmatch(text); a != nil {
			c.replication, c.role, c.name = a[1] != "", a[2], a[3]
		}
	}
	return all
}

// item is the count that a connection belongs to. A connection that no other client can have made is Mainstay's.
func (c connection) item() string {
	switch {
	case c.name == "mainstay-clone":
		return rejoinItem
	case c.replication || c.role == "mainstay_replication":
		return replicationItem
	case c.role == "feed":
		return clientsItem
	case c.name == "psql" || c.name == machine.Application:
		return ""
	}
	return connectionsItem
}

// who names the client of a connection as precisely as the log does.
func (c connection) who() string {
	if c.name == "" {
		return cmp.Or(c.role, "no name given") + " (refused)"
	}
	return c.name
}
