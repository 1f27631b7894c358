// Package testbed builds a whole platform of real processes on one machine: controllers, agents, PostgreSQL, on addresses
// of their own. The demo, the end-to-end tests and the benchmarks use it.
//
// Every process of a testbed runs from, or on files in, the testbed's own folder, which is how Close finds and ends those
// that outlive their parents on purpose (guards, PostgreSQL), and nothing else.
package testbed

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"sort"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"mainstay/controller/identity"
	"mainstay/controller/wire"
)

// Host is one machine of the testbed.
type Host struct {
	Name, Site, Address string
	Member              string // of cluster feed; "" for a host without PostgreSQL
	Controller          string // "" for a host of an agent
	App                 string // the app server on it; "" for a host of another kind
}

// Options say what to build.
type Options struct {
	Dir      string // made if it does not exist; removed by Close unless Keep
	Keep     bool
	Binary   string // the mainstay program; it is copied into Dir
	Binaries string // folder of PostgreSQL's programs, which the agents' files name; "" for the newest in the usual places
	Platform string // body of the platform file below `hosts:`, "" for the default cluster feed
	Subnet   int    // 1 to 254: addresses are 127.77.N.x; 0 picks a free one
	Log      io.Writer
	// Network places hosts in namespaces; nil for loopback.
	Network Network
	// Settings go into the cluster's entry of the default platform: lease, durability, ... as YAML lines.
	Settings []string
	// Members is how many members cluster feed has: 2, 3 (default), or 4, which are two on each site.
	Members int
	// MemberLines are more of a member's entry in the platform file, such as "may-ack: false", by name.
	MemberLines map[string]string
	// Apps are app servers on hosts of their own; nil for none.
	Apps *Apps
	// Own are members whose PostgreSQL the user has, by name.
	Own map[string]Own
	// Disks are members and controllers whose data lies on a filesystem of its own, with its size in MB. Only for root.
	Disks map[string]int
	// Together puts the controllers on the hosts of the members.
	Together bool
	// ControllerLines go to the end of each controller's local file.
	ControllerLines []string
	// Hooks are scripts in etc that the controllers' files allow; the test that names them writes them.
	Hooks []string
	// Parameters are start values of the members that Mainstay initialises, as YAML: {archive_mode: "on"}.
	Parameters string
	// AgentLines go to the end of each agent's local file, HostSetting to the end of each member host's entry in the platform
	// file, such as "watchdog: automatic".
	AgentLines  []string
	HostSetting string
	// Backup has the agents keep backups of feed in Vault: it is the rest of the cluster's backup section, such as "every: 24h". "" is for
	// none.
	Backup string
	// ByHand leaves certificates and files to the caller, who makes them in Dir/pki and Dir/etc and then calls Identify.
	ByHand bool
}

// Own is where the PostgreSQL of a member lies that the user made, and what the agent's file says of it.
type Own struct {
	Data, Socket string // "" for Mainstay's own folders
	Agent        string // the member's entry in the agent's file, such as {adopt: true}
}

// Network is where the hosts live, if not on loopback.
type Network interface {
	// Address of a host, and the command that runs another one on it.
	Address(host string) string
	Command(host string, name string, args ...string) *exec.Cmd
}

// Testbed is a running platform.
type Testbed struct {
	Options
	Hosts []Host
	bin   string
	store *identity.Store
	disks disks
	serve bool // the platform file has the app servers

	mu     sync.Mutex
	procs  map[string]*Proc // by name: controller c1, agent db-e1, ...
	over   bool             // Close has begun
	agent  time.Time        // when one was started last
	client *wire.Client     // of kept; nil before it is needed
	others []dataOf         // of clones
}

// Proc is one process that the testbed started.
type Proc struct {
	cmd   *exec.Cmd
	done  chan struct{} // closed when it has ended
	meant atomic.Bool   // its end was asked for
}

// PID of the process.
func (p *Proc) PID() int { return p.cmd.Process.Pid }

// Done is closed when it has ended.
func (p *Proc) Done() <-chan struct{} { return p.done }

const packagedUser = "postgres" // of the distribution's packages

