package structure

import (
	"context"
	"fmt"
	"strings"

	"mainstay/controller/wakeup"
)

// index checks an index as a whole.
func (x *check) index(ctx context.Context, d *database, r *relation, own func(Check) Verdict) error {
	v := own(Index)
	function, arguments := "", ""
	switch r.method {
	case "btree":
		v.Check, function, arguments = BTree, checkBTree, "($1::oid::regclass, true)"
		if d.functions[checkUnique] != "" {
			function, arguments = checkUnique, fmt.Sprintf("($1::oid::regclass, true, %t)", r.unique)
		}
	case "gin":
		v.Check, function, arguments = GIN, checkGIN, "($1::oid::regclass)"
	default:
		v.Why = "there is no check for indexes of access method " + r.method
		x.tell(v)
		return nil
	}
	switch {
	case !r.usable:
		v.Why = "the index is not valid: its build failed, or has not ended"
	case d.functions[function] == "":
		v.Why = d.without(amcheck, function)
	}
	if v.Why != "" {
		x.tell(v)
		return nil
	}
	a, err := x.ask(ctx, d.name, x.o.Long, nil, none, "SELECT "+d.functions[function]+arguments, r.oid)
	if err == nil && (a.fate == broken || a.fate == doubtful) {
		if err = wakeup.Pause(ctx, x.o.Again); err == nil {
			a, err = x.ask(ctx, d.name, x.o.Long, nil, none, "SELECT "+d.functions[function]+arguments, r.oid)
		}
	}
	if err != nil {
		return err
	}
	if err := x.judgeIndex(ctx, d, r, v, own(Unique), a); err != nil {
		return err
	}
	return x.pace(ctx, r.bytes)
}

// judgeIndex tells the verdicts on an index, and on its uniqueness where it is unique.
func (x *check) judgeIndex(ctx context.Context, d *database, r *relation, v, unique Verdict, a answer) error {
	told := func(of Verdict, s State) {
		if of.State = s; of.Check != Unique || r.unique && r.method == "btree" {
			x.tell(of)
		}
	}
	unique.Why = "before the extension amcheck 1.4 of PostgreSQL 17 there is no check for duplicate keys"
	checked := d.functions[checkUnique] != ""
	switch a.fate {
	case fine:
		told(v, Clean)
		if checked {
			told(unique, Clean)
		} else {
			told(unique, Unverified)
		}
		return nil
	case broken:
	default:
		return x.unfinished(ctx, d, r, v, a)
	}
	f := evidence(a.err, BadIndex)
	if checked {
		unique.Why = "the check of the index ended before: " + f.Text
	}
	switch m := fileOf.FindStringSubmatch(f.Text); {
	case m != nil && m[1] != r.path:
		v.Why = "a page of another relation cannot be read: " + f.Text
		told(v, Unverified)
		told(unique, Unverified)
	case f.Kind == Duplicate:
		v.Why = "duplicate keys ended the check: " + f.Text
		told(v, Unverified)
		unique.add(Corrupt, f)
		told(unique, unique.State)
	default:
		if f.Kind == MissingEntry {
			f.Text = strings.TrimSuffix(f.Text, ".") + "; the index or the row is damaged"
		}
		v.add(Corrupt, f)
		told(v, v.State)
		told(unique, Unverified)
	}
	return nil
}
