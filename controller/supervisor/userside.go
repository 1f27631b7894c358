package supervisor

import (
	"context"
	"errors"
	"time"

	"go.uber.org/zap"

	"mainstay/controller/boottime"
	"mainstay/controller/member"
	"mainstay/controller/platform"
	"mainstay/controller/postgres"
	"mainstay/health"
)

// userSideEvery is how often the user's own settings, services and disks are checked: none of that is urgent.
const userSideEvery = 10 * time.Second

// userSide is the last check of the user's own settings, services and disks on the host; only the supervisor's goroutine uses it.
type userSide struct {
	at       time.Duration // of the last check; 0 for none
	services []postgres.Service
	full     []string // disks
	// spaces are the member's tablespaces; noFolder are the folders of those of its primary that a replica's host lacks.
	spaces   []health.Tablespace
	noFolder []string
	replaced *health.ReplacedFiles
	fault    string // logged once
}

// lookAtUserSide finds other services that would start the member, and keeps the copy of a configuration outside its data up to date.
// Before the adoption it writes nothing.
func (m *observer) lookAtUserSide(ctx context.Context, pg *postgres.Server, d member.Durable, answers bool, role health.Role) {
	if now := boottime.Now(); m.user.at == 0 || now-m.user.at > userSideEvery {
		m.user.at = now
	} else {
		return
	}
	services, err := postgres.Services(pg.Data)
	if err == nil {
		m.user.services = services
	}
	full, wrong := pg.Full()
	wrong = errors.Join(wrong, m.tablespaces(pg, role))
	m.user.full = full
	replaced, unknown := pg.ReplacedFiles()
	m.user.replaced, wrong = replaced, errors.Join(wrong, unknown)
	if err == nil && answers && d.SystemID != "" && pg.Replication.User != "" {
		err = pg.CopyConfig(ctx)
	}
	if err == nil && answers && d.SystemID != "" {
		err = m.keepWanted(pg, m.session.status)
	}
	fault := ""
	if err = errors.Join(err, wrong); err != nil { // a disk that cannot be asked keeps nothing else from being done
		fault = err.Error()
	}
	if fault != "" && fault != m.user.fault {
		m.log.Warn("the user's own settings, services and disks on this host could not be checked", zap.Error(err))
	}
	m.user.fault = fault
}

// tablespaces looks for the member's tablespaces, and for the folders of its primary's on the host of a replica: also while that does not
// run, because its replay may have ended there.
func (m *observer) tablespaces(pg *postgres.Server, role health.Role) (err error) {
	m.mu.Lock()
	primarys, kind := m.told.others.Tablespaces, m.told.goal.Kind
	m.mu.Unlock()
	if role == health.RolePrimary || kind != platform.GoalReplica {
		primarys = nil
	}
	m.user.noFolder = pg.Lacks(primarys)
	m.user.spaces, err = pg.Tablespaces(primarys)
	return err
}

// unmasked names, for the report, each service of the distribution that could start the member without a lease (S4).
func (m *observer) unmasked() (missing []string) {
	for _, s := range m.user.services {
		if !s.Closed() {
			missing = append(missing, "a mask on "+s.Unit+", which can start it without a lease (as root on its host: mainstay local mask "+m.o.Name+
				")")
		}
	}
	return missing
}

// notice logs an effect on settings or files of the user's.
func (o Options) notice(text string) { o.Log.Info(text, zap.String("member", o.Name)) }

// sayReplaced logs, once at the adoption, the user's settings that Mainstay's replace, and what would prevent a rebuild.
func (m *actor) sayReplaced(ctx context.Context, pg *postgres.Server, goal platform.Goal, d member.Durable) error {
	s, err := settings(pg, goal, d)
	if err != nil {
		return err
	}
	lines, err := pg.Replaces(ctx, s)
	if err == nil && len(lines) > 0 {
		m.log.Info("Mainstay replaces these settings of the user", zap.Strings("settings", lines))
	}
	if why := pg.Replaceable(); why != nil {
		m.log.Warn("a rebuild of this member would be refused", zap.Error(why))
	}
	return err
}