// New builds the folders, certificates and files of a testbed. Nothing runs yet.
func New(o Options) (*Testbed, error) {
	if o.Members == 0 {
		o.Members = 3
	}
	if o.Log == nil {
		o.Log = io.Discard
	}
	if o.Own == nil {
		o.Own = map[string]Own{}
	}
	s := &Testbed{Options: o, procs: map[string]*Proc{}}
	if o.Subnet == 0 && o.Network == nil {
		if err := s.freeSubnet(subnets); err != nil {
			return nil, err
		}
	} else {
		s.layout()
	}
	if err := os.MkdirAll(filepath.Join(o.Dir, "bin"), 0o755); err != nil {
		return nil, err
	}
	if err := os.Chmod(o.Dir, 0o755); err != nil { // PostgreSQL's user must get through
		return nil, err
	}
	s.bin = filepath.Join(o.Dir, "bin", "mainstay")
	if err := copyProgram(o.Binary, s.bin); err != nil {
		return nil, err
	}
	if o.Apps != nil {
		if err := copyProgram(o.Apps.Server, s.path("bin", "feedserver")); err != nil {
			return nil, err
		}
	}
	if err := s.vault(); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	if err := s.makeDisks(); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	if o.ByHand {
		return s, nil
	}
	return s, errors.Join(s.certificates(), s.Identify(), s.files())
}

func (s *Testbed) layout() {
	add := func(name, site string, last int, member, controller string) {
		s.add(Host{Name: name, Site: site, Member: member, Controller: controller}, last)
	}
	add("db-e1", "east", 11, "feed-e1", "")
	add("db-e2", "east", 12, "feed-e2", "")
	if s.Members > 2 {
		add("db-w1", "west", 21, "feed-w1", "")
	}
	if s.Members > 3 {
		add("db-w2", "west", 22, "feed-w2", "")
	}
	s.appHosts()
	if s.Together {
		add("db-e1", "east", 11, "", "c1")
		add("db-e2", "east", 12, "", "c2")
		add("db-w1", "west", 21, "", "c3")
		return
	}
	add("ctl-e", "east", 31, "", "c1")
	add("ctl-w", "west", 32, "", "c2")
	add("ctl-n", "north", 33, "", "c3")
}

// add gives a host its address, whose last number on loopback is last.
func (s *Testbed) add(h Host, last int) {
	h.Address = fmt.Sprintf("127.77.%d.%d", s.Subnet, last)
	if s.Network != nil {
		h.Address = s.Network.Address(h.Name)
	}
	s.Hosts = append(s.Hosts, h)
}

func copyProgram(from, to string) error {
	b, err := os.ReadFile(from)
	if err != nil {
		return fmt.Errorf("a program of the testbed: %w; build it first", err)
	}
	return os.WriteFile(to, b, 0o755)
}

func (s *Testbed) path(parts ...string) string {
	return filepath.Join(append([]string{s.Dir}, parts...)...)
}

// Host finds a host by its name, or by the name of the member, controller or app server on it.
func (s *Testbed) Host(name string) Host {
	for _, h := range s.Hosts {
		if name != "" && (h.Name == name || h.Member == name || h.Controller == name || h.App == name) {
			return h
		}
	}
	return Host{}
}

// Of returns the member hosts, or the controllers' hosts.
func (s *Testbed) Of(controllers bool) []Host {
	var out []Host
	for _, h := range s.Hosts {
		if h.App == "" && (h.Controller != "") == controllers {
			out = append(out, h)
		}
	}
	return out
}

// ControllerAddresses is the value for --controllers.
func (s *Testbed) ControllerAddresses() []string {
	var out []string
	for _, h := range s.Of(true) {
		out = append(out, net.JoinHostPort(h.Address, controllerPort))
	}
	return out
}

