package postgres

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// StartOptions say how to start. CgroupFD is an open cgroup v2 directory the postmaster is born into; 0 or less: none.
type StartOptions struct {
	AsPrimary bool
	CgroupFD  int
	// Raise gives a standby as much of its primary's settings as it needs to start and to replay, where its own configuration has
	// less; that costs a program for each of them.
	Raise bool
	// Launch starts the postmaster as another process's child, and returns its pid and a wait for its end; nil: as ours.
	Launch func(context.Context, *exec.Cmd) (pid int, wait func() error, err error)
	// overrides are settings given on the command line, which win over every file.
	overrides []pair
	leftover  int // the pid in postmaster.pid that is surely no postmaster of this data; 0 for none
}

// Process is a postmaster we started. The goroutine that waits for it ends with it.
type Process struct {
	PID    int
	origin origin        // how things stood before it
	done   chan struct{} // closed when the process has ended
	err    error         // how it ended; set before done is closed
}

// Done is closed when the postmaster has ended. Its children may still be ending.
func (p *Process) Done() <-chan struct{} { return p.done }

// Err tells, after Done, how it ended; nil is exit status 0.
func (p *Process) Err() error { return p.err }

// Start spawns the postmaster and returns at once; the caller watches. As a standby, standby.signal is put in place
// first; as a primary, it is taken away just before, put back if the spawn fails, and must be put back with
// RestoreStandbySignal once the server is writable (S4: only an agent with a lease calls this).
func (i *Server) Start(ctx context.Context, o StartOptions) (p *Process, err error) {
	defer i.wrap("start", &err)
	o.leftover = i.leftover() // read before it is looked into: a server that begins meanwhile has another
	if err := errors.Join(ctx.Err(), i.stopped()); err != nil {
		return nil, err
	}
	if err := i.undoRewind(); err != nil { // it puts files back that a start needs
		return nil, err
	}
	if err := i.startable(); err != nil {
		return nil, err
	}
	if err := i.takeOver(); err != nil {
		return nil, err
	}
	if !o.AsPrimary {
		if err := errors.Join(i.restoreSignal(), i.wal().dropReserved()); err != nil {
			return nil, err
		}
		if o.Raise {
			up, err := i.raised(ctx)
			if err != nil {
				return nil, err
			}
			o.overrides = append(up, o.overrides...)
		}
		return i.spawn(ctx, o)
	}
	if err := i.removeSignals(); err != nil {
		return nil, errors.Join(err, i.restoreSignal())
	}
	if p, err = i.spawn(ctx, o); err != nil {
		return nil, errors.Join(err, i.restoreSignal())
	}
	return p, nil
}

func (i *Server) startable() error {
	if exists(i.rewindMark()) {
		return ErrRewindUnfinished
	}
	major, err := dataMajor(i.Data)
	if err != nil {
		return err
	}
	if major != i.Binaries.Major {
		return &VersionError{i.Data, major, i.Binaries.Major}
	}
	if !exists(i.mainFile()) {
		return fmt.Errorf("%s is missing; write the settings first", i.mainFile())
	}
	for _, path := range []string{i.userConfig(), i.hbaFile()} {
		if !exists(path) {
			return fmt.Errorf("%s is missing: it is this host's own configuration; put it there, and check that it fits this host", path)
		}
	}
	return i.Owner.makeDir(i.Socket, 0o755)
}

// oomOfBackends lets each backend give up the postmaster's place before the OOM killer, as PostgreSQL's documentation advises
// where the postmaster is protected: one that takes all memory must end, not the agent or the host's other programs.
const oomOfBackends = "PG_OOM_ADJUST_FILE=/proc/self/oom_score_adj"

// leftover is the pid in postmaster.pid, which a crash may have left. After a boot it may be any process of the same user, another
// member's for one, and PostgreSQL would refuse to start for as long as that lives; told that it is its grandparent's it passes that over.
// It still checks whether a process uses the data's shared memory.
func (i *Server) leftover() int {
	raw, _ := i.lockFile() // none, as after a clean stop, is as good
	first, _, _ := strings.Cut(string(raw), "\n")
	pid, _ := strconv.Atoi(strings.TrimSpace(first))
	return pid
}

func (i *Server) spawn(ctx context.Context, o StartOptions) (*Process, error) {
	log, err := i.Owner.appendTo(i.Log)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	args := []string{"-D", i.Data, "-c", "config_file=" + i.mainFile()}
	for _, p := range o.overrides {
		args = append(args, "-c", p.key+"="+p.value)
	}
	cmd := exec.Command(filepath.Join(i.Binaries.Dir, "postgres"), args...)
	cmd.Dir, cmd.Env, cmd.Stdout, cmd.Stderr = "/", append(i.Owner.environment(), oomOfBackends,
		fmt.Sprintf("PG_GRANDPARENT_PID=%d", o.leftover)), log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Credential: i.Owner.Credential()}
	if o.CgroupFD > 0 {
		cmd.SysProcAttr.UseCgroupFD, cmd.SysProcAttr.CgroupFD = true, o.CgroupFD
	}
	launch := o.Launch
	if launch == nil {
		launch = ownChild
	}
	before := i.origin()
	pid, wait, err := launch(ctx, cmd)
	if err != nil {
		return nil, err
	}
	p := &Process{PID: pid, origin: before, done: make(chan struct{})}
	go func() {
		p.err = wait()
		close(p.done)
	}()
	return p, nil
}

func ownChild(_ context.Context, cmd *exec.Cmd) (int, func() error, error) {
	if err := cmd.Start(); err != nil {
		return 0, nil, err
	}
	return cmd.Process.Pid, cmd.Wait, nil
}

// RestoreStandbySignal puts standby.signal back, durably: from then on, every start of PostgreSQL on this data is that of a
// standby (S4). Called once a primary is writable; calling it again is fine.
func (i *Server) RestoreStandbySignal(ctx context.Context) (err error) {
	defer i.wrap("put standby.signal back on", &err)
	if err := ctx.Err(); err != nil {
		return err
	}
	return i.restoreSignal()
}

// restoreSignal writes even where the file is there: it may not be durable yet.
func (i *Server) restoreSignal() error {
	return i.Owner.writeFile(filepath.Join(i.Data, standbySignal), nil, fileMode(i.Data))
}

func (i *Server) removeSignals() error {
	return errors.Join(i.Owner.removeFile(filepath.Join(i.Data, "recovery.signal")), i.Owner.removeFile(filepath.Join(i.Data, standbySignal)))
}
