package osuser

import (
	"fmt"
	"os"
	"os/user"
	"strconv"
	"syscall"
)

// Lookup finds a user by name. known is the system's own name for that user: a directory service may accept other names.
func Lookup(name string) (u User, known string, err error) {
	found, err := user.Lookup(name)
	if err != nil {
		return User{}, "", fmt.Errorf("%w; create the user or name another", err)
	}
	uid, _ := strconv.ParseUint(found.Uid, 10, 32)
	gid, _ := strconv.ParseUint(found.Gid, 10, 32)
	return User{UID: uint32(uid), GID: uint32(gid)}, found.Username, nil
}

// Credential makes a program run as the user, with the user's own groups; nil if this process already runs as the user.
func (u User) Credential() *syscall.Credential {
	if int(u.UID) == os.Geteuid() {
		return nil
	}
	c := &syscall.Credential{Uid: u.UID, Gid: u.GID}
	known, err := user.LookupId(strconv.Itoa(int(u.UID)))
	if err != nil {
		return c
	}
	ids, _ := known.GroupIds() // a key readable through a group such as ssl-cert needs them
	for _, id := range ids {
		if g, err := strconv.ParseUint(id, 10, 32); err == nil {
			c.Groups = append(c.Groups, uint32(g))
		}
	}
	return c
}
