package backup

import (
	"testing"

	"mainstay/test/kit/pg"
)

func TestBackup(t *testing.T) {
	pg.Versions(t, func(t *testing.T, v pg.Version) {
		l := newLab(t, v)
		for _, c := range []struct {
			name string
			test func(*lab)
		}{
			{"good", (*lab).good},
		} {
			t.Run(c.name, func(t *testing.T) { c.test(l.in(t)) })
		}
	})
}

var postsHold = Assertion{Name: "posts", Database: "feed", SQL: "SELECT count(*) = 4000 FROM posts"}

func (l *lab) good() {
	r := l.make(l.order("good", postsHold, Assertion{Name: "private", Database: "feed", SQL: "SELECT count(*) = 1 FROM private"},
		Assertion{Name: "far", Database: "feed", SQL: "SELECT count(*) = 1000 FROM far"}), Good)
	l.t.Logf("%+v", r)
}
