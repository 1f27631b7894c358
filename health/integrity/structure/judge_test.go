package structure

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"net"
	"testing"

	"github.com/lib/pq"
	"github.com/lib/pq/pqerror"

	"mainstay/controller/pgdial"
)

func answered(state, message string) error {
	return fmt.Errorf("check: %w", &pgdial.Error{Place: "x", User: "y", Err: &pq.Error{Code: pqerror.Code(state), Message: message}})
}

func TestFates(t *testing.T) {
	for state, want := range map[string]fate{"XX001": broken, "XX002": broken, "58030": broken, "58P01": broken, "XX000": doubtful,
		"42P01": doubtful, "22023": changed, "40001": again, "40P01": again, "55P03": again, "57014": again, "57P01": again, "57P02": again,
		"57P03": again, "53300": again, "53200": again, "08006": again, "0A000": refused, "42883": refused, "3D000": refused} {
		if got := fateOf(answered(state, "")); got != want {
			t.Errorf("%s: %d, want %d", state, got, want)
		}
	}
	for want, err := range map[fate]error{fine: nil, lost: driver.ErrBadConn,
		again: fmt.Errorf("%w (%w)", context.DeadlineExceeded, &net.OpError{Op: "read", Err: errors.New("closed")})} {
		if got := fateOf(err); got != want {
			t.Errorf("%v: %d, want %d", err, got, want)
		}
	}
	if got := fateOf(&net.OpError{Op: "dial", Err: errors.New("refused")}); got != again {
		t.Errorf("a refused connection: %d", got)
	}
}

func TestEvidence(t *testing.T) {
	for _, c := range []struct {
		state, text, detail string
		kind                Kind
		block               int64 // -1: none
	}{
		{"XX001", `invalid page in block 7 of relation "base/5/16390"`, "", BadPage, 7},
		{"XX001", `could not read block 9 in file "base/5/16390": read only 0 of 8192 bytes`, "", BadPage, 9},
		{"58P01", `could not open file "base/5/16390": No such file or directory`, "", MissingFile, -1},
		{"58P01", `could not access status of transaction 4000000`, `Could not open file "pg_xact/0003": No such file or directory.`, BadStatus, -1},
		{"XX001", `heap tuple (3,4) from table "t" lacks matching index tuple within index "i"`, "", MissingEntry, -1},
		{"XX002", `index uniqueness is violated for index "i"`, "Index tid=(5,1) and tid=(5,2) (point to heap tid=(1,3) and tid=(4,8)).", Duplicate, 5},
		{"XX002", `item order invariant violated for index "i"`, "Lower index tid=(6,2) (points to heap tid=(0,1)) page lsn=0/1.", BadIndex, 6},
		{"XX002", `index "i" contains unexpected zero page at block 12`, "", BadIndex, 12},
		{"XX000", `cache lookup failed for type 3`, "", Failure, -1},
	} {
		f := evidence(&pq.Error{Code: pqerror.Code(c.state), Message: c.text, Detail: c.detail}, BadIndex)
		if block := f.Block; f.Kind != c.kind || (block == nil) != (c.block < 0) || block != nil && *block != c.block {
			t.Errorf("%s: %s, want %s of block %d", c.text, f, c.kind, c.block)
		}
	}
}

// TestShapes: which sizes of files contradict the catalog.
func TestShapes(t *testing.T) {
	s := sizes{page: 8, segment: 80}
	for name, c := range map[string]struct {
		pages int64
		all   []segment
		kind  Kind
		block int64
	}{
		"one":                   {3, []segment{{0, 24}}, "", 0},
		"grown":                 {3, []segment{{1, 8}, {0, 80}}, "", 0},
		"truncated by VACUUM":   {3, []segment{{0, 24}, {1, 0}, {2, 0}}, "", 0},
		"empty":                 {0, []segment{{0, 0}}, "", 0},
		"none":                  {3, nil, MissingFile, -1},
		"no first":              {3, []segment{{1, 8}}, MissingFile, -1},
		"shorter":               {4, []segment{{0, 24}}, ShortFile, 3},
		"gap":                   {3, []segment{{0, 80}, {2, 8}}, BadFile, 10},
		"short before others":   {3, []segment{{0, 72}, {1, 8}}, BadFile, 0},
		"ends within a page":    {3, []segment{{0, 80}, {1, 9}}, BadFile, 10},
		"longer than a segment": {3, []segment{{0, 88}}, BadFile, 0},
	} {
		f, wrong := shape(&relation{path: "base/5/1", pages: c.pages}, c.all, s)
		at := int64(-1)
		if f.Block != nil {
			at = *f.Block
		}
		if wrong != (c.kind != "") || f.Kind != c.kind || wrong && at != c.block {
			t.Errorf("%s: %s, want %s of block %d", name, f, c.kind, c.block)
		}
	}
}
