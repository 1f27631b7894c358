package testbed

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// ErrNoBMC is returned where the packages are missing that a simulated BMC and its fence agent need.
var ErrNoBMC = errors.New("ipmi_sim, ipmitool or fence_ipmilan is missing: install the packages " + strings.Join(BMCPackages, ", "))

// BMCPackages of Debian are what a BMC and its fence agent need.
var BMCPackages = []string{"fence-agents", "ipmitool", "openipmi"}

// User and password that every simulated BMC takes.
const (
	bmcUser     = "mainstay"
	bmcPassword = "f3nce-me-n0t"
)

// BMC is a simulated board management controller: ipmi_sim on a UDP port, which switches a test host's power by the
// functions it was made with. Close it before what they use.
type BMC struct {
	Address string // of its UDP port, host and port apart
	Port    int

	dir      string
	off, on  func() error
	cmd      *exec.Cmd
	done     chan struct{} // closed when ipmi_sim has ended
	ask, say *os.File      // the pipes of the control script: it asks, we say that it is done
	wg       sync.WaitGroup

	mu    sync.Mutex
	power bool
	errs  []error
}

// NewBMC starts a BMC in a folder of its own, with the power on, at an address of this machine. off and on do what power
// does to the host; the BMC answers once they have returned.
func NewBMC(ctx context.Context, dir, address string, off, on func() error) (_ *BMC, err error) {
	for _, program := range []string{"ipmi_sim", "ipmitool", "fence_ipmilan"} {
		if _, err := exec.LookPath(program); err != nil {
			return nil, ErrNoBMC
		}
	}
	b := &BMC{Address: address, dir: dir, off: off, on: on, power: true, done: make(chan struct{})}
	if b.Port, err = freeUDP(address); err != nil {
		return nil, err
	}
	if err := b.files(); err != nil {
		return nil, err
	}
	if err := b.open(); err != nil {
		return nil, err
	}
	b.wg.Go(b.serve)
	if err := b.start(); err != nil {
		close(b.done)
		return nil, errors.Join(err, b.Close())
	}
	if err := b.wait(ctx); err != nil {
		return nil, errors.Join(err, b.Close())
	}
	return b, nil
}

func freeUDP(address string) (int, error) {
	c, err := net.ListenPacket("udp", net.JoinHostPort(address, "0"))
	if err != nil {
		return 0, err
	}
	defer c.Close()
	return c.LocalAddr().(*net.UDPAddr).Port, nil
}

func (b *BMC) path(name string) string { return filepath.Join(b.dir, name) }

// files writes what ipmi_sim reads. It calls the script with `get power` or `set power 0`, and believes `power:1`.
func (b *BMC) files() error {
	lan := fmt.Sprintf(`name "bmc"
set_working_mc 0x20
startlan 1
  addr %s %d
  priv_limit admin
  allowed_auths_admin none md2 md5 straight
  guid a123456789abcdefa123456789abcdef
endlan
chassis_control "%s"
user 1 true "" "" user 10 none md2 md5 straight
user 2 true %q %q admin 10 none md2 md5 straight
`, b.Address, b.Port, b.path("control"), bmcUser, bmcPassword)
	control := fmt.Sprintf(`#!/bin/sh
cd %s || exit 1
case "$1 $2" in
"get power") read p <power; echo "power:$p" ;;
"set power") echo "$3" >ask; read done <say ;;
esac
`, b.dir)
	emu := "mc_setbmc 0x20\nmc_add 0x20 0 no-device-sdrs 0x23 9 8 0x9f 0x1291 0xf02\nmc_enable 0x20\n"
	if err := os.MkdirAll(b.path("state"), 0o755); err != nil {
		return err
	}
	return errors.Join(
		os.WriteFile(b.path("lan.conf"), []byte(lan), 0o644),
		os.WriteFile(b.path("bmc.emu"), []byte(emu), 0o644),
		os.WriteFile(b.path("control"), []byte(control), 0o755),
		os.WriteFile(b.path("password"), []byte(bmcPassword+"\n"), 0o600),
		os.WriteFile(b.path("power"), []byte("1\n"), 0o644),
		syscall.Mkfifo(b.path("ask"), 0o600),
		syscall.Mkfifo(b.path("say"), 0o600),
	)
}

// open takes both ends of the pipes, so that neither we nor the script wait for the other to come.
func (b *BMC) open() (err error) {
	if b.ask, err = os.OpenFile(b.path("ask"), os.O_RDWR, 0); err == nil {
		b.say, err = os.OpenFile(b.path("say"), os.O_RDWR, 0)
	}
	return err
}

