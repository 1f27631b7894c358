package render

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"mainstay/controller/platform"
	"mainstay/controller/state"
	"mainstay/controller/wire"
	"mainstay/health"
)

// Verdict is what is known of a member's data.
type Verdict string

// The verdicts. None says that the data is whole: a scan proves the checksums of what it has read, and nothing more.
const (
	Damaged  Verdict = "damaged (excluded)"
	SetAside Verdict = "damaged (set aside)" // an operator has withdrawn the exclusion, and the evidence is still reported
	Reported Verdict = "damaged"             // is about to be excluded
	Suspect  Verdict = "suspect"
	NotFound Verdict = "no damage found"
	NoSums   Verdict = "no checksums: no wrong header found"
	Never    Verdict = "not scanned yet"
	Unheard  Verdict = "unknown"
	// By the newest comparison of the members' files. What it has proven is soon in the history, and then the member is excluded.
	Different Verdict = "damaged (by comparison)"
	OneOf     Verdict = "suspect (by comparison)"
	// By PostgreSQL's log, in which any session can raise an error, or by its catalog.
	Logged Verdict = "suspect (by PostgreSQL)"
)

// Integrity is what is known of a member's data, for integrity show.
type Integrity struct {
	Cluster  string  `json:"cluster"`
	Member   string  `json:"member"`
	Verdict  Verdict `json:"verdict"`
	Evidence string  `json:"evidence,omitempty"`
	// Scan is how far the agent's scans are; nil before the first. AgeMS in it counts to the agent's last report.
	Scan *health.Scan `json:"scan,omitempty"`
	// Age is how long ago the last complete scan ended, in nanoseconds; 0 if none has. Next is how long until the next one may begin, at
	// least 1; 0 while one runs, or if that is not known.
	Age  time.Duration `json:"age,omitempty"`
	Next time.Duration `json:"next,omitempty"`
	// The same in seconds.
	AgeSeconds           float64 `json:"ageSeconds,omitempty"`
	NextSeconds          float64 `json:"nextSeconds,omitempty"`
	ComparisonAgeSeconds float64 `json:"comparisonAgeSeconds,omitempty"`
	// Comparison is the newest one of the cluster that includes the member, with the first pages that differ; nil for none. ComparisonAge is
	// how long ago it ended, in nanoseconds.
	Comparison    *health.Comparison `json:"comparison,omitempty"`
	ComparisonAge time.Duration      `json:"comparisonAge,omitempty"`
	// Checks are when the deep checks of its data were made last, and when the next ones are due.
	Checks []health.PlannedCheck `json:"checks,omitempty"`
	// Log is what PostgreSQL's log has said against the data or its disk; nil if that is not known.
	Log *health.ServerLog `json:"log,omitempty"`
	// ShortFiles are files that contradict the catalog.
	ShortFiles []string `json:"shortFiles,omitempty"`
	// Frozen is the freeze of its replay that the controllers have recorded, nil for none. FrozenAt is where PostgreSQL has confirmed it, 0
	// while it has not.
	Frozen   *state.Freeze `json:"frozen,omitempty"`
	FrozenAt platform.LSN  `json:"frozenAt,omitempty"`
}

// Integrities are the verdicts on all members of a cluster.
func Integrities(c wire.ClusterState) (all []Integrity) {
	for _, m := range c.Members {
		i := IntegrityOf(c.Name, m)
		for _, by := range c.Members {
			if by.Seen == nil || by.Seen.Comparison == nil || !slices.Contains(by.Seen.Comparison.Members, m.Name) {
				continue
			}
			if data := by.Seen.Comparison.Incarnations[m.Name]; data != "" && m.Seen != nil && m.Seen.Incarnation != data {
				continue // a copy has replaced that data since
			}
			age := time.Duration(by.Seen.Comparison.AgeMS)*time.Millisecond + by.Age
			if i.Comparison == nil || age < i.ComparisonAge {
				i.Comparison, i.ComparisonAge = by.Seen.Comparison, age
			}
		}
		i.compared()
		for _, p := range c.Checks {
			if p.Member == "" || p.Member == m.Name {
				i.Checks = append(i.Checks, p)
			}
		}
		i.ComparisonAgeSeconds = i.ComparisonAge.Seconds()
		all = append(all, i)
	}
	return all
}

