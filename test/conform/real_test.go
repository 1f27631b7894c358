package conform

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	_ "github.com/lib/pq" // clients' connections

	"mainstay/controller/member"
	"mainstay/controller/platform"
	"mainstay/controller/postgres"
	"mainstay/fencing/process"
	"mainstay/test/kit"
)

// realServers are PostgreSQL as controller/postgres drives it, on this host. A standby reaches its upstream over a link.
type realServers struct {
	t        *testing.T
	all      map[string]*realServer
	links    map[[2]string]*link // from a standby to its upstream
	clients  sync.WaitGroup
	mu       sync.Mutex    // guards outcomes
	outcomes map[int]error // of the writes that have ended
	writes   map[int]written
}

type realServer struct {
	*postgres.Server
	settings postgres.Settings
	upstream string
	db       *sql.DB           // clients', over TCP
	session  *postgres.Session // nil for none
	reader   *sql.Conn         // the one in replay's way, nil for none
}

// written is where a write's commit ends.
type written struct {
	on       string
	timeline platform.Timeline
	end      platform.LSN
}

func newRealServers(t *testing.T) *realServers {
	r := &realServers{t: t, all: map[string]*realServer{}, links: map[[2]string]*link{}, outcomes: map[int]error{}, writes: map[int]written{}}
	t.Cleanup(r.clients.Wait) // after the servers' end
	return r
}

func (r *realServers) Pass(d time.Duration) { time.Sleep(d) }

// needPostgres skips only if PostgreSQL is absent and MAINSTAY_NEED_PG is not set.
func needPostgres(t *testing.T) (postgres.Binaries, postgres.Owner) {
	t.Helper()
	b, err := postgres.Find(os.Getenv("MAINSTAY_PG_BIN"))
	if err != nil && os.Getenv("MAINSTAY_NEED_PG") == "" {
		t.Skip(err)
	}
	o, err2 := postgres.OwnerOf("/proc/self")
	if os.Geteuid() == 0 {
		if o, err2 = postgres.LookupOwner("postgres"); err2 != nil {
			t.Skip("as root the tests need the user postgres: ", err2)
		}
	}
	if err != nil || err2 != nil {
		t.Fatal(err, err2)
	}
	return b, o
}

func newServer(t *testing.T, dir, name string) *postgres.Server {
	t.Helper()
	b, o := needPostgres(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return &postgres.Server{
		Member: name, Data: filepath.Join(dir, "data"), Conf: filepath.Join(dir, "conf"), Socket: filepath.Join(dir, "s"),
		Log: filepath.Join(dir, "log"), Listen: "127.0.0.1", Port: l.Addr().(*net.TCPAddr).Port, Binaries: b, Owner: o,
		Replication: postgres.Credentials{User: "postgres", Passfile: filepath.Join(dir, "passfile")}, // see trust: there is no password
	}
}

const (
	trust = "local all all peer map=mainstay\nhost all postgres 127.0.0.1/32 trust\nhost replication postgres 127.0.0.1/32 trust\n"
	// Nothing is written that no case asks for, a server that is killed leaves no shared memory behind, and a query that stands in
	// the way of replay is not ended for that.
	calm = "fsync = off\ndynamic_shared_memory_type = mmap\nautovacuum = off\nbgwriter_delay = 10s\ncheckpoint_timeout = 1h\n" +
		"shared_buffers = 4MB\nmax_connections = 20\nmax_logical_replication_workers = 0\njit = off\nwal_init_zero = " +
		"off\nmax_standby_streaming_delay = -1\nmax_standby_archive_delay = -1\n"
)

// seedData is what every member begins with: a primary's data, stopped cleanly. It is made once.
var seedData struct {
	once sync.Once
	dir  string // "" if it could not be made
}

func TestMain(m *testing.M) {
	code := m.Run()
	if seedData.dir != "" {
		_ = os.RemoveAll(seedData.dir)
	}
	os.Exit(code)
}

func seed(t *testing.T) string {
	t.Helper()
	needPostgres(t)
	seedData.once.Do(func() {
		dir := tempDir(t)
		i := &realServer{Server: newServer(t, dir, "seed")}
		ctx := t.Context()
		kit.Check(t, i.Initialise(ctx))
		kit.Check(t, prepend(filepath.Join(i.Data, "pg_hba.conf"), trust))
		kit.Check(t, prepend(filepath.Join(i.Data, "postgresql.conf"), calm))
		kit.Check(t, i.start(ctx, true))
		kit.Check(t, i.exec(ctx, "CREATE TABLE public.t (n int)"))
		kit.Check(t, i.exec(ctx, "CREATE TABLE public.v AS SELECT generate_series(1, 100) AS n"))
		kit.Check(t, i.exec(ctx, "UPDATE pg_database SET datistemplate = false")) // an unused template need not be copied each time
		kit.Check(t, i.exec(ctx, "DROP DATABASE template0"))
		kit.Check(t, i.exec(ctx, "DROP DATABASE template1"))
		kit.Check(t, i.stop(ctx))
		seedData.dir = dir
	})
	if seedData.dir == "" {
		t.Fatal("the data that the members begin with was not made")
	}
	return filepath.Join(seedData.dir, "data")
}

// tempDir is short, as the paths of sockets must be, and PostgreSQL's user may enter it.
func tempDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "mcf")
	kit.Check(t, err)
	kit.Check(t, os.Chmod(dir, 0o755))
	return dir
}

