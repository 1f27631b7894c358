package config

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"mainstay/controller/platform"
)

const (
	mostKept       = 1000
	mostTargets    = 8
	mostBackupSQL  = 8 << 10 // bytes
	longestCheck   = 24 * time.Hour
	shortestCheck  = time.Second
	mostUserChecks = 100
)

// backup reads how a cluster's backups are made; off stands for none.
func (r *reader) backup(dst **platform.BackupPlan) reading {
	return func(n *yaml.Node, at where) {
		if n.Kind == yaml.ScalarNode {
			if n.Value != "off" {
				r.unread(n, at, quote(n.Value)+" is not a section", "write a section, such as {every: 24h, targets: [vault]}, or off")
			}
			return
		}
		p := platform.BackupPlan{Keep: platform.DefaultKeep}
		r.section(
			field{"every", r.every(&p.Every, dailySpan)},
			field{"full", r.every(&p.Full, longSpan)},
			field{"keep", r.integer(&p.Keep)},
			field{"rate", r.integer(&p.Rate)},
			field{"targets", list(r, &p.Targets, r.textInto)},
			field{"archive", r.not(&p.NoArchive)},
			field{"restore-test", r.every(&p.TestEvery, longSpan)},
			field{"structure", r.boolean(&p.Structure)},
			field{"checks", list(r, &p.Checks, r.backupCheck)},
		)(n, at)
		*dst = &p
	}
}

func (r *reader) backupCheck(n *yaml.Node, at where, c *platform.BackupCheck) {
	r.section(
		field{"name", r.text(&c.Name)},
		field{"database", r.text(&c.Database)},
		field{"sql", r.text(&c.SQL)},
		field{"timeout", r.duration(&c.Timeout)},
	)(n, at)
}

func (c *checks) backupPlan(at where, p *platform.BackupPlan) {
	if p == nil {
		return
	}
	for _, t := range []struct {
		key   string
		value time.Duration
		do    string
	}{{"every", p.Every, dailySpan}, {"full", p.Full, longSpan}, {"restore-test", p.TestEvery, longSpan}} {
		if t.value != 0 && (t.value < shortestScans || t.value > longestScans) {
			c.add(at.field(t.key), span(t.value)+" is not between 1s and 8760h", t.do)
		}
	}
	switch {
	case p.Full == 0:
	case p.Every == 0:
		c.add(at.field("full"), "no backup is made on a schedule", "write every, or leave full out")
	case p.Full <= p.Every:
		c.add(at.field("full"), span(p.Full)+" is not longer than every, "+span(p.Every),
			"write how old the last full backup may become, such as 168h, or leave it out: then all are full")
	}
	if p.Keep < 1 || p.Keep > mostKept {
		c.add(at.field("keep"), fmt.Sprintf("%d is not between 1 and %d", p.Keep, mostKept), "write how many good backups are kept, such as 7")
	}
	if p.Rate < 0 || p.Rate > highestRate || p.Rate == 0 && c.given(at.field("rate")) {
		c.add(at.field("rate"), fmt.Sprintf("%d is not between 1 and %d", p.Rate, highestRate),
			"write the MB to copy in a second, such as 50, or leave it out")
	}
	c.backupTargets(at.field("targets"), p.Targets)
	if len(p.Checks) > mostUserChecks {
		c.add(at.field("checks"), fmt.Sprintf("%d checks are more than %d", len(p.Checks), mostUserChecks), "join some")
	}
	seen := map[string]bool{}
	for i, k := range p.Checks {
		at := at.field("checks").item(i, k.Name)
		c.backupCheck(at, k)
		if seen[k.Name] {
			c.add(at.field("name"), quote(k.Name)+" is the name of an earlier check", "give each its own")
		}
		seen[k.Name] = true
	}
}

