package health

import "testing"

func TestKnownDamage(t *testing.T) {
	const read = "PostgreSQL has read pages: 3 in database a, the last at noon; 1 in database b"
	one, two := Scanned+"base/5/7 block 1 (checksum)", Scanned+"base/5/7 block 1 (checksum), base/5/8 block 2 (header)"
	for _, c := range []struct {
		evidence, known string
		want            bool
	}{
		{"", "", true}, {"", read, true}, {read, "", false}, {read, read, true}, {one, two, true}, {two, one, false},
		{one, JoinDamage(read, two), true}, {JoinDamage(read, one), JoinDamage(read, two), true}, {JoinDamage(read, one), two, false},
		{"PostgreSQL has read pages: 4 in database a, the last at one; 1 in database b", read, false},
		{read, JoinDamage(read, one), true},
	} {
		if got := KnownDamage(c.evidence, c.known); got != c.want {
			t.Errorf("%q among %q: %t", c.evidence, c.known, got)
		}
	}
}

func TestJoinDamage(t *testing.T) {
	for _, c := range [][3]string{{"", "", ""}, {"a", "", "a"}, {"", "a", "a"}, {"a", "b", "a; b"}, {"a; b", "b", "a; b"}} {
		if got := JoinDamage(c[0], c[1]); got != c[2] {
			t.Errorf("%q and %q: %q", c[0], c[1], got)
		}
	}
}