func prepend(path, text string) error {
	old, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	return os.WriteFile(path, append([]byte(text), old...), 0o600)
}

// server is a member, made when it is named first.
func (r *realServers) server(name string) *realServer {
	if s := r.all[name]; s != nil {
		return s
	}
	t := r.t
	from, dir := seed(t), tempDir(t)
	s := &realServer{Server: newServer(t, dir, name)}
	if out, err := exec.Command("cp", "-a", "--sparse=always", from, s.Data).CombinedOutput(); err != nil {
		t.Fatalf("copy the data: %v: %s", err, out)
	}
	r.all[name] = s
	t.Cleanup(func() {
		if t.Failed() {
			log, _ := os.ReadFile(s.Log)
			t.Logf("log of %s:\n%s", name, log)
		}
		s.close()
		if err := errors.Join(s.kill(), os.RemoveAll(dir)); err != nil {
			t.Error(err)
		}
	})
	return s
}

// start returns once a primary is writable, or a standby's postmaster is there: it may not answer yet.
func (s *realServer) start(ctx context.Context, primary bool) error {
	if err := s.WriteSettings(ctx, s.settings); err != nil {
		return err
	}
	p, err := s.Start(ctx, postgres.StartOptions{AsPrimary: primary})
	if err != nil {
		return err
	}
	err = until(ctx, func() (bool, error) {
		select {
		case <-p.Done():
			return false, fmt.Errorf("%s ended at once: %w", s.Member, p.Err())
		default:
		}
		_, _, runs := s.Running()
		return runs, nil
	})
	if err != nil || !primary {
		return err
	}
	return errors.Join(s.WaitWritable(ctx), s.RestoreStandbySignal(ctx))
}

func (s *realServer) stop(ctx context.Context) error {
	s.close()
	if err := s.StopFast(ctx); err != nil {
		return err
	}
	return until(ctx, func() (bool, error) { _, _, runs := s.Running(); return !runs, nil })
}

// until looks again until it is so.
func until(ctx context.Context, look func() (bool, error)) error {
	for {
		if yes, err := look(); yes || err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(5 * time.Millisecond):
		}
	}
}

func (s *realServer) kill() error {
	tree, err := process.NewTree(s.Data, nil)
	if err != nil {
		return err
	}
	return tree.Kill(patience)
}

