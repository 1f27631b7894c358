package structure

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"

	"mainstay/controller/wakeup"
)

// listedRows bounds what one statement returns of a damaged range.
const listedRows = 1000

// table checks a table, a materialised view, a TOAST table or a sequence.
func (x *check) table(ctx context.Context, d *database, r *relation, own func(Check) Verdict) error {
	v := own(Heap)
	if r.kind != kindSeq && r.method != "heap" {
		v.Why = "there is no check for tables of access method " + r.method
		x.tell(v)
		return nil
	}
	if r.kind != kindSeq && x.at.Block == 0 {
		over, err := x.visibility(ctx, d, r, own(Map), v)
		if err != nil || over {
			return err
		}
	}
	if d.functions[verifyHeap] == "" {
		v.Why = d.without(amcheck, verifyHeap)
		x.tell(v)
		return nil
	}
	return x.heap(ctx, d, r, v)
}

// heap checks a table's pages, a range with each statement.
func (x *check) heap(ctx context.Context, d *database, r *relation, v Verdict) error {
	v.State, v.Found = Clean, 0
	if x.at.Block > 0 {
		v.State, v.Found = max(v.State, x.at.State), x.at.Found
	}
	for tries := 1; ; {
		from := int64(x.at.Block)
		pages, pageSize, a, err := x.pages(ctx, d, r)
		if err != nil {
			return err
		}
		if a.fate == fine && from >= pages {
			x.tell(v)
			return nil
		}
		to := min(from+int64(x.o.Range), pages) - 1
		if a.fate == fine {
			a, err = x.span(ctx, d, r, from, to, &v)
		}
		if err != nil {
			return err
		}
		if a.fate == changed && tries < x.o.Tries { // it was truncated meanwhile
			tries++
			continue
		}
		if a.fate != fine {
			return x.unfinished(ctx, d, r, v, a)
		}
		x.result.Blocks += to + 1 - from
		x.done += (to + 1 - from) * pageSize
		x.at.Block, x.at.State, x.at.Found = uint32(to+1), v.State, v.Found
		x.progress()
		if err := x.pace(ctx, (to+1-from)*pageSize); err != nil {
			return err
		}
		if err := x.turn(ctx); err != nil {
			return err
		}
	}
}

// unfinished ends a check that could not continue: the relation is gone, or the verdict is that of the findings so far, or there is none.
func (x *check) unfinished(ctx context.Context, d *database, r *relation, v Verdict, a answer) error {
	if a.fate != lost { // else nothing must come between this and the next relation
		same, err := x.exists(ctx, d, r)
		if err != nil {
			return err
		}
		if !same {
			x.result.Vanished++
			return nil
		}
	}
	switch {
	case a.fate == broken:
		v.add(Corrupt, evidence(a.err, Failure))
	case a.fate == doubtful:
		v.add(Suspect, evidence(a.err, Failure))
	case v.State <= Clean:
		v.State, v.Why = Unverified, a.unverified()
	}
	x.tell(v)
	return nil
}

// pages is the present length of a relation.
func (x *check) pages(ctx context.Context, d *database, r *relation) (pages, size int64, a answer, err error) {
	var bytes sql.NullInt64
	a, err = x.ask(ctx, d.name, x.o.Short, nil, func(rows *sql.Rows) error { return rows.Scan(&bytes, &size) },
		"SELECT pg_relation_size($1::oid::regclass), current_setting('block_size')::bigint", r.oid)
	if a.fate == fine && err == nil && bytes.Valid {
		pages = bytes.Int64 / size
	}
	return pages, size, a, err
}

