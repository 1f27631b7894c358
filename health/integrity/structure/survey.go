package structure

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"path"
	"strconv"
)

// database is one database of the server.
type database struct {
	oid     uint32
	name    string
	bytes   int64
	refused string // why it cannot be checked; "" if it can
	failed  answer // of what was asked to find that out; the zero value for none
	// functions are the names, quoted and with their schemas, of what the extensions have here, by name and types of the parameters. The
	// types decide: a user may have made others of the same name, which an exact match never takes.
	functions map[string]string
	missing   map[string]string // why an extension has no functions, by its name
}

// The extensions.
const (
	amcheck    = "amcheck"
	visibility = "pg_visibility"
)

// The functions, as functions has them.
const (
	verifyHeap  = "verify_heapam(regclass, boolean, boolean, text, bigint, bigint)"
	checkBTree  = "bt_index_check(regclass, boolean)"
	checkUnique = "bt_index_check(regclass, boolean, boolean)" // from 17 on
	checkGIN    = "gin_index_check(regclass)"                  // from 18 on
	checkFrozen = "pg_check_frozen(regclass)"
	checkSeen   = "pg_check_visible(regclass)"
	mapOf       = "pg_visibility(regclass, bigint)"
	bothMaps    = "pg_visibility(regclass)"
)

// without says why a function is not there.
func (d *database) without(extension, function string) string {
	if why := d.missing[extension]; why != "" {
		return why
	}
	return fmt.Sprintf("the extension %s of database %s has no %s", extension, d.name, function)
}

// databases lists the server's databases by OID.
func (x *check) databases(ctx context.Context) (all []*database, err error) {
	from := x.Local.Database
	if from == "" {
		from = "postgres"
	}
	const about = "SELECT current_setting('server_version_num')::int / 10000, pg_is_in_recovery()"
	a, err := x.ask(ctx, from, x.o.Short, nil, func(r *sql.Rows) error { return r.Scan(&x.result.Version, &x.result.Standby) }, about)
	if err != nil || a.err != nil {
		return nil, errors.Join(err, a.err)
	}
	if x.o.Install && x.result.Standby {
		return nil, errors.New("create extensions: a standby cannot; ask for it on the primary, and its replicas get them from there")
	}
	const list = `SELECT oid, datname, CASE WHEN datconnlimit = -2 THEN 'a DROP DATABASE of it was interrupted'
		WHEN NOT datallowconn THEN format('%s allows no connections', datname) ELSE '' END FROM pg_database ORDER BY oid`
	begin := func() { all = nil }
	a, err = x.ask(ctx, from, x.o.Short, begin, func(r *sql.Rows) error {
		d := &database{}
		all = append(all, d)
		return r.Scan(&d.oid, &d.name, &d.refused)
	}, list)
	if err != nil || a.err != nil {
		return nil, errors.Join(err, a.err)
	}
	kept := all[:0]
	for _, d := range all {
		if x.o.Only == nil || x.o.Only(d.name) {
			kept = append(kept, d)
		}
	}
	all = kept
	for _, d := range all {
		if err := x.survey(ctx, d); err != nil {
			return nil, err
		}
		x.total += d.bytes
		if x.shared == 0 && d.refused == "" && d.functions[verifyHeap] != "" {
			x.shared = d.oid
		}
	}
	for _, d := range all { // none has the extension
		if x.shared == 0 && d.refused == "" {
			x.shared = d.oid
		}
	}
	return all, nil
}

// survey finds what a database can be checked with.
func (x *check) survey(ctx context.Context, d *database) error {
	if d.refused != "" {
		return nil
	}
	a, err := x.ask(ctx, d.name, x.o.Short, nil, func(r *sql.Rows) error { return r.Scan(&d.bytes) },
		"SELECT pg_database_size(oid) FROM pg_database WHERE oid = $1", d.oid)
	if err != nil {
		return err
	}
	if a.fate != fine { // a database that was dropped, or whose catalog is damaged
		d.refused, d.failed = a.unverified(), a
		return nil
	}
	template := false
	a, err = x.ask(ctx, d.name, x.o.Short, nil, func(r *sql.Rows) error { return r.Scan(&template) },
		"SELECT datistemplate FROM pg_database WHERE oid = $1", d.oid)
	if err != nil {
		return err
	}
	install := x.o.Install && a.fate == fine && !template
	d.missing = map[string]string{}
	for _, extension := range []string{amcheck, visibility} {
		d.missing[extension] = fmt.Sprintf("the extension %s is not in database %s%s", extension, d.name, hint(template))
		if !install {
			continue
		}
		if a, err = x.create(ctx, d, extension); err != nil {
			return err
		}
		if a.fate != fine {
			d.missing[extension] = fmt.Sprintf("the extension %s could not be created in database %s: %s", extension, d.name, text(a.err))
		}
	}
	return x.extensions(ctx, d)
}

// hint says how a missing extension comes into a database.
func hint(template bool) string {
	if template {
		return ", and in templates none is created"
	}
	return "; `mainstay integrity check --depth structure --install-extensions` creates it through the primary"
}

