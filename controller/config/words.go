package config

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"mainstay/controller/platform"
)

var namePattern = regexp.MustCompile(`^[a-z][a-z0-9-]{0,40}$`)

// isName tells whether s is a valid name in the platform file.
func isName(s string) bool { return namePattern.MatchString(s) }

// reserved are words with a meaning on the command line, in YAML or in PostgreSQL, which no site, host, cluster, member, app or
// instance may have as its name.
var reserved = []string{"all", "any", "false", "local", "mainstay", "n", "no", "none", "null", "off", "on", "other-site",
	"self", "true", "y", "yes"}

// reservedRoles are reserved for clusters and members only: a site may be called primary.
var reservedRoles = []string{"agent", "controller", "controllers", "first", "leader", "postgres", "primary", "replica",
	"standby", "template0", "template1", "witness"}

// isReserved tells whether a name of that kind is reserved by Mainstay, YAML or PostgreSQL (which reserves pg_).
func isReserved(kind, name string) bool {
	role := kind == "cluster" || kind == "member"
	return slices.Contains(reserved, name) || strings.HasPrefix(name, "pg-") || role && slices.Contains(reservedRoles, name)
}

// nameWrong returns the fault of a name and the remedy; both are empty for a valid one.
func nameWrong(kind, name string) (what, do string) {
	switch {
	case name == "":
		return "is missing", fmt.Sprintf("give the %s a name", kind)
	case !isName(name):
		return quote(name) + " is not a name", "use a to z, 0 to 9 and -, a letter first, at most 41 characters"
	case isReserved(kind, name):
		return quote(name) + " is a reserved word", fmt.Sprintf("give the %s another name", kind)
	}
	return "", ""
}

// meant returns the key that an unknown key resembles, "" for none, and the remedy.
func meant(key string, fields []field) (best, do string) {
	var keys []string
	least := 3
	for _, f := range fields {
		keys = append(keys, f.key)
		if d := platform.Distance(key, f.key); d < least && d < len(f.key) {
			best, least = f.key, d
		}
	}
	if best != "" {
		return best, "did you mean " + best + "?"
	}
	return "", "allowed here: " + strings.Join(keys, ", ")
}