// span checks a range of pages, and again the pages in which it finds something. A page that ends the check is found by halves.
func (x *check) span(ctx context.Context, d *database, r *relation, from, to int64, v *Verdict) (answer, error) {
	rows, a, err := x.verify(ctx, d, r, from, to)
	if err != nil {
		return a, err
	}
	switch a.fate {
	case fine:
		return x.rows(ctx, d, r, rows, v)
	case broken, doubtful:
		if same, err := x.exists(ctx, d, r); err != nil || !same {
			return a, err
		}
		if from == to {
			return answer{}, x.badBlock(ctx, d, r, from, v, a)
		}
		if v.Found >= maxFindings { // the rest is not worth the statements
			v.add(Corrupt, evidence(a.err, Failure))
			return answer{}, nil
		}
		for _, half := range [][2]int64{{from, from + (to-from)/2}, {from + (to-from)/2 + 1, to}} {
			if a, err = x.span(ctx, d, r, half[0], half[1], v); err != nil || a.fate != fine {
				return a, err
			}
		}
		return answer{}, nil
	default:
		return a, nil
	}
}

// badBlock takes a page that ends the check each time.
func (x *check) badBlock(ctx context.Context, d *database, r *relation, block int64, v *Verdict, first answer) error {
	if err := wakeup.Pause(ctx, x.o.Again); err != nil {
		return err
	}
	_, a, err := x.verify(ctx, d, r, block, block)
	if err != nil || a.fate != broken && a.fate != doubtful {
		return err
	}
	f := evidence(a.err, BadPage)
	f.Block = &block
	state := Corrupt
	if a.fate == doubtful || first.fate == doubtful {
		state = Suspect
	}
	v.add(state, f)
	return nil
}

// row is what verify_heapam says of one.
type row struct {
	block, item int64
	text        string
}

// verify asks for a range of pages.
func (x *check) verify(ctx context.Context, d *database, r *relation, from, to int64) (all []row, a answer, err error) {
	statement := fmt.Sprintf(`SELECT COALESCE(blkno, 0), COALESCE(offnum, 0), msg FROM %s($1::oid::regclass, false, true, 'none'::text,
		$2::bigint, $3::bigint) LIMIT %d`, d.functions[verifyHeap], listedRows)
	a, err = x.ask(ctx, d.name, x.o.Short, func() { all = nil }, func(rows *sql.Rows) error {
		var w row
		err := rows.Scan(&w.block, &w.item, &w.text)
		all = append(all, w)
		return err
	}, statement, r.oid, from, to)
	return all, a, err
}

// confirmedBlocks bounds the pages of a range that are checked again one by one.
const confirmedBlocks = 20

// rows counts what a second look shows as well.
func (x *check) rows(ctx context.Context, d *database, r *relation, first []row, v *Verdict) (answer, error) {
	if len(first) == 0 {
		return answer{}, nil
	}
	if err := wakeup.Pause(ctx, x.o.Again); err != nil {
		return answer{}, err
	}
	for _, block := range blocksOf(first) {
		again, a, err := x.verify(ctx, d, r, block, block)
		if err != nil || a.fate != fine {
			return a, err
		}
		for _, w := range again {
			if slices.Contains(first, w) {
				v.add(Corrupt, Finding{Kind: rowKind(w.text), Block: &w.block, Item: int(w.item), Text: w.text})
			}
		}
	}
	return answer{}, nil
}

func blocksOf(rows []row) (all []int64) {
	for _, w := range rows {
		if !slices.Contains(all, w.block) && len(all) < confirmedBlocks {
			all = append(all, w.block)
		}
	}
	return all
}

// mapReads is how often the functions of pg_visibility read the pages of a table.
const mapReads = 3

