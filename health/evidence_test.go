package health

import (
	"fmt"
	"testing"
)

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
		{counted(4), page(1), false}, {page(1), counted(3), false},
		{page(1), page(1), true}, {page(2), page(1), false}, {page(1), JoinDamage(counted(3), page(1)), true},
		{one, NamePages(ReadPages, []string{"base/5/7 block 1 (checksum)"}, 0), true}, // whoever has found it
		{NamePages(ReadPages, []string{"base/5/7 block 131072 (checksum)"}, 0), Scanned + "base/5/7.1 block 131072 (checksum)", true},
		{NamePages(ReadPages, []string{"base/5/7 block 131072 (checksum)"}, 0), Scanned + "base/5/7.1 block 131072 (header)", false},
		{counted(3), counted(3), true}, {counted(4), counted(3), false},
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

func TestNamePages(t *testing.T) {
	for _, c := range []struct {
		pages  []string
		others int64
		want   string
	}{
		{nil, 0, ""}, {[]string{"a"}, 0, "found: a"}, {[]string{"a"}, 2, "found: a, and 2 more"},
		{[]string{"a", "b", "c"}, 0, "found: a, b, c"}, {[]string{"a", "b", "c", "d"}, 1, "found: a, b, c, and 2 more"},
	} {
		if got := NamePages("found: ", c.pages, c.others); got != c.want {
			t.Errorf("%v and %d: %q", c.pages, c.others, got)
		}
	}
}

// page is evidence that PostgreSQL has named, and counted is such that it has counted only.
func page(block int) string {
	return NamePages(ReadPages, []string{DamagedPage(fmt.Sprintf("base/5/9 block %d", block), "checksum")}, 0)
}

func counted(n int) string {
	return fmt.Sprintf("%s%d in database a, the last at %d:00 UTC", ReadPages, n, n)
}