// compared takes what the comparison says. It replaces no verdict that is about damage.
func (i *Integrity) compared() {
	c := i.Comparison
	if c == nil || i.Verdict == Damaged || i.Verdict == Reported || i.Verdict == SetAside {
		return
	}
	switch {
	case c.Wrong[i.Member] > 0:
		i.Verdict = Different
	case c.Suspect[i.Member] > 0:
		i.Verdict = OneOf
	default:
		return
	}
	for _, d := range c.Damage {
		if slices.Contains(d.Suspects, i.Member) {
			i.Evidence = or(i.Evidence, fmt.Sprintf("%s block %d, %s: %s", d.Path, d.Block, d.Kind, d.Detail))
		}
	}
}

// IntegrityOf is the verdict on a member.
func IntegrityOf(cluster string, m wire.MemberStatus) Integrity {
	i := Integrity{Cluster: cluster, Member: m.Name, Verdict: Unheard, Evidence: m.Excluded, Frozen: m.Frozen}
	if m.Seen != nil {
		i.Scan, i.Log, i.ShortFiles, i.Verdict = m.Seen.Scan, m.Seen.Log, m.Seen.ShortFiles, knownOf(m.Seen)
		if f := m.Seen.Frozen; f != nil && m.Frozen != nil && f.Incarnation == m.Frozen.As {
			i.FrozenAt = f.At
		}
		if i.Scan != nil && i.Scan.Complete {
			i.Age = time.Duration(i.Scan.AgeMS)*time.Millisecond + m.Age
		}
		if i.Scan != nil && i.Scan.NextMS > 0 {
			i.Next = max(1, time.Duration(i.Scan.NextMS)*time.Millisecond-m.Age)
		}
		i.AgeSeconds, i.NextSeconds = i.Age.Seconds(), i.Next.Seconds()
		i.Evidence = health.JoinDamage(m.Seen.Damage, m.Excluded) // what was found since the verdict as well
	}
	if m.Excluded != "" {
		i.Verdict = Damaged
	} else if i.Verdict == Reported && health.KnownDamage(m.Seen.Damage, m.Cleared) {
		i.Verdict = SetAside
	}
	return i
}

func knownOf(m *health.Member) Verdict {
	s := m.Scan
	switch {
	case m.Damage != "":
		return Reported
	case s != nil && s.Unsettled > 0:
		return Suspect
	case m.Log.Sign(health.SignOfDamage) != nil || m.Log.Sign(health.SignOfWAL) != nil || len(m.ShortFiles) > 0:
		return Logged
	case s == nil || !s.Complete:
		return Never
	case !s.Checksums:
		return NoSums
	}
	return NotFound
}

// Verdicts is the table of integrity show.
func Verdicts(all []Integrity, o Options) string {
	if len(all) == 0 {
		return "no members\n"
	}
	var rows []row
	unsettled := false
	for _, i := range all {
		r := row{cells: []cell{{i.Cluster, plain}, {i.Member, bold}, {string(i.Verdict), verdictStyle[i.Verdict]}, {lastScan(i), plain}}}
		verified, unverified := "-", "-"
		if s := i.Scan; s != nil && s.Complete {
			verified, unverified = strconv.FormatInt(s.Verified, 10), strconv.FormatInt(s.Unverified, 10)
		}
		r.cells = append(r.cells, cell{verified, plain}, cell{unverified, plain})
		if i.Evidence != "" {
			r.below = append(r.below, cell{i.Evidence, yellow})
		}
		if f := i.Frozen; f != nil {
			at := ", and not confirmed yet"
			if i.FrozenAt != 0 {
				at = " at " + i.FrozenAt.String()
			}
			r.below = append(r.below, cell{"replay frozen since " + f.Since + at + ": " + f.Why, yellow})
		}
		for _, f := range i.ShortFiles {
			r.below = append(r.below, cell{f, yellow})
		}
		r.below = append(r.below, logLines(i.Log)...)
		unsettled = unsettled || i.Verdict == Suspect
		rows = append(rows, r)
	}
	text := o.table("", []string{"CLUSTER", "MEMBER", "VERDICT", "LAST SCAN", "VERIFIED", "NOT VERIFIED"}, rows)
	if unsettled {
		text += "\nsuspect: pages looked damaged, but no checkpoint had passed when the scan ended, so the next scan decides\n"
	}
	shown := map[*health.Comparison]bool{}
	for _, i := range all {
		if c := i.Comparison; c != nil && !shown[c] {
			if len(shown) == 0 {
				text += "\n"
			}
			shown[c] = true
			text += comparisonLine(i.Cluster, i)
		}
	}
	return text + planned(all, o)
}

