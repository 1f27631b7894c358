package render

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"mainstay/controller/platform"
	"mainstay/controller/wire"
)

// Catalogue is the table of backups of some clusters, with what runs and what is due.
func Catalogue(all []wire.Backups, o Options) string {
	var b strings.Builder
	for n, c := range all {
		if n > 0 {
			b.WriteString("\n")
		}
		b.WriteString(o.catalogue(c))
	}
	if len(all) == 0 {
		return "no cluster has a backup section in the platform file, and no backup is known\n"
	}
	return b.String()
}

func (o Options) catalogue(c wire.Backups) string {
	var b strings.Builder
	b.WriteString(o.paint(bold, "backups of "+c.Cluster) + "   " + nextBackup(c) + "\n")
	for _, p := range c.Problems {
		b.WriteString("  " + o.paint(severityStyle(p.Kind.Severity()), string(p.Kind)) + ": " + p.Evidence + "\n")
	}
	if text := archiveText(c); text != "" {
		b.WriteString("  archive: " + text + "\n")
	}
	if j := c.Job; j != nil {
		b.WriteString("  " + o.paint(bold, "now: "+JobText(c)) + "\n")
	} else if c.Last != nil && !c.Last.Done {
		b.WriteString("  " + o.paint(yellow, fmt.Sprintf("the last work (%s of %s on %s) failed: %s", c.Last.Job.Work, c.Last.Job.Backup,
			c.Last.Job.Member, c.Last.Outcome)) + "\n")
	}
	var rows []row
	for i := len(c.Backups) - 1; i >= 0; i-- {
		rows = append(rows, backupRow(&c.Backups[i]))
	}
	if len(rows) == 0 {
		return b.String() + "  no backup was made yet: mainstay backup run " + c.Cluster + "\n"
	}
	b.WriteString(o.table("  ", []string{"ID", "VERDICT", "KIND", "BEGAN", "FROM", "END", "SIZE", "PACKED", "TARGETS", "RESTORED"}, rows))
	return b.String()
}

// backupLine is the standing of a cluster's backups, for status.
func backupLine(b *wire.BackupBrief) cell {
	switch {
	case b.Newest == "":
		return cell{"backup: there is no good one yet", yellow}
	case b.Tested == "":
		return cell{fmt.Sprintf("backup %s, %s ago; none was restored from a target yet", b.Newest, Span(b.Age)), plain}
	}
	return cell{fmt.Sprintf("backup %s, %s ago; the last restore, %s ago from %s, took %s", b.Newest, Span(b.Age), Span(b.TestAge), b.Tested,
		Span(b.Took)), plain}
}

// nextBackup says when the next backup is due.
func nextBackup(c wire.Backups) string {
	switch {
	case c.Plan == nil:
		return "none is made: the platform file has no backup section for the cluster"
	case c.Plan.Every == 0:
		return "one is made when an operator asks for it"
	case c.DueSeconds > 0:
		return fmt.Sprintf("the next is due in %s", wholeSeconds(c.DueSeconds))
	case c.Job != nil:
		return fmt.Sprintf("one is made every %s", c.Plan.Every)
	case c.Waits != "":
		return "one is due, but " + c.Waits
	}
	return "one is due"
}

func wholeSeconds(s float64) time.Duration {
	return (time.Duration(s * float64(time.Second))).Round(time.Second)
}

// archiveText says how far WAL is archived.
func archiveText(c wire.Backups) string {
	switch {
	case c.Plan == nil || !c.Plan.Archives():
		return ""
	case c.Archiver == "":
		return "no member's agent can archive WAL now"
	case c.Archive == nil:
		return "the agent of " + c.Archiver + " begins"
	}
	text := fmt.Sprintf("WAL up to %s of timeline %d, by the agent of %s", max(c.Archive.Until, c.Archive.Partial), c.Archive.Timeline,
		c.Archiver)
	if behind := time.Duration(c.Archive.BehindMS) * time.Millisecond; behind > time.Minute {
		text += ", the state of " + behind.Round(time.Second).String() + " ago"
	}
	if c.Archive.Trouble != "" {
		text += "; " + c.Archive.Trouble
	}
	return text
}

// JobText is the work that runs, and how far it is.
func JobText(c wire.Backups) string {
	j := c.Job
	text := fmt.Sprintf("%s %s on %s", j.Work, j.Backup, j.Member)
	if j.Cancel {
		text += ", cancelled"
	}
	p := c.Progress
	if p == nil && c.Waits != "" {
		return text + " (waits: " + c.Waits + ")"
	}
	if p == nil {
		return text
	}
	text += ": " + p.Step
	if p.Percent > 0 {
		text += " " + strconv.Itoa(p.Percent) + "%"
	}
	if p.LeftSeconds >= 1 {
		text += ", about " + wholeSeconds(p.LeftSeconds).String() + " left"
	}
	if p.Waiting != "" {
		text += " (waits: " + p.Waiting + ")"
	}
	return text
}

