package supervisor

import (
	"errors"
	"path/filepath"

	"go.uber.org/zap"

	"mainstay/controller/config"
	"mainstay/controller/postgres"
	"mainstay/controller/statefile"
)

// archiving is what a former primary had left to this one to archive. read: it was read from disk.
type archiving struct {
	read bool
	left postgres.Unarchived
}

func unarchivedPath(cfg config.Agent, name string) string {
	return filepath.Join(cfg.MemberDir(name), "unarchived.json")
}

// keepUnarchived writes down which segments the archiver is about to be given, for a later process of the agent.
func (m *shared) keepUnarchived(u postgres.Unarchived) error {
	m.mu.Lock()
	m.archiving.read, m.archiving.left = true, u
	m.mu.Unlock()
	return statefile.Write(unarchivedPath(m.o.Config, m.o.Name), u)
}

// takeUnarchived takes up what the former primary has left, before the promotion.
func (m *actor) takeUnarchived(u postgres.Unarchived) error {
	if len(u.Marked) > 0 {
		m.log.Info("the former primary may not have archived this WAL, so this member does", zap.Strings("segments", u.Marked))
	}
	if len(u.Missing) > 0 {
		m.log.Warn("the former primary may not have archived this WAL, and this member no longer has it: the archive may have a gap, so take "+
			"a base backup", zap.Strings("segments", u.Missing))
	}
	return m.keepUnarchived(u)
}

// archiveLeft follows the archiver of a primary through the segments that a former one had left.
func (m *observer) archiveLeft(pg *postgres.Server, s postgres.Status) error {
	if s.InRecovery || s.Archiver == nil {
		return nil
	}
	m.mu.Lock()
	u, read := m.archiving.left, m.archiving.read
	m.mu.Unlock()
	if !read {
		if err := statefile.Read(unarchivedPath(m.o.Config, m.o.Name), &u); err != nil {
			return err
		}
		m.mu.Lock()
		m.archiving.read, m.archiving.left = true, u
		m.mu.Unlock()
	}
	if u.Empty() {
		return nil
	}
	settled, changed, err := pg.Archived(&u, *s.Archiver)
	if len(settled) > 0 {
		m.log.Info("the archive refuses WAL of a former primary and takes other files: it has these segments", zap.Strings("segments", settled))
	}
	if u.Empty() {
		m.log.Info("the WAL that a former primary had left is archived")
	}
	if !changed {
		return err
	}
	return errors.Join(err, m.keepUnarchived(u))
}
