package program

import (
	"strings"
	"testing"
)

func TestAllowed(t *testing.T) {
	for _, c := range []struct {
		allowed Allowed
		paths   []string
		says    string // "" where all may be run
	}{
		{nil, nil, ""},
		{nil, []string{"/bin/a"}, "does not allow /bin/a: write `programs: [/bin/a]`"},
		{Allowed{"/bin/a"}, []string{"/bin/a"}, ""},
		{Allowed{"/bin/a"}, []string{"/bin/b", "/bin/a", "/bin/c"}, "does not allow /bin/b, /bin/c: write `programs: [/bin/a, /bin/b, /bin/c]`"},
		{Allowed{"/bin/a"}, []string{"/bin/../bin/a"}, "does not allow /bin/../bin/a"},
	} {
		err := c.allowed.Missing(c.paths)
		if (err == nil) != (c.says == "") || err != nil && !strings.Contains(err.Error(), c.says) {
			t.Errorf("%v of %v: %v", c.paths, c.allowed, err)
		}
		if len(c.paths) == 1 && (c.allowed.Check(c.paths[0]) == nil) != (c.says == "") {
			t.Errorf("%v of %v", c.paths, c.allowed)
		}
	}
}
