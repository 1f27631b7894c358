package config

import (
	"fmt"
	"regexp"
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
		with := map[string]string{}
		r.section(
			field{"every", r.every(&p.Every, dailySpan)},
			field{"full", r.every(&p.Full, longSpan)},
			field{"keep", r.integer(&p.Keep)},
			field{"rate", r.integer(&p.Rate)},
			field{"targets", list(r, &p.Targets, r.textInto)},
			field{"with", r.backupWith(with)},
			field{"archive", r.not(&p.NoArchive)},
			field{"restore-test", r.every(&p.TestEvery, longSpan)},
			field{"structure", r.boolean(&p.Structure)},
			field{"checks", list(r, &p.Checks, r.backupCheck)},
		)(n, at)
		for program, name := range with { // of more than one the check complains
			if p.With == nil || program < p.With.Program {
				p.With = &platform.BackupWith{Program: program, Name: name}
			}
		}
		*dst = &p
	}
}

// backupWith reads {pgbackrest: STANZA} or {barman: SERVER}.
func (r *reader) backupWith(dst map[string]string) reading {
	return func(n *yaml.Node, at where) {
		one := func(program string) field {
			return field{program, func(n *yaml.Node, at where) {
				name := ""
				r.text(&name)(n, at)
				dst[program] = name
			}}
		}
		r.section(one(platform.PgBackRest), one(platform.Barman))(n, at)
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
	if p.With == nil && (p.Keep < 1 || p.Keep > mostKept) {
		c.add(at.field("keep"), fmt.Sprintf("%d is not between 1 and %d", p.Keep, mostKept), "write how many good backups are kept, such as 7")
	}
	if p.Rate < 0 || p.Rate > highestRate || p.Rate == 0 && c.given(at.field("rate")) {
		c.add(at.field("rate"), fmt.Sprintf("%d is not between 1 and %d", p.Rate, highestRate),
			"write the MB to copy in a second, such as 50, or leave it out")
	}
	if p.With != nil || c.given(at.field("with")) {
		backupWith(c, at, p)
	} else {
		backupTargets(c, at.field("targets"), p.Targets)
	}
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

var repositoryPattern = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9._-]{0,62}$`)

// backupWith checks the part of a plan for another program, and refuses what that program decides itself.
func backupWith(c *checks, at where, p *platform.BackupPlan) {
	with := at.field("with")
	switch {
	case p.With == nil:
		c.add(with, "names no program", "write {pgbackrest: STANZA} or {barman: SERVER}")
		return
	case c.given(with.field(platform.PgBackRest)) && c.given(with.field(platform.Barman)):
		c.add(with, "names two programs", "keep the one that makes the backups")
	case !repositoryPattern.MatchString(p.With.Name):
		what := "stanza of pgBackRest"
		if p.With.Program == platform.Barman {
			what = "server of Barman"
		}
		c.add(with.field(p.With.Program), quote(p.With.Name)+" is not the name of a "+what, "write it as that program's configuration has it")
	}
	for _, not := range []struct {
		key string
		is  bool
		do  string
	}{
		{"targets", true, "leave it out: the backups are in that program's own repository"},
		{"archive", !p.NoArchive, "leave it out: that program archives the WAL, by PostgreSQL's archive_command or a receiver of its own"},
		{"keep", true, "leave it out: that program's own configuration says what expires"},
		{"rate", true, "leave it out: that program's own configuration bounds what it reads"},
	} {
		if not.is && c.given(at.field(not.key)) {
			c.add(at.field(not.key), "does not go with "+p.With.Program, not.do)
		}
	}
}

func backupTargets(c *checks, at where, targets []string) {
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
	with := "{}"
	if p.With != nil {
		with = flow([]setting{{p.With.Program, scalar(p.With.Name), false}}, "")
	}
	return []setting{
		{"backup.every", span(p.Every), p.Every == 0},
		{"backup.full", span(p.Full), p.Full == 0},
		number("backup.keep", p.Keep, platform.DefaultKeep),
		number("backup.rate", p.Rate, 0),
		{"backup.targets", listForm(p.Targets), len(p.Targets) == 0},
		{"backup.with", with, p.With == nil},
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
	case key == "backup.with" && p.With == nil:
		return "Mainstay makes the backups, and archives the WAL"
	case key == "backup.with":
		return p.With.Program + " makes the backups, in its own repository, and archives the WAL; Mainstay proves them"
	case key == "backup.archive" && p.NoArchive:
		return "no WAL is archived any more: a restore reaches only the ends of backups"
	case key == "backup.archive":
		return "WAL is archived from now on; a restore reaches every point since the next backup"
	}
	return ""
}
