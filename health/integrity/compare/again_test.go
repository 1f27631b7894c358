package compare

import (
	"testing"

	"mainstay/controller/platform"
	"mainstay/health/integrity"
	"mainstay/health/integrity/page"
)

// TestNamesOfBlocks: what a comparison names is found again.
func TestNamesOfBlocks(t *testing.T) {
	for _, b := range []integrity.Block{
		{Relation: integrity.Relation{Space: integrity.DefaultSpace, Database: 5, Node: 16384}, Number: 7},
		{Relation: integrity.Relation{Space: integrity.GlobalSpace, Node: 1262}, Fork: page.Visibility},
		{Relation: integrity.Relation{Space: 16390, Database: 5, Node: 16391}, Fork: page.FreeSpace, Number: 1<<32 - 2},
	} {
		if got, err := BlockOf(PageName(b)); err != nil || got != b {
			t.Errorf("%s: %v, %v", PageName(b), got, err)
		}
	}
	for _, name := range []string{"", "base/5/7", "base/5/7 block", "base/5/7_main block 1", "base/5/7_x block 1", "base/5/../6 block 1",
		"base/5/7 block 99999999999", "base/5/7 block 1 (lost write)"} {
		if b, err := BlockOf(name); err == nil {
			t.Errorf("%q is %s", name, b)
		}
	}
}

// TestAgain: a page of a member whose replay is paused is the older one while the primary changes its own; that of another one may only
// lag.
func TestAgain(t *testing.T) {
	at := func(lsn platform.LSN, digest byte) page.Summary {
		return page.Summary{State: page.Used, LSN: lsn, Digest: page.Digest{digest}}
	}
	for _, c := range []struct {
		name                  string
		own, primary          page.Summary
		paused, differs, same bool
	}{
		{"the same", at(10, 1), at(10, 1), true, false, true},
		{"the primary has lost a write", at(10, 1), at(5, 2), true, true, false},
		{"the primary has changed its page since", at(10, 1), at(200, 2), true, true, false},
		{"and replay is not paused", at(10, 1), at(200, 2), false, false, false},
		{"not read", page.Summary{}, at(10, 1), false, false, false},
		{"zeroed", page.Summary{State: page.Zero}, at(10, 1), true, true, false},
	} {
		if differs, same, text := againText(c.own, c.primary, 100, c.paused, "m1"); differs != c.differs || same != c.same || text == "" {
			t.Errorf("%s: differs %v, same %v: %s", c.name, differs, same, text)
		}
	}
}
