package archive

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"mainstay/controller/platform"
	"mainstay/controller/postgres/ondisk"
	"mainstay/fencing/program"
	"mainstay/health/backup/target"
	"mainstay/test/kit"
	"mainstay/test/kit/pg"
)

const cluster = "feed"

// TestMain is also the restore_command of the servers that the tests start.
func TestMain(m *testing.M) {
	if dir := os.Getenv("MAINSTAY_TEST_ARCHIVE"); dir != "" && len(os.Args) == 3 {
		ctx, cancel := context.WithTimeout(context.Background(), kit.Patience)
		defer cancel()
		t, err := target.Open("vault", target.Config{Directory: dir})
		if err == nil {
			err = Get(ctx, Named{"vault", t}, cluster, os.Args[1], os.Args[2])
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// node is a server that is reached by its socket only.
type node struct {
	t    *testing.T
	v    pg.Version
	dir  string // of its socket, log and data
	data string
	env  []string
}

func newNode(t *testing.T, v pg.Version, name string) *node {
	dir := filepath.Join(v.Dir, name)
	n := &node{t: t, v: v, dir: dir, data: filepath.Join(dir, "data")}
	kit.Check(t, os.Mkdir(dir, 0o755), os.Chown(dir, int(v.Owner.UID), int(v.Owner.GID)))
	t.Cleanup(func() {
		if t.Failed() {
			log, _ := os.ReadFile(filepath.Join(dir, "log"))
			t.Logf("log of %s:\n%s", name, log[max(0, len(log)-3000):])
		}
		n.end()
	})
	return n
}

// run executes one of PostgreSQL's programs as the owner.
func (n *node) run(name string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), kit.Patience)
	defer cancel()
	c := program.Call{Path: filepath.Join(n.v.Programs.Dir, name), Args: args, Env: n.env, Dir: n.dir}
	if os.Geteuid() == 0 {
		c.As = &syscall.Credential{Uid: n.v.Owner.UID, Gid: n.v.Owner.GID}
	}
	e, err := program.Run(ctx, c)
	if err == nil && e.Code != 0 {
		err = fmt.Errorf("%s ended with %d: %s%s", name, e.Code, e.Stdout, e.Stderr)
	}
	return strings.TrimSpace(e.Stdout), err
}

func (n *node) must(name string, args ...string) string {
	n.t.Helper()
	return kit.Must[string](n.t)(n.run(name, args...))
}

func (n *node) set(lines ...string) {
	n.t.Helper()
	f := kit.Must[*os.File](n.t)(os.OpenFile(filepath.Join(n.data, "postgresql.conf"), os.O_APPEND|os.O_WRONLY, 0))
	_, err := f.WriteString("\n" + strings.Join(lines, "\n") + "\n")
	kit.Check(n.t, err, f.Close())
}

func (n *node) init(segment int) {
	n.t.Helper()
	n.must("initdb", "-D", n.data, "-U", "postgres", "-A", "trust", "-N", fmt.Sprintf("--wal-segsize=%d", segment))
	n.set("fsync = off", "listen_addresses = ''", "unix_socket_directories = '"+n.dir+"'", "max_wal_size = '1GB'", "autovacuum = off",
		"wal_keep_size = '1GB'", "checkpoint_timeout = '1h'")
}

func (n *node) start() {
	n.t.Helper()
	// pg_ctl waits for the server, which leaves the group that ends with the program.
	n.must("pg_ctl", "-D", n.data, "-l", filepath.Join(n.dir, "log"), "-w", "-t", "50", "start")
}

func (n *node) end() { _, _ = n.run("pg_ctl", "-D", n.data, "-m", "immediate", "-w", "stop") }

func (n *node) sql(query string) string {
	n.t.Helper()
	return n.must("psql", "-h", n.dir, "-U", "postgres", "-d", "postgres", "-XAtqc", query)
}

func (n *node) lsn(query string) platform.LSN {
	n.t.Helper()
	return kit.Must[platform.LSN](n.t)(platform.ParseLSN(n.sql(query)))
}

// copyTo makes a copy of the running server without WAL, and returns where its recovery begins.
func (n *node) copyTo(c *node, args ...string) (redo platform.LSN) {
	n.t.Helper()
	c.must("pg_basebackup", append([]string{"-h", n.dir, "-U", "postgres", "-D", c.data, "-c", "fast"}, args...)...)
	c.set("unix_socket_directories = '" + c.dir + "'")
	label := kit.Must[[]byte](n.t)(os.ReadFile(filepath.Join(c.data, "backup_label")))
	var at, file string
	_, err := fmt.Sscanf(string(label), "START WAL LOCATION: %s (file %24s)", &at, &file)
	kit.Check(n.t, err)
	return kit.Must[platform.LSN](n.t)(platform.ParseLSN(at))
}

func (n *node) format() ondisk.Format {
	n.t.Helper()
	c := kit.Must[ondisk.Control](n.t)(ondisk.ParseControl(kit.Must[[]byte](n.t)(os.ReadFile(filepath.Join(n.data, "global/pg_control")))))
	return ondisk.Format{Major: n.v.Programs.Major, SystemID: c.SystemID, Segment: c.SegmentSize, Page: c.BlockSize}
}

// vault is a target in a folder that all may read.
func vault(t *testing.T, v pg.Version) (Named, string) {
	t.Helper()
	dir := kit.Must[string](t)(os.MkdirTemp(v.Dir, "vault"))
	return Named{"vault", kit.Must[target.Target](t)(target.Open("vault", target.Config{Directory: dir}))}, dir
}

// steps archives all that is complete.
func steps(t *testing.T, a *Archiver, upto platform.LSN, tl platform.Timeline) (all Progress) {
	t.Helper()
	for more := true; more; {
		p, err := a.Step(kit.Context(t, kit.Patience), upto, tl)
		kit.Check(t, err)
		p.Archived = append(all.Archived, p.Archived...)
		p.Conflicts = append(all.Conflicts, p.Conflicts...)
		all, more = p, p.More
	}
	for name, err := range all.Failed {
		t.Errorf("target %s: %v", name, err)
	}
	return all
}

// restore starts a copy that recovers from the archive up to a point, and waits until it takes writes.
func (n *node) restore(v string, lines ...string) {
	n.t.Helper()
	own := filepath.Join(n.dir, "get")
	kit.Check(n.t, os.WriteFile(own, kit.Must[[]byte](n.t)(os.ReadFile(kit.Must[string](n.t)(os.Executable()))), 0o755),
		os.WriteFile(filepath.Join(n.data, "recovery.signal"), nil, 0o600),
		os.Chown(filepath.Join(n.data, "recovery.signal"), int(n.v.Owner.UID), int(n.v.Owner.GID)))
	kit.Check(n.t, filepath.WalkDir(v, func(path string, _ os.DirEntry, err error) error { // a target's files are its owner's
		return errors.Join(err, os.Chown(path, int(n.v.Owner.UID), int(n.v.Owner.GID)))
	}))
	n.env = []string{"MAINSTAY_TEST_ARCHIVE=" + v, "GORACE=atexit_sleep_ms=0"}
	n.set(append(lines, "restore_command = '"+own+" %f %p'", "recovery_target_action = 'promote'")...)
	n.start()
	kit.Eventually(n.t, "the end of the recovery", func() bool {
		in, err := n.run("psql", "-h", n.dir, "-U", "postgres", "-d", "postgres", "-XAtqc", "SELECT pg_is_in_recovery()")
		return err == nil && in == "f"
	})
}

// target are the settings of a point.
func (p Point) target() []string {
	if p.End {
		return nil
	}
	return []string{"recovery_target_lsn = '" + p.LSN.String() + "'", fmt.Sprintf("recovery_target_inclusive = %v", p.Inclusive)}
}

func parseTime(t *testing.T, s string) time.Time {
	t.Helper()
	return kit.Must[time.Time](t)(time.Parse("2006-01-02 15:04:05.999999Z07", s))
}
