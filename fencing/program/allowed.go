package program

import (
	"fmt"
	"slices"
	"strings"
)

// Allowed are the absolute paths of the programs that the platform may let this host run, from the host's own file. Without that
// list, everyone who may change the platform could run any program as the user of this process. The zero value allows nothing.
type Allowed []string

// Check is nil for a program that may be run.
func (a Allowed) Check(path string) error {
	if slices.Contains(a, path) {
		return nil
	}
	return &NotAllowedError{Paths: []string{path}, Line: a.With(path)}
}

// Missing is nil if all of them may be run; it names those that may not.
func (a Allowed) Missing(paths []string) error {
	missing := slices.DeleteFunc(slices.Clone(paths), func(p string) bool { return slices.Contains(a, p) })
	if len(missing) == 0 {
		return nil
	}
	return &NotAllowedError{Paths: missing, Line: a.With(missing...)}
}

// With is the line of the file that allows these as well.
func (a Allowed) With(paths ...string) string {
	all := slices.Clone(a)
	for _, p := range paths {
		if !slices.Contains(all, p) {
			all = append(all, p)
		}
	}
	return "programs: [" + strings.Join(all, ", ") + "]"
}

// NotAllowedError is returned when the host's own file does not list a program.
type NotAllowedError struct {
	Paths []string
	Line  string // the line to write into the file
}

func (e *NotAllowedError) Error() string {
	return fmt.Sprintf("this controller's own file does not allow %s: write `%s` into it, and restart the controller",
		strings.Join(e.Paths, ", "), e.Line)
}
