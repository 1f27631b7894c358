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

// Compared is the report on a comparison.
func Compared(cluster string, c *health.Comparison, o Options) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %s compared by the agent of %s in %s\n", cluster, strings.Join(c.Members, ", "), c.By,
		(time.Duration(c.TookMS) * time.Millisecond).Round(100*time.Millisecond))
	for _, m := range slices.Sorted(maps.Keys(c.LeftOut)) {
		fmt.Fprintf(&b, "%s: %s: %s\n", o.paint(yellow, "not compared"), m, c.LeftOut[m])
	}
	fmt.Fprintf(&b, "%s, equal %d, different %d\n", number(c.Blocks, "page"), c.Equal, c.Differ)
	switch {
	case c.FullBecause != "":
		fmt.Fprintf(&b, "every page was read, and not only what has changed: %s\n", c.FullBecause)
	case c.Incremental:
		fmt.Fprintf(&b, "%s not read again, since no WAL has changed them (%s of WAL were read)%s\n", number(c.Unread, "page"),
			Bytes(c.WALBytes), unreadAge(c, 0))
	}
	for _, why := range slices.Sorted(maps.Keys(c.Unverified)) {
		fmt.Fprintf(&b, "not verified, %s: %s\n", why, number(c.Unverified[why], "page"))
	}
	if c.PageBytes > 0 {
		fmt.Fprintf(&b, "%s read on each member, %s sent between them: %s per GB\n", Bytes(c.PageBytes), Bytes(c.SentBytes), Bytes(c.SentPerGB()))
	}
	if len(c.Damage) > 0 {
		b.WriteString("\n" + differences(c, o))
	}
	b.WriteString("\n")
	for _, m := range c.Members {
		text, style := comparedVerdict(c, m)
		fmt.Fprintf(&b, "%s: %s\n", m, o.paint(style, text))
	}
	return b.String()
}

// differences is the table of the pages that are not the same.
func differences(c *health.Comparison, o Options) string {
	var rows []row
	for _, d := range c.Damage {
		who := strings.Join(d.Suspects, ", ")
		if !d.Named {
			who = "one of " + who
		}
		settled := "yes"
		if !d.Settled {
			settled = "not yet"
		}
		rows = append(rows, row{cells: texts(d.Path, strconv.FormatUint(uint64(d.Block), 10), d.Kind, who, settled).cells,
			below: []cell{{or(d.Relation, "unknown relation") + ": " + d.Detail, yellow}}})
	}
	text := o.table("", []string{"FILE", "BLOCK", "DIFFERENCE", "WRONG ON", "SETTLED"}, rows)
	if more := c.Differ - int64(len(c.Damage)); more > 0 {
		text += fmt.Sprintf("and %s\n", number(more, "further page"))
	}
	return text
}

// comparedVerdict is what a comparison says of one member.
func comparedVerdict(c *health.Comparison, member string) (string, style) {
	switch {
	case c.Wrong[member] > 0:
		return "damaged: " + number(c.Wrong[member], "page"), red
	case c.Suspect[member] > 0:
		return fmt.Sprintf("suspect: %s wrong here or on another member", number(c.Suspect[member], "page")), yellow
	case !c.Complete:
		return "not compared to the end: " + or(c.Ended, "it is running"), yellow
	}
	if c.Unread > 0 {
		return fmt.Sprintf("no difference found in what was read; %s not read again%s", number(c.Unread, "page"), unreadAge(c, 0)), green
	}
	return "no difference found", green
}

// unreadAge is the age of the oldest page that a comparison has not read again, that long after it; "" for none.
func unreadAge(c *health.Comparison, after time.Duration) string {
	if c.Unread == 0 {
		return ""
	}
	return fmt.Sprintf(", last read up to %s ago", (time.Duration(c.UnreadMS)*time.Millisecond + after).Round(time.Second))
}

// comparisonLine is a comparison in one line, for integrity show.
func comparisonLine(cluster string, i Integrity) string {
	c := i.Comparison
	if c.Running {
		return fmt.Sprintf("%s: %s are being compared, at %d%%, %s wait for a checkpoint\n", cluster, strings.Join(c.Members, ", "), c.Percent,
			number(c.Waiting, "page"))
	}
	text := fmt.Sprintf("%s: %s were compared %s ago: %s, equal %d, different %d", cluster, strings.Join(c.Members, ", "),
		i.ComparisonAge.Round(time.Second), number(c.Blocks, "page"), c.Equal, c.Differ)
	left := int64(0)
	for _, blocks := range c.Unverified {
		left += blocks
	}
	text += fmt.Sprintf(", not verified %d", left)
	if c.Unread > 0 {
		text += fmt.Sprintf(", not read again %d%s", c.Unread, unreadAge(c, i.ComparisonAge))
	}
	if c.Ended != "" {
		text += "; it ended early: " + c.Ended
	}
	return text + "\n"
}
