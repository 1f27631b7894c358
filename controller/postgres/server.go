package postgres

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"

	"mainstay/controller/osuser"
	"mainstay/controller/pgdial"
)

// The accounts Mainstay makes on clusters that it initialised.
const (
	ReplicationUser = "mainstay_replication"
	ProbeUser       = "mainstay_probe"
)

// TLSFiles are the PEM files of a certificate and its authority.
type TLSFiles = pgdial.TLSFiles

// Owner is the operating system's user that owns a data directory and runs its PostgreSQL.
type Owner struct {
	UID, GID uint32
	Name     string
}

// LookupOwner resolves a user name.
func LookupOwner(name string) (Owner, error) {
	u, known, err := osuser.Lookup(name)
	return Owner{UID: u.UID, GID: u.GID, Name: known}, err
}

// OwnerFor is the user as which PostgreSQL runs on a data directory: its owner, and where it is not there yet, or is root's, the configured
// user. A process that is not root can run it as itself alone.
func OwnerFor(data, configured string) (Owner, error) {
	if os.Geteuid() != 0 {
		me, err := user.Current()
		if err != nil {
			return Owner{}, fmt.Errorf("look up the user who runs this process: %w", err)
		}
		return Owner{UID: uint32(os.Geteuid()), GID: uint32(os.Getegid()), Name: me.Username}, nil
	}
	if who, err := OwnerOf(data); err == nil && who.UID != 0 {
		if known, err := LookupOwner(who.Name); err == nil { // the folder's group may be another one, such as root's
			who = known
		}
		return who, nil
	}
	who, err := LookupOwner(configured)
	if err == nil && who.UID == 0 {
		err = errors.New("PostgreSQL refuses to run as root; set postgres.user in the agent's file")
	}
	return who, err
}

// OwnerOf reads the owner of an existing path.
func OwnerOf(path string) (Owner, error) {
	fi, err := os.Stat(path)
	if err != nil {
		return Owner{}, err
	}
	st := fi.Sys().(*syscall.Stat_t)
	o := Owner{UID: st.Uid, GID: st.Gid, Name: strconv.Itoa(int(st.Uid))}
	if u, err := user.LookupId(o.Name); err == nil {
		o.Name = u.Username
	}
	return o, nil
}

// Credentials are an adopted cluster's own replication account. The password lies in Passfile, in libpq's format,
// readable by the data's owner.
type Credentials struct{ User, Passfile string }

// Server is one member's PostgreSQL on this host. It holds no state: every method looks at the files or the server.
type Server struct {
	Member string
	Data   string // data directory
	Conf   string // directory of our files, outside Data
	Socket string // directory of the unix socket
	Log    string // file that the server's output is appended to
	Listen string // the host's address; loopback is listened on besides
	Port   int

	Binaries  Binaries
	Owner     Owner
	Superuser string // "" is postgres
	// SuperPassfile lets adopted clusters without peer authentication log the superuser in; "" is peer.
	SuperPassfile string
	Database      string // the database our connections use; "" is postgres

	// UserConfig is the user's configuration file; "" is Kept's, or postgresql.conf in Data.
	UserConfig string
	// Begin are the user's settings with which a cluster that we initialise begins, in its postgresql.conf; they are the user's from then on.
	Begin map[string]string
	// Kept is set on members of adopted clusters.
	Kept Kept
	// TLS are the server's files; zero leaves ssl to the user's configuration.
	TLS TLSFiles
	// ReplicationTLS is mainstay_replication's client certificate; zero uses TLS.
	ReplicationTLS TLSFiles
	// Replication is set on adopted clusters; zero is mainstay_replication with its certificate.
	Replication Credentials
	// Lock reads postmaster.pid; nil reads it each time.
	Lock *LockFile
	// Notice is called once for each change to the user's settings and files; nil for no call. It must not block.
	Notice func(text string)
}

// Source is another member's PostgreSQL, to stream, clone or rewind from.
type Source struct {
	Host string
	Port int
}

// Error is a failed act on a member.
type Error struct {
	Member, Op string
	Err        error
}

func (e *Error) Error() string { return e.Op + " " + e.Member + ": " + e.Err.Error() }

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// wrap gives a non-nil *err its place; use it deferred.
func (i *Server) wrap(op string, err *error) {
	if *err != nil {
		*err = &Error{i.Member, op, *err}
	}
}

func (i *Server) superuser() string {
	if i.Superuser == "" {
		return "postgres"
	}
	return i.Superuser
}

func (i *Server) replicationUser() string {
	if i.Replication.User == "" {
		return ReplicationUser
	}
	return i.Replication.User
}

func (i *Server) userConfig() string {
	return cmp.Or(i.UserConfig, i.Kept.ConfigFile, filepath.Join(i.Data, "postgresql.conf"))
}

// Local is how to connect to the member through its own socket as the superuser. The user's defaults for new sessions do not affect it.
func (i *Server) Local() pgdial.Config {
	return pgdial.Config{
		SocketDir: i.Socket, Port: i.Port, User: i.superuser(), Database: i.Database, Passfile: i.SuperPassfile,
		Application: "mainstay-agent", OSUser: &pgdial.OSUser{UID: i.Owner.UID, GID: i.Owner.GID},
		Runtime: pgdial.Sessions(i.Binaries.Major, true),
	}
}

// with runs f on a new local connection, bounded by ctx.
func (i *Server) with(ctx context.Context, f func(*sql.Conn) error) error {
	return pgdial.WithConn(ctx, i.Local(), f)
}

// exec runs one statement on a new local connection.
func (i *Server) exec(ctx context.Context, statement string, args ...any) error {
	return i.with(ctx, func(c *sql.Conn) error {
		_, err := c.ExecContext(ctx, statement, args...)
		return err
	})
}
