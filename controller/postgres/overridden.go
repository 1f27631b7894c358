package postgres

import (
	"cmp"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"mainstay/health"
)

// FileSetting is the last value that the configuration files give a setting.
type FileSetting struct {
	Name  string `json:"name"`
	Value string `json:"value"`
	File  string `json:"file"`
	// Written is mainstay.conf's value; nil where that file has none, or the server does not read it.
	Written *string `json:"written"`
}

// Overridden lists the managed settings to which the user's files give another value than ours, which a reload puts in force or has put.
// Our files do not win over ALTER SYSTEM. Left out are settings that only a start changes, because our start takes them out, and
// those that are the user's at times. altered: the server was adopted and not started by us since, so ours are in postgresql.auto.conf.
func (i *Server) Overridden(last []FileSetting, altered bool) (all []health.Override, err error) {
	if altered {
		return i.alteredSince(last)
	}
	auto := filepath.Join(i.Data, autoConf)
	for _, s := range last {
		if s.Written == nil || s.Value == *s.Written || slices.Contains(RestartKeys, s.Name) || slices.Contains(i.atTimes(), s.Name) {
			continue
		}
		mend := "delete it from " + s.File + " and " + run("")
		if sameFile(s.File, auto) {
			mend = run("ALTER SYSTEM RESET " + s.Name + "; ")
		}
		all = append(all, override(s.Name, s.Value, *s.Written, mend))
	}
	return all, nil
}

// alteredSince lists those that we set by ALTER SYSTEM and the user has changed since. Only settings that keep one value count: the others
// are set again, and verified, by each act that needs them.
func (i *Server) alteredSince(last []FileSetting) (all []health.Override, err error) {
	ours, err := i.altered()
	want := i.Values(Settings{})
	other := i.Values(Settings{PrimaryConnInfo: "x", PrimarySlot: "x", SyncNames: "x", SyncSlots: "x", Quiet: true})
	slices.Sort(ours)
	for _, name := range ours {
		value, fixed := want[name]
		if !fixed || value != other[name] {
			continue
		}
		n := slices.IndexFunc(last, func(s FileSetting) bool { return s.Name == name })
		switch {
		case n < 0:
			all = append(all, override(name, "", value, run("ALTER SYSTEM SET "+name+" = "+quoteLiteral(value)+"; ")))
		case last[n].Value != value:
			all = append(all, override(name, last[n].Value, value, run("ALTER SYSTEM SET "+name+" = "+quoteLiteral(value)+"; ")))
		}
	}
	return all, err
}

// Unapplied splits the settings that wait for a start into those that the next start applies, and those of ours whose value from
// ALTER SYSTEM it removes instead. Each of the latter says so, and which statements remove it now.
func (i *Server) Unapplied(s Status) (waiting, removed []string) {
	next := *i
	next.Kept = i.Kept.Want(s.Wanted, s.InForce) // what the user has just raised is taken over before that start
	ours, auto := next.Values(Settings{}), filepath.Join(i.Data, autoConf)
	for _, name := range s.PendingRestart {
		n := slices.IndexFunc(s.Last, func(f FileSetting) bool { return f.Name == name && sameFile(f.File, auto) })
		value, managed := ours[name]
		if n < 0 || !managed || s.Last[n].Value == value {
			waiting = append(waiting, name)
			continue
		}
		o := override(name, s.Last[n].Value, value, run("ALTER SYSTEM RESET "+name+"; "))
		removed = append(removed, fmt.Sprintf("%s = %s, which ALTER SYSTEM has set: Mainstay manages that setting and starts PostgreSQL "+
			"with %s. To remove it now, %s", name, cmp.Or(o.Value, "''"), cmp.Or(o.Wanted, "''"), o.Mend))
	}
	return waiting, removed
}

func run(statement string) string { return "run `" + statement + "SELECT pg_reload_conf();`" }

// override bounds a report's texts.
func override(name, value, wanted, mend string) health.Override {
	short := func(s string) string {
		const most = 200
		if s = redact(s); len(s) > most {
			s = strings.ToValidUTF8(s[:most], "") + "..."
		}
		return s
	}
	return health.Override{Name: name, Value: short(value), Wanted: short(wanted), Mend: mend}
}
