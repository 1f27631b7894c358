package e2e

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"mainstay/controller/postgres"
	"mainstay/test/testbed"
)

// ownUser is a person who has a PostgreSQL of their own on hosts of a testbed, made and started by hand.
type ownUser struct {
	*trial
	bin string // of PostgreSQL's programs
}

const ownPassword = "let-me-stream"

// ownPaths are the folders of the user's PostgreSQL below a testbed's.
func ownPaths(dir, member string) testbed.Own {
	at := filepath.Join(dir, "own", member)
	return testbed.Own{Data: filepath.Join(at, "data"), Socket: filepath.Join(at, "run")}
}

// ownAgent is the entry of such a member in the agent's file.
func ownAgent(dir string, o testbed.Own, adopt bool) string {
	return fmt.Sprintf("{data: %s, adopt: %t, socket: %s, %s}", o.Data, adopt, o.Socket, ownReplication(dir))
}

func ownReplication(dir string) string {
	return "replication: {user: repl, passfile: " + filepath.Join(dir, "own", "passfile") + "}"
}

func newOwnUser(t *testing.T, tr *trial) *ownUser {
	t.Helper()
	b, err := postgres.Find(tr.Binaries)
	if err != nil {
		t.Fatal(err)
	}
	u := &ownUser{tr, b.Dir}
	u.folder(t, "")
	u.write(t, filepath.Join(tr.Dir, "own", "passfile"), "*:*:*:repl:"+ownPassword+"\n")
	return u
}

// folder makes a folder that belongs to the owner of the data, like each one above it: a copy of the data is made beside it.
func (u *ownUser) folder(t *testing.T, parts ...string) string {
	t.Helper()
	path := filepath.Join(u.Dir, "own")
	u.check(t, os.MkdirAll(path, 0o755), u.give(path))
	for _, part := range parts {
		path = filepath.Join(path, part)
		u.check(t, os.MkdirAll(path, 0o755), u.give(path))
	}
	return path
}

func (u *ownUser) write(t *testing.T, path, text string) {
	t.Helper()
	u.check(t, os.WriteFile(path, []byte(text), 0o600), u.give(path))
}

func (u *ownUser) give(path string) error {
	if os.Geteuid() != 0 {
		return nil
	}
	who, err := user.Lookup(testbed.Owner())
	if err != nil {
		return err
	}
	uid, _ := strconv.Atoi(who.Uid)
	gid, _ := strconv.Atoi(who.Gid)
	return os.Chown(path, uid, gid)
}

// run runs one of PostgreSQL's programs as the owner of the data.
func (u *ownUser) run(t *testing.T, program string, args ...string) {
	t.Helper()
	cmd := exec.CommandContext(u.ctx, filepath.Join(u.bin, program), args...)
	cmd.Dir = "/"
	cmd.Env = append(os.Environ(), "PGPASSFILE="+filepath.Join(u.Dir, "own", "passfile"), "LC_ALL=C")
	testbed.AsOwner(cmd)
	out, err := os.CreateTemp("", "own-") // no pipe: the server that pg_ctl starts would hold it open
	u.check(t, err)
	defer os.Remove(out.Name())
	defer out.Close()
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Run(); err != nil {
		said, _ := os.ReadFile(out.Name())
		t.Fatalf("%s %v: %v\n%s", program, args, err, said)
	}
}

// initdb makes a database with its user's own configuration and access rules. options go to initdb.
func (u *ownUser) initdb(t *testing.T, member string, rules string, settings []string, options ...string) {
	t.Helper()
	u.folder(t, member)
	u.folder(t, member, "run")
	data := u.Data(member)
	u.run(t, "initdb", append([]string{"-D", data, "-U", "postgres", "-E", "UTF8", "--locale=C", "-A", "trust"}, options...)...)
	u.certificate(t, member)
	u.configure(t, member, settings...)
	u.write(t, filepath.Join(data, "pg_hba.conf"), "# mine\nlocal all all trust\nhost all feed all scram-sha-256\n"+rules)
}

// ownRules let the user's replication role in, and pg_rewind with it.
const ownRules = "host replication repl all scram-sha-256\nhost postgres repl all scram-sha-256\n"

