package register

import (
	"strings"
	"testing"
)

// history makes operations: each word is a client's read or write as w1@2-5 (wrote 1 from 2 to 5), r0@1-3, w7@4- (open).
func history(t *testing.T, words string) []operation {
	t.Helper()
	var done []operation
	for n, word := range strings.Fields(words) {
		what, when, _ := strings.Cut(word, "@")
		from, to, _ := strings.Cut(when, "-")
		o := operation{client: n, write: what[0] == 'w', value: number(t, what[1:]), called: duration(number(t, from)), open: to == ""}
		if to != "" {
			o.ending = duration(number(t, to))
		}
		done = append(done, o)
	}
	return done
}

func TestCheck(t *testing.T) {
	for _, c := range []struct {
		name, history string
		ok            bool
	}{
		{"in turn", "w1@0-1 r1@2-3 w2@4-5 r2@6-7", true},
		{"never written", "r0@0-1", true},
		{"at once, either order", "w1@0-5 w2@0-5 r1@6-7 r1@8-9", true},
		{"stale read", "w1@0-1 w2@2-3 r1@4-5", false},
		{"lost write", "w1@0-1 r0@2-3", false},
		{"back and forth", "w1@0-5 w2@0-5 r1@6-7 r2@8-9", false},
		{"open write takes effect", "w1@0- r1@2-3 r1@4-5", true},
		{"open write takes effect late", "w1@0- r0@2-3 r1@4-5", true},
		{"open write never does", "w1@0- r0@2-3 r0@4-5", true},
		{"open write is seen and lost", "w1@0- r1@2-3 r0@4-5", false},
		{"read before any write of it", "r1@0-1 w1@2-3", false},
	} {
		if v := check(history(t, c.history)); (v.Wrong == "") != c.ok {
			t.Errorf("%s: %s", c.name, v)
		}
	}
}
