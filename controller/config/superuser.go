package config

import (
	"fmt"
	"os"
	"os/user"
	"syscall"
)

// checkSuperuser checks that the role's name is one, and that nobody but the agent's user or PostgreSQL's can read or write
// its password.
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
		return // said already
	}
	if mode := info.Mode().Perm(); mode&0o077 != 0 {
		l.add(at, fmt.Sprintf("%s has mode %04o, open to others", s.Passfile, mode), "chmod 600 it")
	}
	owner := info.Sys().(*syscall.Stat_t).Uid
	if u, err := user.Lookup(runs); int(owner) != os.Geteuid() && (err != nil || u.Uid != fmt.Sprint(owner)) {
		l.add(at, fmt.Sprintf("%s belongs to user %d", s.Passfile, owner), do)
	}
}
