package structure

import (
	"context"
	"database/sql"
	"fmt"
	"path"
	"slices"
	"strings"

	"mainstay/controller/wakeup"
)

// segment is one file of a main fork.
type segment struct{ number, size int64 }

// sizes are the server's own.
type sizes struct{ page, segment int64 } // bytes

const sizesSQL = `SELECT current_setting('block_size')::bigint,
	(SELECT setting::bigint FROM pg_settings WHERE name = 'segment_size') * current_setting('block_size')::bigint`

const filesSQL = `SELECT d.dir || '/' || split_part(f.name, '.', 1), CASE split_part(f.name, '.', 2) WHEN '' THEN 0
	ELSE split_part(f.name, '.', 2)::bigint END, COALESCE((pg_stat_file(d.dir || '/' || f.name, true)).size, -1)
	FROM unnest(string_to_array($1, E'\n')) d(dir), LATERAL pg_ls_dir(d.dir, true, false) f(name)
	WHERE f.name ~ '^[1-9][0-9]{0,9}([.][1-9][0-9]{0,9})?$'`

// looks is how often the files must show the same before it counts: they change while they are listed.
const looks = 3

// files compares the files with the catalog, and says so where judge asks for it. It gives each relation its size.
func (x *check) files(ctx context.Context, d *database, list []*relation, judge bool) error {
	if len(list) == 0 {
		return nil
	}
	var s sizes
	a, err := x.ask(ctx, d.name, x.o.Short, nil, func(r *sql.Rows) error { return r.Scan(&s.page, &s.segment) }, sizesSQL)
	if err != nil {
		return err
	}
	wrong := map[*relation]Finding{}
	pending := list
	for look := range looks {
		if a.fate == fine {
			a, err = x.listed(ctx, d, pending, s, wrong, look > 0)
		}
		if err != nil {
			return err
		}
		if a.fate != fine {
			if judge {
				x.tell(Verdict{Database: d.name, Check: Files, Why: a.unverified()})
			}
			return nil
		}
		if len(wrong) == 0 || !judge {
			break
		}
		pending = slices.DeleteFunc(slices.Clone(pending), func(r *relation) bool { _, odd := wrong[r]; return !odd })
		if look+1 < looks {
			if err := wakeup.Pause(ctx, x.o.Again); err != nil {
				return err
			}
		}
	}
	if !judge {
		return nil
	}
	return x.judgeFiles(ctx, d, list, wrong)
}

// listed looks at the files of relations once. wrong keeps what this look shows, and where again is set only what the one before has shown.
func (x *check) listed(ctx context.Context, d *database, of []*relation, s sizes, wrong map[*relation]Finding, again bool) (answer, error) {
	var found map[string][]segment
	var dirs []string
	for _, r := range of {
		dirs = append(dirs, path.Dir(r.path))
	}
	slices.Sort(dirs)
	a, err := x.ask(ctx, d.name, x.o.Short, func() { found = map[string][]segment{} }, func(rows *sql.Rows) error {
		var name string
		var g segment
		err := rows.Scan(&name, &g.number, &g.size)
		if g.size >= 0 {
			found[name] = append(found[name], g)
		}
		return err
	}, filesSQL, strings.Join(slices.Compact(dirs), "\n"))
	if err != nil || a.fate != fine {
		return a, err
	}
	for _, r := range of {
		before, odd := wrong[r]
		now, bad := shape(r, found[r.path], s)
		if !again {
			for _, g := range found[r.path] {
				r.bytes += g.size
			}
		}
		switch {
		case !bad:
			delete(wrong, r)
		case !again || odd && before.Kind == now.Kind && before.Text == now.Text:
			wrong[r] = now
		default:
			delete(wrong, r)
		}
	}
	return a, nil
}

// shape finds what is wrong with the segments of a main fork.
func shape(r *relation, all []segment, s sizes) (f Finding, wrong bool) {
	slices.SortFunc(all, func(a, b segment) int { return int(a.number - b.number) })
	if len(all) == 0 || all[0].number > 0 {
		return Finding{Kind: MissingFile, Text: r.path + " is not there"}, true
	}
	last := 0 // with content: a truncation leaves empty ones
	for n, g := range all {
		if g.size > 0 {
			last = n
		}
	}
	at := func(number int64) *int64 { b := number * (s.segment / s.page); return &b }
	pages := int64(0)
	for n, g := range all {
		switch {
		case g.size > s.segment || g.size%s.page != 0:
			return Finding{BadFile, at(g.number), 0, fmt.Sprintf("segment %d of %s has %d bytes; a segment has %d at most, in pages of %d",
				g.number, r.path, g.size, s.segment, s.page)}, true
		case n < last && g.size < s.segment:
			return Finding{BadFile, at(g.number), 0, fmt.Sprintf("segment %d of %s has %d bytes of %d, and others follow: %d pages are not there",
				g.number, r.path, g.size, s.segment, (s.segment-g.size)/s.page)}, true
		case n <= last && g.number != int64(n):
			return Finding{BadFile, at(int64(n)), 0, fmt.Sprintf("segment %d of %s is not there, and others follow", n, r.path)}, true
		}
		pages += g.size / s.page
	}
	if pages < r.pages {
		return Finding{ShortFile, &pages, 0, fmt.Sprintf("%s has %d pages, and the catalog counted %d: pages may be missing at its end", r.path,
			pages, r.pages)}, true
	}
	return f, false
}

// judgeFiles tells the verdicts.
func (x *check) judgeFiles(ctx context.Context, d *database, list []*relation, wrong map[*relation]Finding) error {
	for _, r := range list {
		f, odd := wrong[r]
		v := Verdict{Database: d.name, Relation: r.name, OID: r.oid, Node: r.node, Check: Files, State: Clean}
		switch {
		case r.persistence != permanent:
			continue // its other checks say so
		case odd:
			same, err := x.exists(ctx, d, r)
			if err != nil {
				return err
			}
			if !same {
				continue // dropped, truncated or rewritten; its other checks count it
			}
			v.State = Unverified
			if f.Kind == ShortFile {
				v.add(Suspect, f)
			} else {
				v.add(Corrupt, f)
			}
		}
		x.tell(v)
	}
	return nil
}
