package supervisor

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"mainstay/controller/config"
	"mainstay/controller/member"
	"mainstay/controller/platform"
	"mainstay/controller/postgres"
	"mainstay/controller/statefile"
)

// newServer describes a member's PostgreSQL from the agent's file and the address in its goal. On disk it only searches for the
// programs.
func (o Options) newServer(listen string, port int) (*postgres.Server, error) {
	own := o.Config.Members[o.Name]
	dir := o.Config.MemberDir(o.Name)
	i := &postgres.Server{
		Member: o.Name, Data: o.Config.DataDir(o.Name), Conf: filepath.Join(dir, "conf"), Log: filepath.Join(dir, "postgresql.log"),
		Socket: own.Socket, Listen: listen, Port: port,
		Superuser: cmp.Or(own.Superuser.User, o.Config.Postgres.Superuser), SuperPassfile: own.Superuser.Passfile,
		Replication: postgres.Credentials{User: own.Replication.User, Passfile: own.Replication.Passfile},
		Lock:        &postgres.LockFile{}, Notice: o.notice, Begin: o.Config.Postgres.Parameters,
	}
	if i.Socket == "" {
		i.Socket = filepath.Join(o.Config.Data, "run", o.Name)
	}
	var err error
	if i.Owner, err = postgres.OwnerFor(i.Data, o.Config.Postgres.User); err != nil {
		return nil, err
	}
	if i.Binaries, err = binaries(own, o.Config.Postgres, i.Data); err != nil {
		return nil, err
	}
	if err := statefile.Read(keptPath(o.Config, o.Name), &i.Kept); err != nil {
		return nil, err
	}
	// An adopted cluster has its own certificates and roles.
	if !own.Adopt && own.Replication.User == "" && o.Config.Postgres.TLS != nil {
		if i.TLS, err = installTLS(*o.Config.Postgres.TLS, filepath.Join(dir, "tls"), i.Owner); err != nil {
			return nil, err
		}
	}
	for _, made := range []string{i.Conf, filepath.Join(o.Config.Data, "run")} {
		if err := os.MkdirAll(made, 0o755); err != nil {
			return nil, err
		}
	}
	return i, nil
}

func binaries(own config.AgentMember, all config.Postgres, data string) (postgres.Binaries, error) {
	configured := own.Binaries
	if configured == "" {
		configured = all.Binaries
	}
	if _, err := os.Stat(filepath.Join(data, "PG_VERSION")); err == nil {
		return postgres.FindMajor(configured, data)
	}
	return postgres.Find(configured)
}

// installTLS copies the certificate of the host's members to a folder that only their owner can read: libpq and PostgreSQL refuse keys
// that others may read.
func installTLS(from config.TLS, dir string, owner postgres.Owner) (postgres.TLSFiles, error) {
	to := postgres.TLSFiles{CA: filepath.Join(dir, "ca.crt"), Cert: filepath.Join(dir, "postgres.crt"),
		Key: filepath.Join(dir, "postgres.key")}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return to, err
	}
	for _, f := range []struct{ from, to string }{{from.CA, to.CA}, {from.Cert, to.Cert}, {from.Key, to.Key}} {
		b, err := os.ReadFile(f.from)
		if err != nil {
			return to, fmt.Errorf("postgres.tls: %w; correct the agent's file", err)
		}
		tmp := f.to + ".new"
		if err := os.WriteFile(tmp, b, 0o600); err != nil {
			return to, err
		}
		if os.Geteuid() == 0 {
			err = os.Chown(tmp, int(owner.UID), int(owner.GID))
		}
		if err = errors.Join(err, os.Rename(tmp, f.to)); err != nil {
			return to, err
		}
	}
	return to, nil
}

// settings are the managed settings for a goal. A standby keeps a list that no standby satisfies, so that a promotion never opens
// without its set; a primary has the set to load.
func settings(pg *postgres.Server, goal platform.Goal, d member.Durable) (postgres.Settings, error) {
	s := postgres.Settings{SyncNames: member.SyncNames(member.ReplicaSet())}
	if goal.Kind == platform.GoalPrimary && len(goal.Sets) > 0 {
		s.SyncNames, s.SyncSlots = member.SyncNames(goal.Sets[len(goal.Sets)-1]), syncSlots(goal)
	}
	if goal.Kind != platform.GoalReplica && goal.Kind != platform.GoalSealed || goal.Upstream == nil {
		s.Sealed = goal.Kind == platform.GoalSealed
		return s, nil
	}
	conninfo, err := pg.ConnInfo(source(goal), goal.Incarnation, "")
	if goal.Kind == platform.GoalSealed { // it receives the WAL of another sealed member, where its slot may not exist
		s.PrimaryConnInfo, s.NoArchive = conninfo, true
		return s, err
	}
	s.PrimaryConnInfo, s.PrimarySlot = conninfo, postgres.SlotName(pg.Member)
	return s, err
}

// syncSlots is synchronized_standby_slots of a primary: the slots of all members in the last durability set; none if it is
// asynchronous. It names all of them, not only as many as must acknowledge, because a failover promotes the most advanced of the
// members that are left.
func syncSlots(goal platform.Goal) string {
	set, members := goal.Sets[len(goal.Sets)-1], []string(nil)
	for _, other := range goal.OtherMembers {
		if set.Acks > 0 && slices.ContainsFunc(set.Names, func(name string) bool { return memberOf(name) == other }) {
			members = append(members, other)
		}
	}
	return postgres.SyncSlots(members)
}

// memberOf is the member with that incarnation, "" for another application_name.
func memberOf(application string) string {
	at := max(0, strings.LastIndexByte(application, '_'))
	return application[:at]
}

func source(goal platform.Goal) postgres.Source {
	return postgres.Source{Host: goal.Upstream.Address, Port: goal.Upstream.Port}
}

// learnAddress applies the member's address; the next promise that is written stores it. A look calls it: it reads disks, and goals
// arrive on the lease path (L6).
func (m *observer) learnAddress() {
	m.mu.Lock()
	listen, port, moved := m.address()
	m.mu.Unlock()
	if !moved {
		return
	}
	pg, err := m.o.newServer(listen, port)
	m.mu.Lock()
	defer m.mu.Unlock()
	if err != nil {
		m.activity.fault = err.Error()
		return
	}
	m.pg, m.durable.Listen, m.durable.Port, m.activity.fault = pg, listen, port, ""
}
