package backup

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"

	"mainstay/controller/pgdial"
	"mainstay/controller/platform"
	"mainstay/controller/postgres"
	"mainstay/controller/postgres/ondisk"
	"mainstay/fencing/process"
)

// scratch is an isolated PostgreSQL on a copy. It is thrown away, or stopped cleanly; it never archives, streams or listens on a network.
type scratch struct {
	tree
	control   ondisk.Control // before the start
	superuser string
	programs  postgres.Binaries
	owner     postgres.Owner
	conf      string // folder of its configuration, which PostgreSQL's user only reads
	dir       string // of its socket
	writable  []string
	nice      int
	isolation isolation
	process   *os.Process
	log       *serverOutput
	done      chan struct{} // closed when its first process has ended
	err       error         // how; set before done is closed
	readers   sync.WaitGroup
}

// scratchPort is in the name of its socket only.
const scratchPort = 5432

// replay is how far a scratch instance recovers. The zero value replays what is in the copy's pg_wal.
type replay struct {
	archive  bool // ask for files by the pipes
	until    Until
	timeline platform.Timeline
}

// settings are the whole configuration: the copy's own files are not read, and what is said on the command line wins over all files.
// What recovery demands to be as large as it was comes from the control file. Nothing is synced: a crash of the host costs the run anyway.
func (s *scratch) settings(r replay) map[string]string {
	c := &s.control
	set := map[string]string{
		"hba_file": filepath.Join(s.conf, hbaFile), "ident_file": filepath.Join(s.conf, identFile), "external_pid_file": "",
		"listen_addresses": "", "port": strconv.Itoa(scratchPort), "unix_socket_directories": s.dir, "unix_socket_permissions": "0700",
		"ssl": "off", "fsync": "off", "full_page_writes": "off", "synchronous_commit": "off", "synchronous_standby_names": "",
		"archive_mode": "off", "archive_command": "", "restore_command": "", "archive_cleanup_command": "", "recovery_end_command": "",
		"primary_conninfo": "", "primary_slot_name": "", "hot_standby": "off", "max_logical_replication_workers": "0",
		"shared_preload_libraries": "", "session_preload_libraries": "", "local_preload_libraries": "", "autovacuum": "off",
		"logging_collector": "off", "log_destination": "stderr", "log_line_prefix": "%e ", "log_min_messages": "log", "lc_messages": "C",
		"log_statement": "none", "log_min_error_statement": "panic", "log_error_verbosity": "default", "log_timezone": "UTC",
		"dynamic_shared_memory_type": "mmap", "huge_pages": "off", "shared_buffers": "64MB", "restart_after_crash": "off", "jit": "off",
		"max_wal_size": "8GB", "checkpoint_timeout": "1h", "checkpoint_completion_target": "0", "wal_keep_size": "0",
		"max_connections": strconv.Itoa(c.MaxConnections), "max_worker_processes": strconv.Itoa(c.MaxWorkers),
		"max_wal_senders": strconv.Itoa(c.MaxWALSenders), "max_prepared_transactions": strconv.Itoa(c.MaxPrepared),
		"max_locks_per_transaction": strconv.Itoa(c.MaxLocks), "wal_level": c.WALLevel, "track_commit_timestamp": onOff(c.CommitTimestamps),
		"wal_log_hints": onOff(c.WALLogHints),
	}
	if s.programs.Major >= 15 {
		set["log_startup_progress_interval"] = "1s"
	}
	if s.programs.Major >= 17 {
		set["event_triggers"], set["summarize_wal"] = "off", "off"
	}
	if !r.archive {
		return set
	}
	set["restore_command"] = restoreCommand
	set["recovery_target_timeline"] = strconv.FormatUint(uint64(r.timeline), 10)
	set["recovery_target_action"] = "promote"
	switch {
	case r.until.LSN == 0:
		set["recovery_target"] = "immediate"
	case !r.until.End:
		set["recovery_target_lsn"], set["recovery_target_inclusive"] = r.until.LSN.String(), "off"
	}
	return set
}

func onOff(b bool) string {
	if b {
		return "on"
	}
	return "off"
}

// Files of a scratch instance, in the run's folder.
const (
	confFile  = "scratch.conf" // empty: see settings
	hbaFile   = "hba"
	identFile = "ident"
)

// hbaText lets all local users in: only PostgreSQL's user and root may enter the folder of the socket.
const hbaText = "local all all trust\n"