func (c *checks) backupTargets(at where, targets []string) {
	if len(targets) == 0 {
		c.add(at, "is missing", "name at least one target, such as [vault]; the files of the agents define them (backup.targets)")
	}
	if len(targets) > mostTargets {
		c.add(at, fmt.Sprintf("%d targets are more than %d", len(targets), mostTargets), "leave some out")
	}
	for i, name := range targets {
		place := at.item(i, name)
		if what, do := nameWrong("target", name); what != "" {
			c.add(place, what, do)
		} else if slices.Index(targets, name) < i {
			c.add(place, quote(name)+" is there twice", "name it once")
		}
	}
}

func (c *checks) backupCheck(at where, k platform.BackupCheck) {
	if what, do := nameWrong("check", k.Name); what != "" {
		c.add(at.field("name"), what, do)
	}
	if k.Database == "" {
		c.add(at.field("database"), "is missing", "name the database in which the statement runs")
	} else if len(k.Database) > 63 || strings.ContainsRune(k.Database, 0) {
		c.add(at.field("database"), quote(k.Database)+" is not the name of a database", "name the one in which the statement runs")
	}
	switch {
	case strings.TrimSpace(k.SQL) == "":
		c.add(at.field("sql"), "is missing", `write a statement that answers true, such as "SELECT count(*) > 0 FROM posts"`)
	case len(k.SQL) > mostBackupSQL:
		c.add(at.field("sql"), fmt.Sprintf("has %d bytes, more than %d", len(k.SQL), mostBackupSQL), "put it into a function of the database")
	case strings.ContainsRune(k.SQL, 0):
		c.add(at.field("sql"), "holds a zero byte", "delete it")
	}
	if k.Timeout != 0 && (k.Timeout < shortestCheck || k.Timeout > longestCheck) {
		c.add(at.field("timeout"), span(k.Timeout)+" is not between 1s and 24h", "write how long the statement may run, such as 10m")
	}
}

func backupForm(p *platform.BackupPlan) []setting {
	if p == nil {
		p = &platform.BackupPlan{Keep: platform.DefaultKeep}
	}
	checks := make([]string, len(p.Checks))
	for i, k := range p.Checks {
		checks[i] = flow([]setting{{"name", scalar(k.Name), false}, {"database", scalar(k.Database), false}, {"sql", scalar(k.SQL), false},
			{"timeout", span(k.Timeout), k.Timeout == 0}}, "")
	}
	return []setting{
		{"backup.every", span(p.Every), p.Every == 0},
		{"backup.full", span(p.Full), p.Full == 0},
		number("backup.keep", p.Keep, platform.DefaultKeep),
		number("backup.rate", p.Rate, 0),
		{"backup.targets", listForm(p.Targets), len(p.Targets) == 0},
		{"backup.archive", strconv.FormatBool(!p.NoArchive), !p.NoArchive},
		{"backup.restore-test", span(p.TestEvery), p.TestEvery == 0},
		{"backup.structure", strconv.FormatBool(p.Structure), !p.Structure},
		{"backup.checks", "[" + strings.Join(checks, ", ") + "]", len(p.Checks) == 0},
	}
}

// backupNote says what a change of the plan does.
func backupNote(key string, new platform.Cluster) string {
	p := new.Backup
	switch {
	case p == nil && key != "backup.targets":
	case p == nil:
		return "no backup is made and no WAL is archived any more; those that there are stay at their targets"
	case key == "backup.every" && p.Every == 0:
		return "a backup is made only when an operator asks for it"
	case key == "backup.every":
		return "a backup is made " + span(p.Every) + " after the last one has ended"
	case key == "backup.keep":
		return fmt.Sprintf("the newest %d good backups are kept, and what they are built on; older ones are removed from their targets", p.Keep)
	case key == "backup.targets":
		return "a backup counts once each of these holds it; nothing is removed from others"
	case key == "backup.archive" && p.NoArchive:
		return "no WAL is archived any more: a restore reaches only the ends of backups"
	case key == "backup.archive":
		return "WAL is archived from now on; a restore reaches every point since the next backup"
	}
	return ""
}