func (u *ownUser) configure(t *testing.T, member string, settings ...string) {
	t.Helper()
	lines := append([]string{"# mine", "port = 5432", "listen_addresses = '" + u.Host(member).Address + "'",
		"unix_socket_directories = '" + u.Socket(member) + "'",
		"ssl = on", "max_wal_senders = 20", "max_replication_slots = 24", "max_connections = 60", "shared_buffers = 32MB", "work_mem = 5MB"},
		settings...)
	u.write(t, filepath.Join(u.Data(member), "postgresql.conf"), strings.Join(lines, "\n")+"\n")
}

func (u *ownUser) certificate(t *testing.T, member string) {
	t.Helper()
	for _, kind := range []string{"crt", "key"} {
		b, err := os.ReadFile(filepath.Join(u.Dir, "pki", "postgres-"+u.Host(member).Name+"."+kind))
		u.check(t, err)
		u.write(t, filepath.Join(u.Data(member), "server."+kind), string(b))
	}
}

func (u *ownUser) start(t *testing.T, member string) {
	t.Helper()
	u.run(t, "pg_ctl", "-D", u.Data(member), "-l", filepath.Join(u.Dir, "own", member, "log"), "-w", "-t", "60", "start")
}

func (u *ownUser) stop(t *testing.T, member string) {
	t.Helper()
	u.run(t, "pg_ctl", "-D", u.Data(member), "-m", "fast", "-w", "-t", "60", "stop")
}

// role makes the replication role, with what pg_rewind needs.
func (u *ownUser) role(t *testing.T, member string) {
	t.Helper()
	u.sql(t, member, "CREATE ROLE repl LOGIN REPLICATION PASSWORD '"+ownPassword+"'")
	u.sql(t, member, `GRANT EXECUTE ON FUNCTION pg_ls_dir(text, boolean, boolean), pg_stat_file(text, boolean), pg_read_binary_file(text),
		pg_read_binary_file(text, bigint, bigint, boolean) TO repl`)
}

// standby copies the primary as one does by hand, and starts the copy.
func (u *ownUser) standby(t *testing.T, of, member string, settings ...string) {
	t.Helper()
	u.folder(t, member)
	u.folder(t, member, "run")
	u.run(t, "pg_basebackup", "-h", u.Host(of).Address, "-U", "repl", "-w", "-D", u.Data(member), "-R", "-X", "stream", "-c", "fast")
	u.certificate(t, member)
	u.configure(t, member, settings...)
	u.start(t, member)
}

func (u *ownUser) sql(t *testing.T, member, statement string) string {
	t.Helper()
	out, err := u.SQL(u.ctx, member, "postgres", statement)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// files are the user's own, by path. pg_ident.conf is as initdb left it.
func (u *ownUser) files(t *testing.T, members ...string) map[string]string {
	t.Helper()
	found := map[string]string{}
	for _, m := range members {
		for _, name := range []string{"postgresql.conf", "pg_hba.conf", "pg_ident.conf", "server.crt", "server.key"} {
			path := filepath.Join(u.Data(m), name)
			b, err := os.ReadFile(path)
			if errors.Is(err, os.ErrNotExist) {
				continue
			}
			u.check(t, err)
			found[path] = string(b)
		}
	}
	return found
}

func (u *ownUser) unchanged(t *testing.T, before map[string]string) {
	t.Helper()
	for path, text := range before {
		if b, err := os.ReadFile(path); err != nil || string(b) != text {
			t.Errorf("%s was changed (%v); it was\n%s\nand is\n%s", path, err, text, b)
		}
	}
}

// sees waits until `mainstay status` and `mainstay explain` both say something.
func (tr *trial) sees(t *testing.T, what ...string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(tr.ctx, 3*time.Minute)
	defer cancel()
	for _, args := range [][]string{{"status"}, {"explain", "feed"}} {
		said := ""
		err := tr.Wait(ctx, strings.Join(args, " ")+" to say "+strings.Join(what, " and "), func() (bool, string) {
			var err error
			said, err = tr.CLI(ctx, args...)
			for _, w := range what {
				if !strings.Contains(said, w) {
					return false, "it lacks " + w + ":\n" + said
				}
			}
			return err == nil, said
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}