// Run starts a program on a host of the testbed; its output goes to log/NAME.log.
func (s *Testbed) Run(host, name, program string, args ...string) (*Proc, error) {
	cmd := exec.Command(program, args...)
	if s.Network != nil && host != "" {
		cmd = s.Network.Command(host, program, args...)
	}
	if err := os.MkdirAll(s.path("log"), 0o755); err != nil {
		return nil, err
	}
	log, err := os.OpenFile(s.path("log", strings.ReplaceAll(name, " ", "-")+".log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	cmd.Stdout, cmd.Stderr, cmd.Dir = log, log, s.Dir
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	p := &Proc{cmd: cmd, done: make(chan struct{})}
	s.mu.Lock()
	s.procs[name] = p
	s.mu.Unlock()
	go func() {
		_ = cmd.Wait()
		close(p.done)
		s.again(p, host, name, program, args)
	}()
	return p, nil
}

// again does what the service manager does (Restart=always, RestartSec=1s): a daemon that ended unasked, as a leader
// does whose barriers are not committed in time (L6), is started again.
func (s *Testbed) again(p *Proc, host, name, program string, args []string) {
	if p.meant.Load() || program != s.bin {
		return
	}
	time.Sleep(time.Second)
	s.mu.Lock()
	skip := s.over || s.procs[name] != p || p.meant.Load()
	s.mu.Unlock()
	if !skip {
		if _, err := s.Run(host, name, program, args...); err != nil {
			fmt.Fprintln(s.Log, "start again:", err)
		}
	}
}

// Proc returns a process by its name: "controller c1", "agent db-e1".
func (s *Testbed) Proc(name string) *Proc {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.procs[name]
}

// StartController and StartAgent (re)start a daemon on its host.
func (s *Testbed) StartController(name string) error {
	_, err := s.Run(s.Host(name).Name, "controller "+name, s.bin, "controller", "-f", s.path("etc", "controller-"+name+".yaml"))
	return err
}

// StartAgent starts the agent of a host.
func (s *Testbed) StartAgent(host string) error {
	s.mu.Lock()
	s.agent = time.Now()
	s.mu.Unlock()
	_, err := s.Run(host, "agent "+host, s.bin, "agent", "-f", s.path("etc", "agent-"+host+".yaml"))
	return err
}

// Kill ends a process of the testbed with a signal and, for SIGKILL and SIGTERM, waits for its end.
func (s *Testbed) Kill(name string, sig syscall.Signal) error {
	p := s.Proc(name)
	if p == nil {
		return fmt.Errorf("there is no process %s", name)
	}
	p.meant.Store(sig == syscall.SIGKILL || sig == syscall.SIGTERM)
	if err := syscall.Kill(p.PID(), sig); err != nil && !errors.Is(err, syscall.ESRCH) {
		return fmt.Errorf("kill %s: %w", name, err)
	}
	if sig != syscall.SIGKILL && sig != syscall.SIGTERM {
		return nil
	}
	select {
	case <-p.done:
		return nil
	case <-time.After(time.Minute):
		return fmt.Errorf("%s did not end after signal %d", name, sig)
	}
}

// Client is an operator's client of the controllers.
func (s *Testbed) Client() *wire.Client { return wire.NewClient(s.ControllerAddresses(), s.tls()) }

// ClientOf speaks to one controller alone, host:port.
func (s *Testbed) ClientOf(address string) *wire.Client {
	return wire.NewClient([]string{address}, s.tls())
}

// AgentPort is that of every agent.
const AgentPort = "7201"

// The other ports of controllers, agents and members.
const (
	controllerPort    = "7101"
	controllerMetrics = "9101"
	agentHealth       = "8008"
	memberPort        = "5432" // the default of a platform file
)

// ClientOfAgent speaks to the agent of a host.
func (s *Testbed) ClientOfAgent(h Host) *wire.Client {
	return wire.NewClient([]string{net.JoinHostPort(h.Address, AgentPort)}, s.store.ClientConfig(identity.RoleAgent, "", identity.ProtoHTTP))
}

func (s *Testbed) tls() *tls.Config {
	return s.store.ClientConfig(identity.RoleController, "", identity.ProtoHTTP)
}

// askLimit bounds one question to the controllers. It leaves time to find out that the connection to the first is dead.
const askLimit = 10 * time.Second

// kept is the client of the testbed's own questions: its connections stay open from one to the next, and Close ends them.
func (s *Testbed) kept() *wire.Client {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.client == nil {
		s.client = s.Client()
	}
	return s.client
}

func (s *Testbed) ask(ctx context.Context, address, path string, out any) error {
	ctx, cancel := context.WithTimeout(ctx, askLimit)
	defer cancel()
	return s.kept().DoAt(ctx, address, "GET", path, nil, out)
}

// CLI runs the operator's command as an operator would, who repeats it while no controller knows a leader.
func (s *Testbed) CLI(ctx context.Context, args ...string) (string, error) {
	for begun := time.Now(); ; {
		cmd := exec.CommandContext(ctx, s.bin, args...)
		cmd.Env = append(append(os.Environ(), s.Environment()...), "MAINSTAY_TIMEOUT=30s") // for one answer
		out, err := cmd.CombinedOutput()
		if err == nil || !strings.Contains(string(out), wire.ErrNoLeader.Error()) || time.Since(begun) > leaderlessLimit {
			return string(out), err
		}
		select {
		case <-ctx.Done():
			return string(out), err
		case <-time.After(time.Second):
		}
	}
}

// Environment lets a shell reach the testbed with the plain `mainstay` command.
func (s *Testbed) Environment() []string {
	return []string{
		"MAINSTAY_CONTROLLERS=" + strings.Join(s.ControllerAddresses(), ","),
		"XDG_CACHE_HOME=" + s.path("cache"), "MAINSTAY_ETC=" + s.path("etc"),
		"MAINSTAY_CA=" + s.path("pki", "ca.crt"), "MAINSTAY_CERT=" + s.path("pki", "operator-alice.crt"),
		"MAINSTAY_KEY=" + s.path("pki", "operator-alice.key"),
	}
}

// The pause between two looks of Wait, and how often it says what it waits for.
const (
	lookPause    = 100 * time.Millisecond
	longestPause = 2 * time.Second
	tellEvery    = 15 * time.Second
)

// UnmetError is returned when what was waited for did not come before the context ended.
type UnmetError struct {
	What   string // was waited for
	Waited time.Duration
	Seen   string // instead, at the last look
	Logs   string // the last lines of all logs
	Err    error  // the context's
}

func (u *UnmetError) Error() string {
	return fmt.Sprintf("waited %s for %s: %v; last: %s\n%s", u.Waited.Round(100*time.Millisecond), u.What, u.Err, u.Seen, u.Logs)
}

func (u *UnmetError) Unwrap() error { return u.Err }

// Wait looks until done, or fails with an UnmetError when ctx ends. Its pauses are twice as long as a look took, from 100 ms to 2 s:
// a look that starts a program must not load the machine whose change it waits for. It says in Log what takes long.
func (s *Testbed) Wait(ctx context.Context, what string, done func() (bool, string)) error {
	why, from, told := "", time.Now(), time.Now()
	for {
		begun := time.Now()
		ok, reason := done()
		if ok {
			return nil
		}
		if ctx.Err() == nil || why == "" { // else it tells of nothing but that the time is over
			why = reason
		}
		if s.Log != nil && time.Since(told) > tellEvery {
			told = time.Now()
			fmt.Fprintf(s.Log, "   waiting for %s (%s so far): %s\n", what, time.Since(from).Round(time.Second), firstLine(why))
		}
		select {
		case <-ctx.Done():
			return &UnmetError{What: what, Waited: time.Since(from), Seen: strings.TrimSpace(why), Logs: s.Logs(15), Err: ctx.Err()}
		case <-time.After(min(max(lookPause, 2*time.Since(begun)), longestPause)):
		}
	}
}

// firstLine is what a longer text begins with.
func firstLine(text string) string {
	const most = 160
	line, _, _ := strings.Cut(strings.TrimSpace(text), "\n")
	if len(line) > most {
		return strings.ToValidUTF8(line[:most], "") + " ..."
	}
	return line
}

// Alarms lists log lines of the testbed's programs that must never be there: data races and panics.
func (s *Testbed) Alarms() []string {
	files, _ := filepath.Glob(s.path("log", "*.log"))
	var found []string
	for _, f := range files {
		raw, _ := os.ReadFile(f)
		for i, line := range strings.Split(string(raw), "\n") {
			if strings.Contains(line, "DATA RACE") || strings.HasPrefix(line, "panic:") {
				rest := strings.Split(string(raw), "\n")[i:]
				found = append(found, filepath.Base(f)+": "+strings.Join(rest[:min(len(rest), 40)], "\n"))
			}
		}
	}
	return found
}

// Logs returns the last lines of every log of the testbed.
func (s *Testbed) Logs(lines int) string {
	files, _ := filepath.Glob(s.path("log", "*.log"))
	more, _ := filepath.Glob(s.path("agent-*", "members", "*", "postgresql.log"))
	files = append(files, more...)
	sort.Strings(files)
	var b strings.Builder
	for _, f := range files {
		raw, err := os.ReadFile(f)
		if err != nil {
			continue
		}
		all := strings.Split(strings.TrimSpace(string(raw)), "\n")
		fmt.Fprintf(&b, "--- %s\n%s\n", strings.TrimPrefix(f, s.Dir+"/"), strings.Join(all[max(0, len(all)-lines):], "\n"))
	}
	return b.String()
}
