package config

import (
	"cmp"
	"maps"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"mainstay/controller/platform"
)

// Backup is where the agent makes backups, and where it can release them to. The platform file only names the targets: paths, credentials
// and programs are the host's own, so that an operator's certificate is not enough to use them.
type Backup struct {
	Staging string                  // folder in which copies are made and checked; default "backup" in Agent.Data
	Targets map[string]BackupTarget // by name
	// PgBackRest and Barman are other programs that make backups, which the platform file may name; nil for none.
	PgBackRest, Barman *BackupProgram
}

// BackupProgram is another program that makes backups.
type BackupProgram struct {
	Program string // its path; default where its packages put it
	Config  string // its configuration file; it names the repository, and PostgreSQL's hosts
	User    string // of the operating system, as whom it runs; default the user of PostgreSQL, or barman
}

// BackupTarget is one target; exactly one of its parts is set.
type BackupTarget struct {
	Directory string // a folder, on another disk or host than the data's
	S3        *BackupS3
	Exec      *BackupExec
}

// BackupS3 is a bucket of a server that speaks S3.
type BackupS3 struct {
	Endpoint    string // URL; http:// only where it says so
	Region      string
	Bucket      string
	Prefix      string // before every name; "" for none
	Credentials string // file for the agent alone: access-key and secret-key
	CA          string // file of the authority that signed the server's certificate; "" for the system's
}

// BackupExec are programs that keep objects elsewhere, such as on tape, each an absolute path and its arguments; {name} stands for the
// object's name. Content is their standard input or output.
type BackupExec struct {
	Put    []string // stores standard input as the object
	Get    []string // writes the object to standard output
	List   []string // prints "SIZE NAME" lines of the objects whose names begin with {name}
	Remove []string
}

func (l *local) backup(dst *Backup) reading {
	return l.section(
		field{"staging", l.path(&dst.Staging)},
		field{"targets", named(l.reader, &dst.Targets, l.backupTarget)},
		field{platform.PgBackRest, l.backupProgram(&dst.PgBackRest, "/usr/bin/pgbackrest")},
		field{platform.Barman, l.backupProgram(&dst.Barman, "/usr/bin/barman")},
	)
}

func (l *local) backupProgram(dst **BackupProgram, usual string) reading {
	return func(n *yaml.Node, at where) {
		p := BackupProgram{Program: usual}
		l.section(
			field{"program", l.path(&p.Program)},
			field{"config", l.path(&p.Config)},
			field{"user", l.text(&p.User)},
		)(n, at)
		*dst = &p
	}
}

func (l *local) backupTarget(n *yaml.Node, at where, t *BackupTarget) {
	var s BackupS3
	var e BackupExec
	l.section(
		field{"directory", l.path(&t.Directory)},
		field{"s3", func(n *yaml.Node, at where) {
			l.section(
				field{"endpoint", l.text(&s.Endpoint)},
				field{"region", l.text(&s.Region)},
				field{"bucket", l.text(&s.Bucket)},
				field{"prefix", l.text(&s.Prefix)},
				field{"credentials", l.path(&s.Credentials)},
				field{"ca", l.path(&s.CA)},
			)(n, at)
			t.S3 = &s
		}},
		field{"exec", func(n *yaml.Node, at where) {
			l.section(
				field{"put", list(l.reader, &e.Put, l.textInto)},
				field{"get", list(l.reader, &e.Get, l.textInto)},
				field{"list", list(l.reader, &e.List, l.textInto)},
				field{"remove", list(l.reader, &e.Remove, l.textInto)},
			)(n, at)
			t.Exec = &e
		}},
	)(n, at)
}

var (
	bucketPattern = regexp.MustCompile(`^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$`)
	prefixPattern = regexp.MustCompile(`^[A-Za-z0-9._-]+(/[A-Za-z0-9._-]+)*$`)
)

// programs gives the users of other programs where the file does not.
func (b *Backup) programs(postgres string) {
	for _, p := range []struct {
		program *BackupProgram
		user    string
	}{{b.PgBackRest, postgres}, {b.Barman, "barman"}} {
		if p.program != nil {
			p.program.User = cmp.Or(p.program.User, p.user)
		}
	}
}

// checkBackupProgram does not look whether the program is there: it may be installed later, and the agent reports it until then.
func (l *local) checkBackupProgram(at where, p *BackupProgram, file string) {
	if p != nil && p.Config == "" {
		l.add(at.field("config"), "is missing", "name the program's configuration file, such as "+file)
	}
}

func (l *local) checkBackup(at where, b Backup) {
	l.checkBackupProgram(at.field(platform.PgBackRest), b.PgBackRest, "/etc/pgbackrest.conf")
	l.checkBackupProgram(at.field(platform.Barman), b.Barman, "/etc/barman.conf")
	for _, name := range slices.Sorted(maps.Keys(b.Targets)) {
		t := b.Targets[name]
		at := at.field("targets").field(label(name))
		l.checkName(at, "target", name)
		given := 0
		for _, is := range []bool{t.Directory != "", t.S3 != nil, t.Exec != nil} {
			if is {
				given++
			}
		}
		if given != 1 {
			l.add(at, "is not one of directory, s3 and exec", "write one of them")
			continue
		}
		switch {
		case t.Directory == "/":
			l.add(at.field("directory"), "is the root of the file system", "name a folder for backups alone")
		case t.S3 != nil:
			l.checkS3(at.field("s3"), *t.S3)
		case t.Exec != nil:
			l.checkPrograms(at.field("exec"), *t.Exec)
		}
	}
}

func (l *local) checkS3(at where, s BackupS3) {
	if u, err := url.Parse(s.Endpoint); err == nil && u.User != nil { // it is not repeated, since it may hold a password
		l.add(at.field("endpoint"), "holds a user's name", "write secrets into the file of credentials alone")
	} else if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" ||
		strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "" {
		l.add(at.field("endpoint"), quote(s.Endpoint)+" is not the URL of a server", "write it as https://s3.example.org, without a path")
	}
	if !bucketPattern.MatchString(s.Bucket) {
		l.add(at.field("bucket"), quote(s.Bucket)+" is not the name of a bucket", "use 3 to 63 of a to z, 0 to 9, . and -")
	}
	if s.Prefix != "" && !prefixPattern.MatchString(s.Prefix) || slices.Contains(strings.Split(s.Prefix, "/"), "..") {
		l.add(at.field("prefix"), quote(s.Prefix)+" is not a prefix", "write names with / between them, such as prod/feed")
	}
	const file = "write the two lines access-key: ... and secret-key: ... into a file that only the agent can read, and name it here"
	if s.Credentials == "" {
		l.add(at.field("credentials"), "is missing", file)
	} else {
		l.readable(at.field("credentials"), s.Credentials, file)
	}
	if s.CA != "" {
		l.readable(at.field("ca"), s.CA, "name the authority's certificate, in PEM")
	}
}

func (l *local) checkPrograms(at where, e BackupExec) {
	for _, p := range []struct {
		key   string
		words []string
	}{{"put", e.Put}, {"get", e.Get}, {"list", e.List}, {"remove", e.Remove}} {
		switch at := at.field(p.key); {
		case len(p.words) == 0:
			l.add(at, "is missing", "write the program's path and its arguments, {name} for the object's name")
		case !isPath(p.words[0]):
			l.add(at, quote(p.words[0])+" is not the absolute path of a program", "write it in full")
		case !slices.ContainsFunc(p.words[1:], func(w string) bool { return strings.Contains(w, "{name}") }):
			l.add(at, "no argument has {name}", "say where the object's name goes")
		}
	}
}