func (b *BMC) start() error {
	log, err := os.Create(b.path("log"))
	if err != nil {
		return err
	}
	defer log.Close()
	b.cmd = exec.Command("ipmi_sim", "-n", "-c", b.path("lan.conf"), "-f", b.path("bmc.emu"), "-s", b.path("state"))
	b.cmd.Stdout, b.cmd.Stderr, b.cmd.Dir = log, log, b.dir
	b.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if err := b.cmd.Start(); err != nil {
		return err
	}
	go func() {
		_ = b.cmd.Wait()
		close(b.done)
	}()
	return nil
}

// wait asks for the status until the BMC answers.
func (b *BMC) wait(ctx context.Context) error {
	for {
		cmd := exec.CommandContext(ctx, "ipmitool", "-I", "lanplus", "-H", b.Address, "-p", strconv.Itoa(b.Port),
			"-U", bmcUser, "-f", b.path("password"), "-C", "3", "-N", "1", "-R", "1", "chassis", "power", "status")
		out, err := cmd.CombinedOutput()
		if err == nil && bytes.Contains(out, []byte("Power is on")) {
			return nil
		}
		log, _ := os.ReadFile(b.path("log"))
		select {
		case <-b.done:
			return fmt.Errorf("ipmi_sim ended: %s", log)
		case <-ctx.Done():
			return fmt.Errorf("the BMC does not answer: %w: %s\n%s", err, out, log)
		case <-time.After(300 * time.Millisecond):
		}
	}
}

// serve switches the power as the script asks, until Close.
func (b *BMC) serve() {
	for lines := bufio.NewScanner(b.ask); lines.Scan(); {
		b.Switch(lines.Text() == "1")
		if _, err := b.say.WriteString("done\n"); err != nil {
			return
		}
	}
}

// Switch does what the power button does; a power that is as wanted already changes nothing.
func (b *BMC) Switch(on bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if on == b.power {
		return
	}
	word, act := "0\n", b.off
	if on {
		word, act = "1\n", b.on
	}
	if act != nil {
		b.note(act())
	}
	b.note(os.WriteFile(b.path("power"), []byte(word), 0o644))
	b.power = on
}

func (b *BMC) note(err error) {
	if err != nil {
		b.errs = append(b.errs, err)
	}
}

// Powered tells whether the host has power, and what went wrong when it was switched.
func (b *BMC) Powered() (bool, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.power, errors.Join(b.errs...)
}

// Secret is the file with the BMC's password.
func (b *BMC) Secret() string { return b.path("password") }

// Parameters of fence_ipmilan for this BMC. Its simulator knows no newer cipher than 3.
func (b *BMC) Parameters() map[string]string {
	return map[string]string{"ip": b.Address, "ipport": strconv.Itoa(b.Port), "username": bmcUser, "lanplus": "1", "cipher": "3"}
}

// Fence is the BMC as an entry of a host's `fence:` list in a platform file.
func (b *BMC) Fence() string {
	return fmt.Sprintf(
		`{agent: fence_ipmilan, parameters: {ip: %q, ipport: "%d", username: %s, lanplus: "1", cipher: "3"}, secrets: {password: %q}, timeout: 20s}`,
		b.Address, b.Port, bmcUser, b.Secret())
}

// Close ends the BMC; the host's power stays as it is. It is safe to call twice.
func (b *BMC) Close() error {
	if b.cmd != nil && b.cmd.Process != nil {
		_ = syscall.Kill(-b.cmd.Process.Pid, syscall.SIGKILL)
	}
	<-b.done
	b.ask.Close()
	b.say.Close()
	b.wg.Wait()
	return nil
}

// PowerOff ends every process of a host at once, as a cut of its power does, and does not return before all have ended.
func (s *Testbed) PowerOff(host string) error {
	h := s.Host(host)
	for deadline := time.Now().Add(endLimit); ; time.Sleep(20 * time.Millisecond) {
		left := s.Everything(h)
		if len(left) == 0 {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("processes %v of %s do not end", left, host)
		}
		if err := Signal(syscall.SIGKILL, left...); err != nil {
			return err
		}
	}
}

// BMC gives a host of the testbed one that cuts its power for real, and starts its agent when the power comes back.
func (s *Testbed) BMC(ctx context.Context, host, address string) (*BMC, error) {
	return NewBMC(ctx, s.path("bmc-"+host), address,
		func() error { return s.PowerOff(host) },
		func() error { return s.StartAgent(host) })
}