// visibility compares a table's visibility map with its rows. over tells that the heap must not be checked after that: the relation is
// gone, or the server has crashed.
func (x *check) visibility(ctx context.Context, d *database, r *relation, v, heap Verdict) (over bool, err error) {
	for _, f := range []string{checkFrozen, checkSeen, mapOf, bothMaps} {
		if d.functions[f] == "" {
			v.Why = d.without(visibility, f)
			x.tell(v)
			return false, nil
		}
	}
	bits, a, err := x.bits(ctx, d, r)
	if err != nil {
		return false, err
	}
	if a.fate == fine && len(bits) > 0 {
		if err := wakeup.Pause(ctx, x.o.Again); err != nil {
			return false, err
		}
		first := bits
		if bits, a, err = x.bits(ctx, d, r); err != nil {
			return false, err
		}
		bits = slices.DeleteFunc(bits, func(b row) bool { return !slices.Contains(first, b) })
	}
	switch a.fate {
	case fine:
	case broken: // of a page that its own check names
		v.Why = "the table's rows cannot be read: " + text(a.err)
		x.tell(v)
		return false, nil
	default:
		vanished := x.result.Vanished
		err := x.unfinished(ctx, d, r, v, a)
		if a.fate == lost {
			heap.Why = a.unverified()
			x.tell(heap)
		}
		return a.fate == lost || x.result.Vanished > vanished, err
	}
	v.State = Clean
	for _, b := range bits {
		if err := x.bit(ctx, d, r, b, &v); err != nil {
			return false, err
		}
	}
	x.tell(v)
	return false, x.pace(ctx, mapReads*r.bytes)
}

// bits are rows on pages whose bits in the map they do not allow, and pages that do not allow theirs, such as zeroed ones.
func (x *check) bits(ctx context.Context, d *database, r *relation) (all []row, a answer, err error) {
	statement := fmt.Sprintf(`SELECT (t::text::point)[0]::bigint, (t::text::point)[1]::bigint, what FROM (
		SELECT 'all-frozen', t_ctid FROM %s($1::oid::regclass) t(t_ctid) UNION ALL
		SELECT 'all-visible', t_ctid FROM %s($1::oid::regclass) t(t_ctid)) f(what, t)
		UNION ALL SELECT blkno, 0, 'page' FROM %s($1::oid::regclass) WHERE (all_visible OR all_frozen) AND NOT pd_all_visible LIMIT %d`,
		d.functions[checkFrozen], d.functions[checkSeen], d.functions[bothMaps], maxFindings)
	a, err = x.ask(ctx, d.name, x.o.Long, func() { all = nil }, func(rows *sql.Rows) error {
		var w row
		err := rows.Scan(&w.block, &w.item, &w.text)
		all = append(all, w)
		return err
	}, statement, r.oid)
	return all, a, err
}

// bit judges one. A set bit on a page that does not say so itself is damage, and so is a row that is not frozen below an all-frozen bit.
// Else the server may only be careful: which rows are visible to all depends on transactions and standbys that it remembers.
func (x *check) bit(ctx context.Context, d *database, r *relation, b row, v *Verdict) error {
	var visible, frozen, page bool
	a, err := x.ask(ctx, d.name, x.o.Short, nil, func(rows *sql.Rows) error { return rows.Scan(&visible, &frozen, &page) },
		"SELECT all_visible, all_frozen, pd_all_visible FROM "+d.functions[mapOf]+"($1::oid::regclass, $2::bigint)", r.oid, b.block)
	if err != nil {
		return err
	}
	if a.fate != fine {
		return v.doubt(a)
	}
	f := Finding{Kind: BadMap, Block: &b.block, Item: int(b.item)}
	switch {
	case !visible && !frozen: // cleared meanwhile
	case !page:
		f.Item, f.Text = 0, "the map calls the page all-visible, and the page does not"
		if !slices.ContainsFunc(v.Findings, func(o Finding) bool { return *o.Block == b.block && o.Text == f.Text }) { // by another row
			v.add(Corrupt, f)
		}
	case b.text == "page":
	case b.text == "all-frozen":
		f.Text = "the map and the page say all-frozen, and the row is not frozen"
		v.add(Corrupt, f)
	default:
		f.Text = "the map and the page say all-visible, and the row is not visible to all transactions"
		v.add(Suspect, f)
	}
	return nil
}

// doubt keeps that a look which would have decided had no answer.
func (v *Verdict) doubt(a answer) error {
	if a.err == nil {
		return errors.New("a check returned neither an answer nor an error")
	}
	v.add(Suspect, evidence(a.err, BadMap))
	return nil
}