// Files of a data directory that would change how the instance starts.
const (
	autoConf      = "postgresql.auto.conf"
	autoConfAside = "postgresql.auto.conf.mainstay" // while the scratch instance runs
)

var signalFiles = []string{"recovery.signal", "standby.signal"}

// prepare makes a copy ready to start: nothing of it leads out, no file of it decides about the start, and no signal but ours is there.
func (s *scratch) prepare(r replay) error {
	root, err := os.OpenRoot(s.data)
	if err != nil {
		return err
	}
	defer root.Close()
	if err := s.contained(root); err != nil {
		return err
	}
	raw, err := root.ReadFile("global/pg_control")
	if err != nil {
		return err
	}
	if s.control, err = ondisk.ParseControl(raw); err != nil {
		return &finding{CheckRecovery, fmt.Sprintf("global/pg_control: %v", err)}
	}
	for _, name := range append(signalFiles, "postmaster.pid", "postmaster.opts") {
		if err := root.Remove(name); err != nil && !os.IsNotExist(err) {
			return err
		}
	}
	if err := root.Rename(autoConf, autoConfAside); err != nil && !os.IsNotExist(err) {
		return err
	}
	if r.archive {
		if err := writeIn(root, signalFiles[0], nil, s.owner); err != nil {
			return err
		}
	}
	for name, text := range map[string]string{confFile: "", hbaFile: hbaText, identFile: ""} {
		if err := os.WriteFile(filepath.Join(s.conf, name), []byte(text), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// contained refuses a copy with a link that leads elsewhere: the instance would write there.
func (s *scratch) contained(root *os.Root) error {
	for _, dir := range []string{".", spaceFolder} {
		f, err := root.Open(dir)
		if err != nil {
			return err
		}
		entries, err := f.ReadDir(-1)
		if err = errors.Join(err, f.Close()); err != nil {
			return err
		}
		for _, e := range entries {
			name := filepath.Join(dir, e.Name())
			if e.Type()&os.ModeSymlink == 0 {
				continue
			}
			if to, err := root.Readlink(name); err != nil || s.spaces[oidOf(name)] != to {
				return fmt.Errorf("%s is a link to %q, which leaves the scratch instance: it is not started (%v)", name, to, err)
			}
		}
	}
	return nil
}

// start starts the instance and returns at once. The thread that is its parent lives as long as it does.
func (s *scratch) start(r replay, pipes string) error {
	in, out, err := os.Pipe()
	if err != nil {
		return err
	}
	s.log, s.done = newServerOutput(), make(chan struct{})
	args := []string{"-D", s.data, "-c", "config_file=" + filepath.Join(s.conf, confFile)}
	for name, value := range s.settings(r) {
		args = append(args, "-c", name+"="+value)
	}
	env := []string{"LC_ALL=C", "TZ=UTC", "PATH=/usr/local/bin:/usr/bin:/bin", "HOME=/", "MAINSTAY_WAL=" + pipes}
	began := make(chan error, 1)
	s.readers.Go(func() { s.live(r, args, env, out, began) })
	s.readers.Go(func() {
		s.log.read(in)
		_ = in.Close()
	})
	return <-began
}

// live is the instance's parent: it starts it, and waits for its end.
func (s *scratch) live(r replay, args, env []string, out *os.File, began chan error) {
	yield(s.nice) // the thread's files and network are the instance's, so it must end with it
	s.isolation = isolate(s.writable)
	var cmd *exec.Cmd
	err := s.contain(r)
	if err == nil {
		cmd, err = s.begin(args, env, out)
	}
	_ = out.Close()
	if err == nil {
		s.process = cmd.Process
	}
	began <- err
	if err == nil {
		s.err = cmd.Wait()
	}
	close(s.done)
}

// contain refuses to replay WAL of an archive where nothing keeps the instance from writing elsewhere. A copy's own WAL creates no
// tablespace: see making.take.
func (s *scratch) contain(r replay) error {
	if s.isolation.files || !r.archive {
		return nil
	}
	return fmt.Errorf("WAL of an archive is not replayed here, because it may name folders of this host (tablespaces), and the kernel does "+
		"not confine the instance: run the agent as root, or use Linux 5.13 or newer with Landlock (%s)", s.isolation)
}

func (s *scratch) begin(args, env []string, out *os.File) (*exec.Cmd, error) {
	for {
		cmd := exec.Command(filepath.Join(s.programs.Dir, "postgres"), args...)
		cmd.Dir, cmd.Env, cmd.Stdout, cmd.Stderr = "/", env, out, out
		cmd.SysProcAttr = s.isolation.attributes(s.owner.Credential())
		err := cmd.Start()
		if err == nil || !s.isolation.without(err) {
			return cmd, err
		}
	}
}

// local is how to connect.
func (s *scratch) local(user, database string) pgdial.Config {
	return pgdial.Config{SocketDir: s.dir, Port: scratchPort, User: user, Database: database, Application: "mainstay-check",
		OSUser: &pgdial.OSUser{UID: s.owner.UID, GID: s.owner.GID}, Runtime: pgdial.Sessions(s.programs.Major, user == s.superuser)}
}

// recovered waits until the instance has recovered and takes writes.
func (s *scratch) recovered(ctx context.Context, w *watch, from platform.LSN) error {
	lines := s.log.lines.Load()
	tick := time.NewTicker(reportEvery)
	defer tick.Stop()
	for {
		select {
		case <-s.log.ready:
			return nil
		case <-s.done:
			return s.fault()
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C: // what it says is all that shows that it works
			if n := s.log.lines.Load(); n != lines {
				lines = n
				w.touch()
			}
			if at := platform.LSN(s.log.at.Load()); at > from {
				w.done.Store(int64(at - from))
			}
		}
	}
}

// environmental are the beginnings of SQLSTATEs that say nothing about the data: resources, an operator, rights, the configuration.
var environmental = []string{"53", "57", "42", "F0", "55"}

// spaceNamed is a tablespace in a message.
var spaceNamed = regexp.MustCompile(`"(` + spaceFolder + `/\d+)/`)

// spaceMade is what the replay of CREATE TABLESPACE says where it may not use the folder, or where there is none: all paths of a copy are
// relative.
var spaceMade = regexp.MustCompile(`could not (set permissions on|create) directory "/|directory "/[^"]*" does not exist`)

// fault is why the instance has ended, as a *finding where it speaks of the data.
func (s *scratch) fault() error {
	late := time.NewTimer(killBound)
	defer late.Stop()
	select {
	case <-s.log.over: // its last child has closed it
	case <-late.C:
	}
	fatal := s.log.why()
	if fatal == "" {
		return fmt.Errorf("the scratch instance ended: %w; it said: %s", s.err, s.log.last())
	}
	state, text, _ := strings.Cut(fatal, " ")
	m := spaceNamed.FindStringSubmatch(text)
	if m != nil && s.spaces[oidOf(m[1])] == "" || spaceMade.MatchString(text) {
		return fmt.Errorf("the WAL creates a tablespace, in a folder of this host that the scratch instance must not use; restore to a position "+
			"before it, or from a backup that began after the next checkpoint of its member: %s", text)
	}
	for _, prefix := range environmental {
		if strings.HasPrefix(state, prefix) {
			return fmt.Errorf("the scratch instance ended: %s", text)
		}
	}
	if strings.Contains(text, `could not access file "`) { // a library of a preload or of a resource manager
		return fmt.Errorf("the scratch instance does not start without a library that is left out here: %s", text)
	}
	return &finding{CheckRecovery, "the scratch instance cannot recover: " + text}
}

// stop ends the instance cleanly.
func (s *scratch) stop(ctx context.Context) error {
	if err := s.process.Signal(os.Interrupt); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	select {
	case <-s.done:
	case <-ctx.Done():
		return ctx.Err()
	}
	if s.err != nil {
		return s.fault()
	}
	return nil
}

// killBound is how long processes that were killed may take to be gone.
const killBound = 10 * time.Second

// kill ends whatever is left of the instance, and waits for its goroutines.
func (s *scratch) kill() error {
	_ = s.process.Kill() // it may have ended
	late := time.NewTimer(killBound)
	defer late.Stop()
	select {
	case <-s.done:
	case <-late.C:
		return fmt.Errorf("the scratch instance, process %d, was killed and does not end: %w", s.process.Pid, ErrHung)
	}
	if !s.isolation.tree { // its children see that it is gone only when they look
		t, err := process.NewTree(s.data, nil)
		if err == nil {
			err = t.Kill(killBound)
		}
		if err != nil {
			return err
		}
	}
	s.readers.Wait()
	return nil
}