// logLines say what PostgreSQL's log has said, and what of it is not known.
func logLines(l *health.ServerLog) (all []cell) {
	if l == nil {
		return nil
	}
	for _, s := range l.Signs {
		all = append(all, cell{signNames[s.Kind] + ": " + s.String(), yellow})
	}
	if l.Unread != "" {
		all = append(all, cell{"not verified (PostgreSQL's log): " + l.Unread, yellow})
	}
	return all
}

// signNames are the kinds of entries, as a line shows them.
var signNames = map[string]string{health.SignOfDamage: "PostgreSQL's log, damaged data",
	health.SignOfStorage: "PostgreSQL's log, errors of the disk", health.SignOfPanic: "PostgreSQL's log, PANIC",
	health.SignOfInternal: "PostgreSQL's log, internal errors", health.SignOfWAL: "WAL is lost"}

// planned is the table of the deep checks: when each was made last, and when it is due.
func planned(all []Integrity, o Options) string {
	var rows []row
	compared := map[string]bool{}
	for _, i := range all {
		for _, p := range i.Checks {
			of := p.Member
			if of == "" {
				if compared[i.Cluster] {
					continue
				}
				compared[i.Cluster], of = true, "all members"
			}
			rows = append(rows, texts(i.Cluster, of, string(p.Depth), lastCheck(p), nextCheck(p)))
		}
	}
	if len(rows) == 0 {
		return ""
	}
	return "\n" + o.table("", []string{"CLUSTER", "CHECKED", "DEPTH", "LAST", "NEXT"}, rows)
}

// milliseconds reads an age, to the second.
func milliseconds(n int64) time.Duration {
	return (time.Duration(n) * time.Millisecond).Round(time.Second)
}

func span(n float64) time.Duration { return time.Duration(n * float64(time.Second)) }

func lastCheck(p health.PlannedCheck) string {
	text := "never"
	if p.DoneMS > 0 {
		text = milliseconds(p.DoneMS).String() + " ago"
	}
	if p.Ended != "" && !p.Running {
		text += "; a later one ended early: " + p.Ended
	}
	if p.Damage != "" {
		text += "; damage: " + p.Damage
	}
	return text
}

func nextCheck(p health.PlannedCheck) string {
	every := " (every " + span(p.EverySeconds).String()
	if p.FullSeconds > 0 {
		every += ", all pages every " + span(p.FullSeconds).String()
	}
	every += ")"
	switch {
	case p.Running:
		text := fmt.Sprintf("at %d%% now", p.Percent)
		if p.By != p.Member {
			text += ", by the agent of " + p.By
		}
		if !p.Scheduled {
			text += ", for an operator"
		}
		if p.Waiting != "" {
			text += "; waits: " + p.Waiting
		}
		return text
	case p.EverySeconds == 0:
		return "not scheduled"
	case p.NextMS > 0:
		return "in " + max(time.Second, milliseconds(p.NextMS)).String() + every
	case p.Hold != "":
		return "due, but " + p.Hold + every
	}
	return "due" + every
}

var verdictStyle = map[Verdict]style{Damaged: red, Reported: red, SetAside: yellow, Suspect: yellow, NoSums: yellow, NotFound: green,
	Never: yellow, Unheard: yellow, Different: red, OneOf: yellow, Logged: yellow}

// lastScan is the age of the last complete scan, how far the present one is, and when the next one may begin.
func lastScan(i Integrity) string {
	var parts []string
	s := i.Scan
	if s == nil {
		return "-"
	}
	if s.Complete {
		parts = append(parts, i.Age.Round(time.Second).String()+" ago")
	}
	next := "next"
	switch {
	case s.Running:
		parts = append(parts, fmt.Sprintf("at %d%% now", s.Percent))
	case s.Percent > 0:
		parts, next = append(parts, fmt.Sprintf("interrupted at %d%%", s.Percent)), "continues"
	case !s.Complete:
		next = "first"
	}
	switch wait := i.Next.Round(time.Second); {
	case s.Off:
		parts = append(parts, "off in the agent's file")
	case wait > 0:
		parts = append(parts, next+" in "+wait.String())
	case i.Next > 0 && next != "continues": // it waits for its turn, or until the member runs undisturbed
		parts = append(parts, next+" is due")
	}
	return or(strings.Join(parts, ", "), "-")
}
