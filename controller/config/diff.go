package config

import (
	"fmt"
	"strings"

	"mainstay/controller/platform"
)

// Kind is what a Change does. The zero value is no kind.
type Kind string

// The kinds of Change.
const (
	Added   Kind = "added"
	Removed Kind = "removed"
	Changed Kind = "changed"
)

// Change is one difference between two platforms.
type Change struct {
	Path   string `json:"path"`             // clusters[feed].members[feed-e2].priority
	Kind   Kind   `json:"kind"`             //
	Old    string `json:"old,omitempty"`    // as the platform file writes it; empty where added
	New    string `json:"new,omitempty"`    // empty where removed
	Note   string `json:"note,omitempty"`   // a remark for the operator; often empty
	Remove string `json:"remove,omitempty"` // the member or cluster that --remove must name for this change; otherwise empty
}

// String prints the change as one line that begins with +, - or ~.
func (c Change) String() string {
	var s string
	switch c.Kind {
	case Added:
		s = "+ " + strings.TrimSuffix(c.Path+": "+c.New, ": {}")
	case Removed:
		s = "- " + strings.TrimSuffix(c.Path+": "+c.Old, ": {}")
	default:
		s = "~ " + c.Path + ": " + c.Old + " -> " + c.New
	}
	if c.Note != "" {
		s += "  # " + c.Note
	}
	return s
}

// FormatDiff prints one line for each change, each ended by a newline; "" for no change.
func FormatDiff(changes []Change) string {
	var b strings.Builder
	for _, c := range changes {
		b.WriteString(c.String() + "\n")
	}
	return b.String()
}

// Diff lists the changes by which the new platform would replace the old one, in the order of the platform file. Entries are matched
// by name; the order of a list does not matter, except for hooks. A nil platform is an empty one.
func Diff(old, new *platform.Platform) []Change {
	if old == nil {
		old = &platform.Platform{}
	}
	if new == nil {
		new = &platform.Platform{}
	}
	d := &differ{old: old, new: new}
	if old.Name != new.Name {
		d.settings("", []setting{text("platform", old.Name)}, []setting{text("platform", new.Name)}, notePlatform(old.Name))
	}
	entries(d, "sites", old.Sites, new.Sites, siteForm, siteNotes)
	entries(d, "hosts", old.Hosts, new.Hosts, hostForm, hostNotes)
	d.clusters()
	d.apps()
	entries(d, "hooks", numberedHooks(old.Hooks), numberedHooks(new.Hooks), numberedForm, hookNotes)
	return d.changes
}

// differ collects changes.
type differ struct {
	old, new *platform.Platform
	changes  []Change
}

// notes makes the remarks on the removal of an entry, and on a change of one of its settings.
type notes[T any] struct {
	removed func(old T) (note, remove string)
	changed func(key string, old, new T) string
}

func (d *differ) clusters() {
	entries(d, "clusters", d.old.Clusters, d.new.Clusters, clusterForm, clusterNotes)
	before := byName(d.old.Clusters, clusterForm)
	for _, c := range d.new.Clusters {
		was := before[scalar(c.Name)]
		entries(d, "clusters["+c.Name+"].members", was.Members, c.Members, memberForm, memberNotes)
	}
}

func (d *differ) apps() {
	entries(d, "apps", d.old.Apps, d.new.Apps, appForm, appNotes)
	before := byName(d.old.Apps, appForm)
	for _, a := range d.new.Apps {
		was := before[scalar(a.Name)]
		entries(d, "apps["+a.Name+"].instances", was.Instances, a.Instances, instanceForm, instanceNotes)
	}
}

// byName indexes a list by the first setting of each entry, its name.
func byName[T any](list []T, form func(T) []setting) map[string]T {
	out := map[string]T{}
	for _, e := range list {
		out[form(e)[0].value] = e
	}
	return out
}

// entries compares two lists whose entries have names: first the removed entries, then the new and changed ones.
func entries[T any](d *differ, path string, old, new []T, form func(T) []setting, n notes[T]) {
	before, after := byName(old, form), byName(new, form)
	for _, e := range old {
		f := form(e)
		if _, stays := after[f[0].value]; !stays {
			c := Change{Path: at(path, f), Kind: Removed, Old: flow(f, "name")}
			if n.removed != nil {
				c.Note, c.Remove = n.removed(e)
			}
			d.changes = append(d.changes, c)
		}
	}
	for _, e := range new {
		f := form(e)
		was, known := before[f[0].value]
		if !known {
			d.changes = append(d.changes, Change{Path: at(path, f), Kind: Added, New: flow(f, "name")})
			continue
		}
		d.settings(at(path, f)+".", form(was), f, func(key string) string {
			if n.changed == nil {
				return ""
			}
			return n.changed(key, was, e)
		})
	}
}

// settings compares two forms of one entry. A setting that had no value, or has none any more, is added or removed.
func (d *differ) settings(prefix string, old, new []setting, note func(key string) string) {
	for i, s := range new {
		if old[i].value == s.value {
			continue
		}
		c := Change{Path: prefix + s.key, Kind: Changed, Old: old[i].value, New: s.value, Note: note(s.key)}
		switch {
		case isBlank(c.Old):
			c.Kind, c.Old = Added, ""
		case isBlank(c.New):
			c.Kind, c.New = Removed, ""
		}
		d.changes = append(d.changes, c)
	}
}

func isBlank(value string) bool { return value == `""` || value == "[]" || value == "{}" }

func at(path string, form []setting) string { return fmt.Sprintf("%s[%s]", path, form[0].value) }