// client is a pool of clients' connections.
func (s *realServer) client() *sql.DB {
	if s.db == nil {
		const to = "host=127.0.0.1 port=%d user=postgres dbname=postgres sslmode=disable connect_timeout=20"
		db, err := sql.Open("postgres", fmt.Sprintf(to, s.Port))
		if err != nil {
			panic(err) // the text above is wrong
		}
		s.db = db
	}
	return s.db
}

func (s *realServer) close() {
	if s.db != nil {
		_ = s.db.Close() // the server may have ended before
	}
	if s.session != nil {
		s.session.Close()
	}
	s.db, s.reader, s.session = nil, nil, nil
}

// status is asked on a kept session: a new connection costs more than all else.
func (s *realServer) status(ctx context.Context) (st postgres.Status, err error) {
	if s.session == nil {
		if s.session, err = s.Keep(ctx); err != nil {
			return st, err
		}
	}
	if st, err = s.session.Status(ctx); err != nil {
		s.session.Close()
		s.session = nil
	}
	return st, err
}

func (s *realServer) exec(ctx context.Context, statement string, args ...any) error {
	_, err := s.client().ExecContext(ctx, statement, args...)
	return err
}

func (r *realServers) StartPrimary(ctx context.Context, name string, set platform.DurabilitySet) error {
	s := r.server(name)
	s.settings = postgres.Settings{SyncNames: member.SyncNames(set)}
	return s.start(ctx, true)
}

func (r *realServers) StartStandby(ctx context.Context, name string) error {
	return r.server(name).start(ctx, false)
}

func (r *realServers) Point(ctx context.Context, name, upstream string) error {
	s := r.server(name)
	s.settings, s.upstream = postgres.Settings{SyncNames: member.SyncNames(member.ReplicaSet())}, upstream
	if upstream != "" {
		way := [2]string{name, upstream}
		if r.links[way] == nil {
			r.links[way] = newLink(r.t, r.server(upstream).Port)
		}
		conninfo, err := s.ConnInfo(postgres.Source{Host: "127.0.0.1", Port: r.links[way].port}, name, "")
		if err != nil {
			return err
		}
		s.settings.PrimaryConnInfo = conninfo
	}
	if _, _, runs := s.Running(); !runs {
		return nil
	}
	if err := s.WriteSettings(ctx, s.settings); err != nil {
		return err
	}
	return s.Apply(ctx, map[string]string{"primary_conninfo": s.settings.PrimaryConnInfo}, nil)
}

// writtenSQL is whether a client waits for replicas, and where the primary's WAL ends.
const writtenSQL = `SELECT (SELECT count(*) FROM pg_stat_activity WHERE application_name = $1 AND wait_event = 'SyncRep'),
	pg_current_wal_flush_lsn(), ('x' || substr(pg_walfile_name(pg_current_wal_flush_lsn()), 1, 8))::bit(32)::int`

// Write returns once the commit is flushed: it was acknowledged, or waits.
func (r *realServers) Write(ctx context.Context, name string, id int) error {
	s, ended := r.server(name), make(chan struct{})
	conn, err := s.client().Conn(ctx)
	if err != nil {
		return err
	}
	as := fmt.Sprintf("client %d", id)
	if _, err := conn.ExecContext(ctx, fmt.Sprintf("SET application_name = '%s'", as)); err != nil {
		return err
	}
	r.clients.Go(func() {
		_, err := conn.ExecContext(context.WithoutCancel(ctx), "INSERT INTO public.t VALUES ($1)", id)
		_ = conn.Close() // it may have been ended
		r.mu.Lock()
		r.outcomes[id] = err
		r.mu.Unlock()
		close(ended)
	})
	return until(ctx, func() (bool, error) {
		var waits int
		var end string
		w := written{on: name}
		over := false // told before the end of WAL is asked for: one that ends in between lies behind it
		select {
		case <-ended:
			over = true
		default:
		}
		err := s.client().QueryRowContext(ctx, writtenSQL, as).Scan(&waits, &end, &w.timeline)
		if !over && (waits == 0 || err != nil) {
			return false, err
		}
		if err == nil {
			w.end, err = platform.ParseLSN(end)
		}
		r.writes[id] = w
		return true, err
	})
}

