package config

import (
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"syscall"

	"mainstay/controller/osuser"
)

// checkSuperuser checks the role's name, and that only the agent's user or PostgreSQL's can read or write its password.
func (l *local) checkSuperuser(at where, s Superuser, runs string) {
	if l.given(at.field("user")) {
		l.checkRole(at.field("user"), s.User)
	}
	if !l.given(at.field("passfile")) {
		return
	}
	at = at.field("passfile")
	do := "name a file in libpq's form, which belongs to the agent's user or " + runs + " and has mode 0600"
	l.readable(at, s.Passfile, do)
	info, err := os.Stat(s.Passfile)
	if err != nil || info.IsDir() {
		return // already reported
	}
	if mode := info.Mode().Perm(); mode&0o077 != 0 {
		l.add(at, fmt.Sprintf("%s has mode %04o, open to others", s.Passfile, mode), "chmod 600 it")
	}
	if who, err := osuser.OtherChanger(filepath.Dir(s.Passfile)); err == nil && who != nil {
		l.add(at, fmt.Sprintf("%s is in a folder that user %d can change", s.Passfile, who.UID),
			"put it into a folder that only root can change, such as /etc/mainstay")
	}
	owner := info.Sys().(*syscall.Stat_t).Uid
	if u, err := user.Lookup(runs); int(owner) != os.Geteuid() && (err != nil || u.Uid != fmt.Sprint(owner)) {
		l.add(at, fmt.Sprintf("%s belongs to user %d", s.Passfile, owner), do)
	}
}
