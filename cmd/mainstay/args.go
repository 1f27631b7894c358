package main

import (
	"fmt"
	"net"
	"regexp"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
)

// words checks that a verb gets as many arguments as it has names for; names of optional arguments are in brackets, as in the
// usage line. Every argument must be a name of the platform.
func words(names ...string) cobra.PositionalArgs {
	return func(_ *cobra.Command, args []string) error {
		if len(args) > len(names) {
			return usagef("unexpected argument %s", quote(args[len(names)]))
		}
		if len(args) < len(names) && !strings.HasPrefix(names[len(args)], "[") {
			return usagef("%s is missing", names[len(args)])
		}
		for i, a := range args {
			if err := checkName(strings.Trim(names[i], "[]"), a); err != nil {
				return err
			}
		}
		return nil
	}
}

// pathName is what can stand in a path of the API: names of the platform, of controllers and of operations.
var pathName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$`)

func checkName(what, name string) error {
	if !pathName.MatchString(name) {
		return usagef("%s %s: not a name; want letters, digits and dashes", what, quote(name))
	}
	return nil
}

// checkAddresses checks that every address is host:port.
func checkAddresses(what string, addresses []string) error {
	for _, a := range addresses {
		host, port, err := net.SplitHostPort(a)
		n, perr := strconv.Atoi(port)
		if err != nil || host == "" || strings.ContainsAny(host, " /") || perr != nil || n < 1 || n > 65535 {
			return usagef("%s %s: want host:port, such as 10.0.1.5:7101", what, quote(a))
		}
	}
	return nil
}

func quote(s string) string {
	if r := []rune(s); len(r) > 60 {
		s = string(r[:60]) + "…"
	}
	return fmt.Sprintf("%q", s)
}