func (r *realServers) Outcome(ctx context.Context, id int) (string, error) {
	r.mu.Lock()
	err, ended := r.outcomes[id]
	r.mu.Unlock()
	switch {
	case !ended:
		return "waits", nil
	case err != nil:
		return "failed", nil
	}
	return "acknowledged", nil
}

func (r *realServers) Leave(ctx context.Context, id int) error {
	s := r.server(r.writes[id].on)
	const end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = $1"
	if err := s.exec(ctx, end, fmt.Sprintf("client %d", id)); err != nil {
		return err
	}
	return until(ctx, func() (bool, error) {
		o, err := r.Outcome(ctx, id)
		return o != "waits", err
	})
}

func (r *realServers) Load(ctx context.Context, name string, set platform.DurabilitySet) error {
	s := r.server(name)
	s.settings.SyncNames = member.SyncNames(set)
	if err := s.WriteSettings(ctx, s.settings); err != nil {
		return err
	}
	return s.Apply(ctx, map[string]string{"synchronous_standby_names": s.settings.SyncNames}, nil)
}

func (r *realServers) Crash(_ context.Context, name string) error {
	s := r.server(name)
	defer s.close()
	return s.kill()
}

func (r *realServers) Stop(ctx context.Context, name string) error { return r.server(name).stop(ctx) }

func (r *realServers) EndReceiver(ctx context.Context, name string) error {
	s, err := r.server(name).status(ctx)
	if err != nil || s.Receiver == nil {
		return fmt.Errorf("no receiver to be ended: %w", err)
	}
	if err := syscall.Kill(s.Receiver.PID, syscall.SIGTERM); err != nil {
		return err
	}
	return until(ctx, func() (bool, error) { return errors.Is(syscall.Kill(s.Receiver.PID, 0), syscall.ESRCH), nil })
}

func (r *realServers) Seal(ctx context.Context, name string) error {
	s := r.server(name)
	s.settings.Sealed = true
	_, _, err := s.Server.Seal(ctx, s.settings)
	return err
}

func (r *realServers) Promote(ctx context.Context, name string, to platform.Timeline, set platform.DurabilitySet) error {
	s := r.server(name)
	settings := postgres.Settings{SyncNames: member.SyncNames(set)}
	p := postgres.Promotion{Settings: settings, Timeline: to, Spare: []int{}, Arm: func() error { return nil }}
	if _, err := s.Server.Promote(ctx, p); err != nil {
		return err
	}
	s.settings = settings
	return s.Checkpoint(ctx) // or no member can be rewound from it
}

func (r *realServers) Rewind(ctx context.Context, name, from string) error {
	s := r.server(name)
	if err := s.WriteSettings(ctx, s.settings); err != nil {
		return err
	}
	return s.Server.Rewind(ctx, postgres.Source{Host: "127.0.0.1", Port: r.server(from).Port}, postgres.StartOptions{})
}

func (r *realServers) Cut(_ context.Context, a, b string, severed bool) error {
	for _, way := range [][2]string{{a, b}, {b, a}} {
		if k := r.links[way]; k != nil {
			k.cut(severed)
		}
	}
	return nil
}

