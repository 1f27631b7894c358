package testbed

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// clonedName of the process, of its folder and of its file. A testbed has one clone.
const clonedName = "clone"

// StartClone copies a host while it runs, as a virtual machine is copied: the agent's identity and state, and the member's
// data as of one instant (its disk is frozen meanwhile, so it needs one of its own). It starts the copy's agent on a spare
// host of the network, in a boot of its own, and returns the folder of its PostgreSQL's socket. The copy has the
// original's address as well, where no other host can reach it: its PostgreSQL could start.
func (s *Testbed) StartClone(host, spare string) (socket string, err error) {
	h, dir := s.Host(host), s.path(clonedName)
	if err := s.copyFrozen(h, dir); err != nil {
		return "", err
	}
	s.mu.Lock()
	s.others = append(s.others, dataOf{h.Member, filepath.Join(dir, "data")})
	s.mu.Unlock()
	text := strings.NewReplacer(s.path("agent-"+h.Name), dir, s.Own[h.Member].Data, filepath.Join(dir, "data"),
		h.Address, s.Network.Address(spare)).Replace(s.agentFile(h))
	file := s.path("etc", clonedName+".yaml")
	// It must not answer for that address to anybody else, or half of the network would find the copy.
	addressed := "echo 1 >/proc/sys/net/ipv4/conf/all/arp_ignore && echo 2 >/proc/sys/net/ipv4/conf/all/arp_announce && ip addr replace " +
		h.Address + "/32 dev lo"
	err = errors.Join(os.WriteFile(file, []byte(text), 0o644), s.Network.Command(spare, "sh", "-c", addressed).Run())
	if err != nil {
		return "", err
	}
	return filepath.Join(dir, "run", h.Member), s.runInBoot(spare, clonedName, 1, file)
}

// AgentDir is the folder of a host's agent, its members' data among it.
func (s *Testbed) AgentDir(host string) string { return s.path("agent-" + host) }

// BootAgent starts the agent of a host, on which nothing of Mainstay runs, as in another boot of that host, 2 to 9. Only for root.
func (s *Testbed) BootAgent(host string, boot int) error {
	s.mu.Lock()
	s.agent = time.Now()
	s.mu.Unlock()
	return s.runInBoot(host, "agent "+host, boot, s.path("etc", "agent-"+host+".yaml"))
}

// runInBoot runs an agent that finds another boot ID.
func (s *Testbed) runInBoot(host, name string, boot int, file string) error {
	id := s.path("etc", fmt.Sprintf("boot-%d", boot))
	if err := os.WriteFile(id, fmt.Appendf(nil, "11111111-2222-3333-4444-55555555555%d\n", boot), 0o644); err != nil {
		return err
	}
	_, err := s.Run(host, name, "unshare", "--mount", "sh", "-c",
		`mount --bind "$0" /proc/sys/kernel/random/boot_id && exec "$@"`, id, s.bin, "agent", "-f", file)
	return err
}

// EndClone removes what a clone left, once its processes have ended.
func (s *Testbed) EndClone() error { return os.RemoveAll(s.path(clonedName)) }

// copyFrozen copies the agent's folder and the data. The lock of the original's postmaster names a process that another
// machine would not have.
func (s *Testbed) copyFrozen(h Host, dir string) (err error) {
	if s.disks.mounts[h.Member] == "" {
		return fmt.Errorf("%s has no disk of its own (Options.Disks), so it cannot be copied at one instant", h.Member)
	}
	if err := system("cp", "-a", s.path("agent-"+h.Name), dir); err != nil {
		return err
	}
	if err := s.Freeze(h.Member); err != nil {
		return err
	}
	err = system("cp", "-a", s.Data(h.Member), filepath.Join(dir, "data"))
	return errors.Join(err, s.Thaw(h.Member), os.Remove(filepath.Join(dir, "data", "postmaster.pid")))
}
