package render

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"mainstay/health"
)

// CheckedStructure is a check of the structure of a member's data.
type CheckedStructure struct {
	Cluster string            `json:"cluster"`
	Member  string            `json:"member"`
	Check   *health.Structure `json:"check,omitempty"` // nil where there was none
	Error   string            `json:"error,omitempty"` // why nothing, or no more, is known
}

// Structures is the report on checks of the structure.
func Structures(all []CheckedStructure, o Options) string {
	var parts []string
	for _, c := range all {
		text := ""
		if c.Error != "" {
			text = c.Member + ": " + c.Error + "\n"
		}
		if c.Check != nil || c.Error == "" {
			text += structure(c, o)
		}
		parts = append(parts, text)
	}
	return strings.Join(parts, "\n")
}

func structure(a CheckedStructure, o Options) string {
	s := a.Check
	if s == nil {
		return a.Member + ": its present data was not checked since the start of its agent\n"
	}
	var b strings.Builder
	if s.Version > 0 {
		role := "primary"
		if s.Standby {
			role = "replica"
		}
		fmt.Fprintf(&b, "%s %s, PostgreSQL %d, %s at %s: %s, %s of tables\n", a.Cluster, a.Member, s.Version, role, s.Position,
			count(s.Databases, "database"), number(s.Blocks, "page"))
	}
	var rows []row
	for _, check := range slices.Sorted(maps.Keys(s.Checks)) {
		c := s.Checks[check]
		wrong := func(n int64, st style) cell {
			if n == 0 {
				st = plain
			}
			return cell{strconv.FormatInt(n, 10), st}
		}
		rows = append(rows, row{cells: []cell{{check, bold}, wrong(c.Clean, green), wrong(c.Suspect, yellow), wrong(c.Corrupt, red),
			wrong(c.Unverified, yellow)}})
	}
	if len(rows) > 0 {
		b.WriteString("\n" + o.table("", []string{"CHECK", "CLEAN", "SUSPECT", "CORRUPT", "NOT VERIFIED"}, rows))
	}
	if len(s.Damage) > 0 {
		b.WriteString("\n" + o.table("", []string{"DATABASE", "RELATION", "CHECK", "VERDICT", "FINDINGS"}, damaged(s.Damage)))
	}
	if len(s.Unverified) > 0 {
		b.WriteString("\n")
	}
	for _, why := range s.Unverified {
		fmt.Fprintf(&b, "not verified, %s of %s: %s\n", why.Check, number(why.Relations, "relation"), why.Why)
	}
	if b.Len() > 0 {
		b.WriteString("\n")
	}
	b.WriteString(a.Member + ": " + structureVerdict(s, o) + "\n")
	return b.String()
}

func damaged(all []health.StructureDamage) (rows []row) {
	for _, d := range all {
		verdict := cell{"corrupt", red}
		if d.Suspect {
			verdict = cell{"suspect", yellow}
		}
		r := row{cells: []cell{{d.Database, plain}, {d.Relation, bold}, {d.Check, plain}, verdict, {strconv.Itoa(d.Found), plain}}}
		for _, f := range d.Evidence {
			at := f.Kind
			if f.Block != nil {
				at = fmt.Sprintf("block %d, %s", *f.Block, f.Kind)
			}
			r.below = append(r.below, cell{at + ": " + f.Text, yellow})
		}
		rows = append(rows, r)
	}
	return rows
}

func structureVerdict(s *health.Structure, o Options) string {
	corrupt, suspect := s.Wrong()
	found := fmt.Sprintf("%s corrupt, %d suspect", number(corrupt, "verdict"), suspect)
	switch {
	case s.Running && corrupt+suspect == 0:
		return o.paint(yellow, "running") + fmt.Sprintf(", at %d%%%s", s.Percent, WaitsFor(s))
	case s.Running:
		return o.paint(red, "damaged") + ": " + found + fmt.Sprintf("; running, at %d%%%s", s.Percent, WaitsFor(s))
	case corrupt > 0:
		return o.paint(red, "damaged") + ": " + found + ended(s)
	case suspect > 0:
		return o.paint(yellow, "suspect") + ": " + found + ended(s)
	case !s.Complete:
		return o.paint(yellow, "not finished") + ended(s)
	case !s.Looked():
		return o.paint(yellow, "not verified") + ": no table and no index, but their files" + ended(s)
	}
	return o.paint(green, "no damage found") + " in what was verified" + ended(s)
}

// WaitsFor is why a check does nothing at the moment.
func WaitsFor(s *health.Structure) string {
	if s.Waiting == "" {
		return ""
	}
	return " (waiting: " + s.Waiting + ")"
}

func ended(s *health.Structure) string {
	text := fmt.Sprintf("; %s ago, after %s", (time.Duration(s.AgeMS) * time.Millisecond).Round(time.Second),
		(time.Duration(s.TookMS) * time.Millisecond).Round(100*time.Millisecond))
	if s.Ended != "" {
		text += "; it ended before: " + s.Ended
	}
	return text
}