func backupRow(b *platform.Backup) row {
	kind := "full"
	if b.Base != "" {
		kind = "since " + b.Base
	}
	if b.Foreign != nil {
		kind = b.Foreign.Kind
	}
	r := texts(b.ID, string(b.Verdict), kind, stampText(b.Began), or(b.Member, "-"),
		b.End.String(), Bytes(b.Bytes), Bytes(b.Packed), heldBy(b),
		restoredText(b))
	r.cells[0].style, r.cells[1].style = bold, backupStyle(b)
	if b.Bytes == 0 {
		r.cells[5].text, r.cells[6].text, r.cells[7].text = "-", "-", "-"
	}
	if b.Verdict != platform.BackupGood && b.Evidence != "" {
		r.below = append(r.below, cell{b.Evidence, yellow})
	}
	if b.WhyFull != "" {
		r.below = append(r.below, cell{"it is full, because " + b.WhyFull, plain})
	}
	return r
}

func backupStyle(b *platform.Backup) style {
	switch {
	case b.Removed != "":
		return dim
	case b.Verdict == platform.BackupGood:
		return green
	case b.Verdict == platform.BackupBad:
		return red
	}
	return yellow
}

// stampText shortens a record's wall clock.
func stampText(s string) string {
	if t, err := time.Parse(time.RFC3339, s); err == nil {
		return t.UTC().Format("2006-01-02 15:04:05Z")
	}
	return or(s, "-")
}

func heldBy(b *platform.Backup) string {
	if b.Removed != "" {
		return "removed"
	}
	if b.Foreign != nil {
		return b.Foreign.Program + " " + b.Foreign.Label
	}
	var names []string
	for _, r := range b.Receipts {
		names = append(names, r.Target)
	}
	return or(strings.Join(names, " "), "-")
}

// restoredText is the newest restore test.
func restoredText(b *platform.Backup) string {
	newest := platform.RestoreTest{}
	for _, t := range b.Tests {
		if t.At >= newest.At {
			newest = t
		}
	}
	switch {
	case newest.At == "":
		return "never"
	case !newest.Good:
		return "failed from " + newest.Target
	}
	return fmt.Sprintf("in %s from %s", newest.Took.Round(time.Second/10), newest.Target)
}

// Backup shows one record in full.
func Backup(b platform.Backup, o Options) string {
	var rows []row
	add := func(key, value string) {
		if value != "" {
			rows = append(rows, texts(key, value))
		}
	}
	add("verdict", string(b.Verdict))
	rows[0].cells[1].style = backupStyle(&b)
	add("evidence", b.Evidence)
	if f := b.Foreign; f != nil {
		add("kept by", fmt.Sprintf("%s %s, as %s (%s)", f.Program, f.Name, f.Label, f.Kind))
		add("made for", b.Member)
	} else {
		add("taken from", b.Member+", PostgreSQL "+or(b.Version, "of an unknown version"))
	}
	add("built on", b.Base)
	add("it is full because", b.WhyFull)
	add("began", stampText(b.Began))
	add("ended", stampText(b.Ended))
	if b.Base != "" {
		add("every block read since", stampText(b.FullSince))
	}
	if b.End != 0 {
		add("WAL", fmt.Sprintf("from %s, consistent at %s, timeline %d", b.Start, b.End, b.Timeline))
		add("size", fmt.Sprintf("%s, packed %s", Bytes(b.Bytes), Bytes(b.Packed)))
	}
	if b.Removed != "" {
		add("removed", stampText(b.Removed))
	}
	text := o.paint(bold, "backup "+b.ID) + "\n" + o.table("  ", nil, rows)
	text += section(o, "what was done", b.Steps, func(s platform.BackupStep) row {
		return texts(s.Name, s.Took.Round(time.Millisecond).String())
	})
	text += section(o, "checks", b.Results, func(c platform.CheckResult) row { return verdictRow(c.Name, c.Good, c.Detail) })
	text += section(o, "held by", b.Receipts, func(r platform.BackupReceipt) row {
		return texts(r.Target, r.Object, Bytes(r.Bytes), "sha256 "+r.SHA256)
	})
	return text + section(o, "restore tests", b.Tests, func(t platform.RestoreTest) row {
		detail := t.Detail
		if t.Good {
			detail = fmt.Sprintf("%s, in %s, up to %s", stampText(t.At), t.Took.Round(time.Second/10), t.Reached)
		}
		return verdictRow(t.Target, t.Good, detail)
	})
}

func verdictRow(name string, good bool, detail string) row {
	r := texts(name, "failed", detail)
	r.cells[1].style = red
	if good {
		r.cells[1] = cell{"good", green}
	}
	return r
}

// section is a titled table of some things; "" for none.
func section[T any](o Options, title string, all []T, of func(T) row) string {
	if len(all) == 0 {
		return ""
	}
	rows := make([]row, len(all))
	for i, one := range all {
		rows[i] = of(one)
	}
	return o.title(title) + o.table("  ", nil, rows)
}
