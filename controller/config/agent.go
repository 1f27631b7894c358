package config

import (
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Agent is the local file of an agent: the settings of its host. Paths are absolute, defaults filled in.
type Agent struct {
	Host        string   // the host's name in the platform file
	Controllers []string // host:port of every controller
	Listen      string   // host:port of the API for operators and other agents, mutual TLS
	Advertise   string   // host:port that others connect to; default Listen
	Health      string   // host:port of plain HTTP for load balancers; empty for none
	Data        string   // folder of the agent's own state
	TLS         TLS
	Postgres    Postgres
	Members     map[string]AgentMember   // by name; overrides for members of this host, and adoptions
	Instances   map[string]AgentInstance // by name; app servers of this host that the agent starts and stops
	Cgroup      string                   // automatic (default) or off
	Quarantine  Quarantine
	Integrity   Integrity
	Backup      Backup
	Watchdog    Watchdog
	Log         Log
}

// Watchdog is the hardware watchdog of the host. The platform file says whether it is used.
type Watchdog struct {
	Device string // its file, below /dev; default /dev/watchdog
}

const defaultWatchdog = "/dev/watchdog"

// Postgres holds the settings that the members of a host share.
type Postgres struct {
	Binaries   string            // folder of pg_ctl and the others; empty to search the usual places
	User       string            // system user that runs PostgreSQL; default postgres
	Superuser  string            // role of the agent on the local socket; default postgres
	TLS        *TLS              // for members that Mainstay initialises; nil for none
	Parameters map[string]string // start values for members that Mainstay initialises; none that it manages
}

// AgentMember overrides the agent's defaults for one member.
type AgentMember struct {
	Data        string // data directory; empty for one below Agent.Data. Set where Adopt is
	Adopt       bool   // PostgreSQL already runs there and keeps its configuration
	Superuser   Superuser
	Replication Replication
	Socket      string // folder of the local socket; empty for the agent's choice
	Binaries    string // empty for Postgres.Binaries
}

// Superuser is how the agent logs in to the member through the local socket; empty for Postgres.Superuser by peer.
type Superuser struct {
	User     string
	Passfile string // in libpq's form, for the agent alone
}

// Replication is the role by which the members of an adopted cluster replicate from each other, including members that are not yet
// cloned; empty where Mainstay has its own.
type Replication struct {
	User     string
	Passfile string
}

// LoadAgent reads an agent's local file. Certificates must be readable and the agent's own data folder writable; it does not touch a
// member's folders, because their disk may hang (L6). The error is a Mistakes.
func LoadAgent(path string) (Agent, error) { return loadAgent(path, (*local).agent) }

// LoadForRestore reads of an agent's file what a restore needs where there is no agent: backup, and which programs and user are
// PostgreSQL's. What else it has is read and not checked: a host that was lost has no certificates. The error is a Mistakes.
func LoadForRestore(path string) (Agent, error) { return loadAgent(path, (*local).restore) }

func loadAgent(path string, checks func(*local, *Agent)) (Agent, error) {
	a := Agent{Cgroup: "automatic", Quarantine: Quarantine{Limit: defaultQuarantine}, Integrity: defaultIntegrity,
		Watchdog: Watchdog{defaultWatchdog}, Postgres: Postgres{User: "postgres", Superuser: "postgres"}}
	err := load(path, func(l *local) []field {
		return []field{
			{"host", l.text(&a.Host)},
			{"controllers", list(l.reader, &a.Controllers, l.textInto)},
			{"listen", l.text(&a.Listen)},
			{"advertise", l.text(&a.Advertise)},
			{"health", l.text(&a.Health)},
			{"data", l.path(&a.Data)},
			{"tls", l.tls(&a.TLS)},
			{"postgres", l.postgres(&a.Postgres)},
			{"members", named(l.reader, &a.Members, l.member)},
			{"instances", named(l.reader, &a.Instances, l.instance)},
			{"cgroup", l.text(&a.Cgroup)},
			{"quarantine", l.section(field{"limit", l.size(&a.Quarantine.Limit)})},
			{"integrity", l.section(field{"every", l.every(&a.Integrity.Every, dailySpan)}, field{"rate", l.integer(&a.Integrity.Rate)})},
			{"backup", l.backup(&a.Backup)},
			{"watchdog", l.section(field{"device", l.text(&a.Watchdog.Device)})},
			{"log", l.log(&a.Log)},
		}
	}, func(l *local) { checks(l, &a) })
	if err != nil {
		return Agent{}, err
	}
	if a.Backup.Staging == "" {
		a.Backup.Staging = filepath.Join(a.Data, "backup")
	}
	a.Backup.programs(a.Postgres.User)
	return a, nil
}

func (l *local) postgres(dst *Postgres) reading {
	return l.section(
		field{"binaries", l.path(&dst.Binaries)},
		field{"user", l.text(&dst.User)},
		field{"superuser", l.text(&dst.Superuser)},
		field{"tls", l.optionalTLS(&dst.TLS)},
		field{"parameters", named(l.reader, &dst.Parameters, l.asText)},
	)
}

func (l *local) member(n *yaml.Node, at where, m *AgentMember) {
	l.section(
		field{"data", l.path(&m.Data)},
		field{"adopt", l.boolean(&m.Adopt)},
		field{"superuser", l.section(
			field{"user", l.text(&m.Superuser.User)},
			field{"passfile", l.path(&m.Superuser.Passfile)},
		)},
		field{"replication", l.section(
			field{"user", l.text(&m.Replication.User)},
			field{"passfile", l.path(&m.Replication.Passfile)},
		)},
		field{"socket", l.path(&m.Socket)},
		field{"binaries", l.path(&m.Binaries)},
	)(n, at)
}

func (l *local) restore(a *Agent) {
	at := where{}.field("backup")
	l.checkRole(where{}.field("postgres").field("user"), a.Postgres.User)
	l.checkBackup(at, a.Backup)
	if len(a.Backup.Targets) == 0 {
		l.add(at.field("targets"), "is missing", "define the target that has the backups, such as {vault: {directory: /mnt/vault}}")
	}
	if a.Backup.Staging == "" && a.Data == "" {
		l.add(at.field("staging"), "is missing", "name a folder with room for the data")
	}
}

func (l *local) agent(a *Agent) {
	root := where{}
	l.checkName(root.field("host"), "host", a.Host)
	l.checkControllers(root.field("controllers"), a.Controllers)
	l.checkListen(a.Listen, &a.Advertise)
	l.checkPlain(root.field("health"), a.Health, a.Listen)
	l.writable(root.field("data"), a.Data)
	l.checkTLS(root.field("tls"), a.TLS)
	l.checkPostgres(root.field("postgres"), a.Postgres)
	for _, name := range slices.Sorted(maps.Keys(a.Members)) {
		at := root.field("members").field(label(name))
		l.checkMember(at, name, a.Members[name])
		l.checkSuperuser(at.field("superuser"), a.Members[name].Superuser, a.Postgres.User)
	}
	for _, name := range slices.Sorted(maps.Keys(a.Instances)) {
		l.checkInstance(root.field("instances").field(label(name)), name, a.Instances[name])
	}
	oneOf(l.report, root.field("cgroup"), a.Cgroup, "automatic", "off")
	l.checkIntegrity(root.field("integrity"), a.Integrity)
	l.checkBackup(root.field("backup"), a.Backup)
	if d := a.Watchdog.Device; !strings.HasPrefix(d, "/dev/") || filepath.Clean(d) != d {
		l.add(root.field("watchdog").field("device"), quote(d)+" is not a device below /dev", "write its path, such as /dev/watchdog1")
	}
	l.checkLog(root.field("log"), a.Log)
}

func (l *local) checkPostgres(at where, p Postgres) {
	l.checkRole(at.field("user"), p.User)
	l.checkRole(at.field("superuser"), p.Superuser)
	if p.TLS != nil {
		l.checkTLS(at.field("tls"), *p.TLS)
	}
	for _, name := range slices.Sorted(maps.Keys(p.Parameters)) {
		place := at.field("parameters").field(label(name))
		if !parameterPattern.MatchString(name) {
			l.add(place, "is not the name of a parameter", "write it as postgresql.conf does, in small letters")
		} else if why := Managed(name); why != "" {
			l.add(place, "is managed by Mainstay: "+why, "delete it here")
		}
	}
}

func (l *local) checkMember(at where, name string, m AgentMember) {
	l.checkName(at, "member", name)
	if m.Adopt && m.Data == "" {
		l.add(at.field("data"), "is missing", "name the data directory to adopt")
	}
	role := at.field("replication")
	if l.given(role) {
		l.checkRole(role.field("user"), m.Replication.User)
	}
}