// create creates an extension, in a schema in which no other user may create anything.
func (x *check) create(ctx context.Context, d *database, extension string) (answer, error) {
	mine := false
	a, err := x.ask(ctx, d.name, x.o.Short, nil, func(r *sql.Rows) error { return r.Scan(&mine) }, `SELECT NOT EXISTS (
		SELECT FROM pg_namespace n WHERE nspname = 'mainstay' AND (NOT (SELECT rolsuper FROM pg_roles r WHERE r.oid = nspowner)
		OR EXISTS (SELECT FROM aclexplode(nspacl) WHERE privilege_type = 'CREATE' AND grantee <> nspowner)))`)
	if err != nil || a.fate != fine {
		return a, err
	}
	if !mine {
		return answer{fate: refused, err: errors.New("others may create objects in the schema mainstay")}, nil
	}
	for _, statement := range []string{"CREATE SCHEMA IF NOT EXISTS mainstay",
		"CREATE EXTENSION IF NOT EXISTS " + extension + " SCHEMA mainstay"} {
		if a, err = x.ask(ctx, d.name, x.o.Short, nil, none, statement); err != nil || a.fate != fine {
			return a, err
		}
	}
	return a, nil
}

func none(*sql.Rows) error { return nil }

// extensions finds the functions that a database has, and makes sure that their libraries can be loaded.
func (x *check) extensions(ctx context.Context, d *database) error {
	type function struct{ extension, name, key string }
	var all []function
	a, err := x.ask(ctx, d.name, x.o.Short, func() { all = nil }, func(r *sql.Rows) error {
		var f function
		defer func() { all = append(all, f) }()
		return r.Scan(&f.extension, &f.name, &f.key)
	}, `SELECT e.extname, quote_ident(n.nspname) || '.' || quote_ident(p.proname), p.proname || '(' || oidvectortypes(p.proargtypes) || ')'
		FROM pg_extension e JOIN pg_depend d ON d.refclassid = 'pg_extension'::regclass AND d.refobjid = e.oid AND d.deptype = 'e'
		AND d.classid = 'pg_proc'::regclass JOIN pg_proc p ON p.oid = d.objid JOIN pg_namespace n ON n.oid = p.pronamespace
		WHERE e.extname IN ('amcheck', 'pg_visibility')`)
	if err != nil {
		return err
	}
	if a.fate != fine {
		d.refused, d.failed = a.unverified(), a
		return nil
	}
	d.functions = map[string]string{}
	loads := map[string]bool{}
	for _, f := range all {
		loaded, known := loads[f.extension]
		if !known {
			a, err := x.ask(ctx, d.name, x.o.Short, nil, none, "LOAD '"+f.extension+"'")
			if err != nil {
				return err
			}
			loaded = a.fate == fine
			if loads[f.extension] = loaded; loaded {
				delete(d.missing, f.extension)
			} else {
				d.missing[f.extension] = fmt.Sprintf("the library of the extension %s cannot be loaded: %s", f.extension, text(a.err))
			}
		}
		if loaded {
			d.functions[f.key] = f.name
		}
	}
	return nil
}

// Kinds of relations, and how they persist, as pg_class has them.
const (
	kindIndex = "i"
	kindSeq   = "S"

	permanent = "p"
	temporary = "t"
)

// relation is one with files.
type relation struct {
	oid         uint32
	name        string // with its schema
	kind        string
	persistence string
	method      string // access method
	path        string // of its main fork's first segment
	node        uint32
	pages       int64 // by pg_class: an estimate
	usable      bool  // an index that is valid, ready and live
	unique      bool
	bytes       int64 // of its main fork, when the files were listed
}

const relationsSQL = `SELECT c.oid, quote_ident(n.nspname) || '.' || quote_ident(c.relname), c.relkind::text, c.relpersistence::text,
	COALESCE(am.amname, ''), COALESCE(pg_relation_filepath(c.oid), ''), c.relpages,
	COALESCE(i.indisvalid AND i.indisready AND i.indislive, true), COALESCE(i.indisunique, false)
	FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace LEFT JOIN pg_am am ON am.oid = c.relam
	LEFT JOIN pg_index i ON i.indexrelid = c.oid
	WHERE c.relkind IN ('r', 'm', 't', 'S', 'i') AND (NOT c.relisshared OR $1) ORDER BY c.oid`

// relations lists the relations of a database by OID; shared ones count for one database. A failure that is only the database's is told.
func (x *check) relations(ctx context.Context, d *database) (all []*relation, err error) {
	begin := func() { all = nil }
	a, err := x.ask(ctx, d.name, x.o.Short, begin, func(rows *sql.Rows) error {
		r := &relation{}
		if err := rows.Scan(&r.oid, &r.name, &r.kind, &r.persistence, &r.method, &r.path, &r.pages, &r.usable, &r.unique); err != nil {
			return err
		}
		if n, err := strconv.ParseUint(path.Base(r.path), 10, 32); err == nil {
			r.node = uint32(n)
		}
		if r.path != "" { // else it was dropped a moment ago
			all = append(all, r)
		}
		return nil
	}, relationsSQL, d.oid == x.shared)
	if err != nil {
		return nil, err
	}
	if a.fate != fine {
		x.unlisted(d, a)
		return nil, nil
	}
	return all, nil
}

// unlisted tells that a database as a whole has no verdict, or that its catalog cannot be read.
func (x *check) unlisted(d *database, a answer) {
	v := Verdict{Database: d.name, Check: All}
	switch a.fate {
	case broken:
		v.add(Corrupt, evidence(a.err, Failure))
	case doubtful:
		v.add(Suspect, evidence(a.err, Failure))
	default:
		v.Why = a.unverified()
	}
	x.tell(v)
}

// exists tells whether a relation is still there, with the same file. Without an answer it counts as there.
func (x *check) exists(ctx context.Context, d *database, r *relation) (same bool, err error) {
	a, err := x.ask(ctx, d.name, x.o.Short, nil, func(rows *sql.Rows) error { return rows.Scan(&same) },
		"SELECT COALESCE((SELECT pg_relation_filepath(oid) = $2 FROM pg_class WHERE oid = $1), false)", r.oid, r.path)
	return same || a.fate != fine, err
}