// Block lets a snapshot on the standby see rows that a vacuum of its primary removes.
func (r *realServers) Block(ctx context.Context, name string, blocked bool) error {
	s := r.server(name)
	if !blocked {
		_, err := s.reader.ExecContext(ctx, "ROLLBACK")
		err = errors.Join(err, s.reader.Close())
		s.reader = nil
		return err
	}
	var err error
	if s.reader, err = s.client().Conn(ctx); err != nil {
		return err
	}
	if _, err := s.reader.ExecContext(ctx, "BEGIN ISOLATION LEVEL REPEATABLE READ"); err != nil {
		return err
	}
	if _, err := s.reader.ExecContext(ctx, "SELECT count(*) FROM public.v"); err != nil {
		return err
	}
	up := r.server(s.upstream)
	if err := errors.Join(up.exec(ctx, "DELETE FROM public.v"), up.exec(ctx, "VACUUM public.v")); err != nil {
		return err
	}
	return until(ctx, func() (bool, error) {
		st, err := s.status(ctx)
		return strings.HasPrefix(st.StartupWait, "RecoveryConflict"), err
	})
}

// Delay is a wanted delay of replay, which a first commit has met when it returns.
func (r *realServers) Delay(ctx context.Context, name string, delayed bool) error {
	s, value := r.server(name), "0"
	if delayed {
		value = "1h"
	}
	f, err := os.OpenFile(filepath.Join(s.Data, "postgresql.conf"), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteString("recovery_min_apply_delay = " + value + "\n")
	if err := errors.Join(err, f.Close()); err != nil {
		return err
	}
	if err := s.Reload(ctx); err != nil || !delayed {
		return err
	}
	up := r.server(s.upstream)
	return until(ctx, func() (bool, error) { // the startup process takes the setting a moment later
		if err := up.exec(ctx, "INSERT INTO public.v VALUES (0)"); err != nil {
			return false, err
		}
		st, err := s.status(ctx)
		return st.StartupWait == "RecoveryApplyDelay", err
	})
}

func (r *realServers) Pad(ctx context.Context, name string) error {
	return r.server(name).exec(ctx, "SELECT pg_logical_emit_message(false, 'conform', repeat('x', 100000))")
}

func (r *realServers) NextSegment(ctx context.Context, name string) error {
	return r.server(name).exec(ctx, "SELECT pg_switch_wal()")
}

func (r *realServers) See(ctx context.Context, name string) (server, error) {
	s := r.server(name)
	if _, _, runs := s.Running(); !runs {
		return r.seeStopped(ctx, s)
	}
	st, err := s.status(ctx)
	if err != nil {
		return server{}, err
	}
	v := server{running: true, primary: !st.InRecovery, timeline: st.Timeline, end: st.Flush}
	if st.InRecovery {
		v.end, v.known, v.receives = max(st.Receive, st.Replay), st.EndKnown(), st.Receiver != nil && st.Receiver.Status == "streaming"
	}
	if v.history, err = s.ReadHistory(ctx, v.timeline); err != nil {
		return v, err
	}
	v.holds = r.held(v)
	rows, err := s.client().QueryContext(ctx, "SELECT n FROM public.t")
	if err != nil {
		return v, err
	}
	defer rows.Close()
	for rows.Next() {
		var n int
		if err := rows.Scan(&n); err != nil {
			return v, err
		}
		v.shows = append(v.shows, n)
	}
	return v, rows.Err()
}

func (r *realServers) seeStopped(ctx context.Context, s *realServer) (server, error) {
	c, err := s.ControlData(ctx)
	if err != nil {
		return server{}, err
	}
	end, err := s.EndOfWAL(ctx)
	if err != nil {
		return server{}, err
	}
	v := server{clean: c.Clean(), asPrimary: !strings.Contains(c.State, "recovery"), timeline: end.Timeline, end: end.LSN}
	v.history, err = s.ReadHistory(ctx, v.timeline)
	v.holds = r.held(v)
	if err == nil && !end.Known {
		err = errors.New("the end of its WAL is in doubt")
	}
	return v, err
}

// held are the writes that are in a server's line of descent.
func (r *realServers) held(v server) (held []int) {
	for id, w := range r.writes {
		for _, f := range v.line() {
			if f.Timeline == w.timeline && f.End >= w.end {
				held = append(held, id)
			}
		}
	}
	return held
}
