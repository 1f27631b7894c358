package guard

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"syscall"
	"time"

	"mainstay/controller/boottime"

	"golang.org/x/sys/unix"
)

// maxLaunch bounds a request to the launcher; each is one packet.
const maxLaunch = 64 << 10

// launch asks a launcher to start one program. Its files accompany it: the output, then the cgroup if there is one.
type launch struct {
	Path   string        `json:"path"`
	Args   []string      `json:"args"`
	Env    []string      `json:"env"`
	Dir    string        `json:"dir"`
	User   *user         `json:"user,omitempty"` // nil: the launcher's own
	Cgroup bool          `json:"cgroup,omitempty"`
	Until  time.Duration `json:"until"` // reading of CLOCK_BOOTTIME; the program is not started later
}

type user struct {
	UID    uint32   `json:"uid"`
	GID    uint32   `json:"gid"`
	Groups []uint32 `json:"groups,omitempty"`
}

// launched is the launcher's answer; a second one, with Ended, follows on the same connection.
type launched struct {
	PID   int    `json:"pid,omitempty"`
	Error string `json:"error,omitempty"`
	Ended string `json:"ended,omitempty"` // how the program ended: ok, or exec's error
}

const endedWell = "ok"

// launcher is the parent of the member's postmaster and of no other program. It is a child of guard A and dies with it, as the postmaster
// dies with the launcher: by PDEATHSIG, which the kernel sends when the thread that created the child ends.
//
// It is not a guard: it was forked before guard A hardened itself and keeps the agent's OOM score, limits and umask, and the ordinary
// priority, so that PostgreSQL inherits these. Signals are caught, not ignored: PostgreSQL would inherit an ignored signal.
type launcher struct {
	ln     *net.UnixListener
	orders chan order
}

// order is one launch for the launcher's own thread.
type order struct {
	launch
	files  []*os.File
	answer chan started
}

type started struct {
	cmd *exec.Cmd
	err error
}

// keep runs a launcher. It returns only if it cannot begin.
func keep() int {
	runtime.LockOSThread() // permanently: the children die with this thread
	signal.Notify(make(chan os.Signal, 1), unix.SIGTERM, unix.SIGINT, unix.SIGHUP, unix.SIGQUIT, unix.SIGPIPE, unix.SIGUSR1, unix.SIGUSR2,
		unix.SIGALRM, unix.SIGTSTP, unix.SIGTTIN, unix.SIGTTOU)
	k, err := openLauncher()
	if err != nil {
		json.NewEncoder(os.Stdout).Encode(Hello{Error: err.Error()})
		return 1
	}
	go k.accept() // runs as long as the process
	json.NewEncoder(os.Stdout).Encode(Hello{PID: os.Getpid()})
	if err := Detach(); err != nil {
		return 1
	}
	for o := range k.orders {
		cmd, err := o.start()
		o.answer <- started{cmd, err}
	}
	return 0
}

func openLauncher() (*launcher, error) {
	cfg, err := readConfig(os.Stdin)
	if err != nil {
		return nil, err
	}
	os.WriteFile("/proc/self/comm", []byte("lease-launcher"), 0)
	path := launcherPath(cfg.Dir)
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("replace the launcher's socket: %w", err)
	}
	ln, err := net.ListenUnix("unixpacket", &net.UnixAddr{Name: path, Net: "unixpacket"})
	if err != nil {
		return nil, fmt.Errorf("listen on the launcher's socket: %w", err)
	}
	return &launcher{ln: ln, orders: make(chan order)}, nil
}

func launcherPath(dir string) string { return filepath.Join(dir, "keeper.sock") }

func (k *launcher) accept() {
	for {
		conn, err := k.ln.AcceptUnix()
		if err != nil {
			time.Sleep(10 * time.Millisecond) // out of descriptors
			continue
		}
		if peer, err := PeerOf(conn); err != nil || !Trusted(peer) {
			conn.Close()
			continue
		}
		go k.serve(conn) // it ends with its program, or at once if none runs
	}
}

// serve does one launch, and sends how the program ended if the agent still listens.
func (k *launcher) serve(conn *net.UnixConn) {
	defer conn.Close()
	o, err := receive(conn)
	if err != nil {
		WriteLine(conn, launched{Error: err.Error()}, time.Second)
		return
	}
	k.orders <- o
	s := <-o.answer
	for _, f := range o.files {
		f.Close()
	}
	if s.err != nil {
		WriteLine(conn, launched{Error: s.err.Error()}, time.Second)
		return
	}
	WriteLine(conn, launched{PID: s.cmd.Process.Pid}, time.Second)
	ended := launched{PID: s.cmd.Process.Pid, Ended: endedWell}
	if err := s.cmd.Wait(); err != nil {
		ended.Ended = err.Error()
	}
	WriteLine(conn, ended, time.Second)
}

// receive reads one request and its files.
func receive(conn *net.UnixConn) (order, error) {
	o := order{answer: make(chan started, 1)}
	if err := conn.SetReadDeadline(time.Now().Add(time.Second)); err != nil {
		return o, err
	}
	b, oob := make([]byte, maxLaunch), make([]byte, unix.CmsgSpace(2*4))
	n, oobn, flags, _, err := conn.ReadMsgUnix(b, oob)
	if err == nil && flags&(unix.MSG_TRUNC|unix.MSG_CTRUNC) != 0 {
		err = errors.New("the request is too long")
	}
	if err == nil {
		o.files, err = filesOf(oob[:oobn])
	}
	if err == nil {
		err = json.Unmarshal(b[:n], &o.launch)
	}
	want := 1
	if o.Cgroup {
		want = 2
	}
	if err == nil && len(o.files) != want {
		err = fmt.Errorf("the request has %d files, want %d", len(o.files), want)
	}
	if err != nil {
		for _, f := range o.files {
			f.Close()
		}
		return o, fmt.Errorf("read the request: %w", err)
	}
	return o, nil
}

func filesOf(oob []byte) (files []*os.File, err error) {
	messages, err := unix.ParseSocketControlMessage(oob)
	for _, m := range messages {
		fds, parseErr := unix.ParseUnixRights(&m)
		err = errors.Join(err, parseErr)
		for _, fd := range fds {
			unix.CloseOnExec(fd)
			files = append(files, os.NewFile(uintptr(fd), "launch"))
		}
	}
	return files, err
}

// start runs on the launcher's own thread. It may hang in a frozen filesystem, and the launcher with it, but no guard.
func (o order) start() (*exec.Cmd, error) {
	if boottime.Now() > o.Until {
		return nil, errors.New("the request came too late")
	}
	cmd := &exec.Cmd{Path: o.Path, Args: o.Args, Env: o.Env, Dir: o.Dir, Stdout: o.files[0], Stderr: o.files[0]}
	// The kernel resets the signal when the uid changes; Go sets it afterwards.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Pdeathsig: syscall.SIGKILL}
	if o.User != nil {
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: o.User.UID, Gid: o.User.GID, Groups: o.User.Groups}
	}
	if o.Cgroup {
		cmd.SysProcAttr.UseCgroupFD, cmd.SysProcAttr.CgroupFD = true, int(o.files[1].Fd())
	}
	return cmd, cmd.Start()
}
