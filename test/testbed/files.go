package testbed

import (
	"fmt"
	"net"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strings"

	"mainstay/controller/identity"
)

// certificates makes the platform's CA and one certificate for everybody.
func (s *Testbed) certificates() error {
	pki := s.path("pki")
	if err := identity.InitCA(pki, "social"); err != nil {
		return err
	}
	issue := func(role, name string, addresses ...string) error {
		_, err := identity.Issue(pki, pki, identity.Request{Role: role, Name: name, Addresses: addresses})
		return err
	}
	for _, h := range s.Hosts {
		var err error
		if h.Controller != "" {
			err = issue(identity.RoleController, h.Controller, h.Address)
		} else if err = issue(identity.RoleAgent, h.Name, h.Address); err == nil {
			err = issue(identity.RolePostgres, h.Name, h.Address)
		}
		if err != nil {
			return err
		}
	}
	for role, name := range map[string]string{identity.RoleOperator: "alice", identity.RoleViewer: "victor"} {
		if err := issue(role, name); err != nil {
			return err
		}
	}
	return nil
}

// Identify makes the testbed ask as operator alice, whose certificate is in Dir/pki.
func (s *Testbed) Identify() (err error) {
	s.store, err = identity.Load(identity.Files{CA: s.path("pki", "ca.crt"), Cert: s.path("pki", "operator-alice.crt"),
		Key: s.path("pki", "operator-alice.key")})
	return err
}

// Vault is the folder of all agents for backups.
func (s *Testbed) Vault() string { return s.path("vault") }

// vault makes that folder, and names it in the files.
func (s *Testbed) vault() error {
	if s.Backup == "" {
		return nil
	}
	s.AgentLines = append(slices.Clip(s.AgentLines), "backup: {targets: {vault: {directory: "+s.Vault()+"}}}")
	s.Settings = append(slices.Clip(s.Settings), "backup: {targets: [vault], "+s.Backup+"}")
	return os.Mkdir(s.Vault(), 0o700)
}

// files writes the local files of controllers and agents, and the platform file.
func (s *Testbed) files() error {
	if err := os.MkdirAll(s.path("etc"), 0o755); err != nil {
		return err
	}
	for _, h := range s.Hosts {
		name, text := "agent-"+h.Name, s.agentFile(h)
		data := s.path("agent-" + h.Name)
		if h.Controller != "" {
			name, text, data = "controller-"+h.Controller, s.controllerFile(h), s.path("controller-"+h.Controller)
		}
		if err := os.MkdirAll(data, 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(s.path("etc", name+".yaml"), []byte(text), 0o644); err != nil {
			return err
		}
	}
	return os.WriteFile(s.path("etc", "platform.yaml"), []byte(s.PlatformFile()), 0o644)
}

func (s *Testbed) controllerFile(h Host) string {
	lines := s.ControllerLines
	if len(s.Hooks) > 0 {
		var paths []string
		for _, name := range s.Hooks {
			paths = append(paths, s.path("etc", name))
		}
		lines = append(slices.Clone(lines), "programs: ["+strings.Join(paths, ", ")+"]")
	}
	return fmt.Sprintf(`name: %s
site: %s
listen: %s
data: %s
metrics: %s
tls: {ca: ../pki/ca.crt, cert: ../pki/controller-%s.crt, key: ../pki/controller-%s.key}
log: {level: info}
`, h.Controller, h.Site, net.JoinHostPort(h.Address, controllerPort), s.path("controller-"+h.Controller), net.JoinHostPort(h.Address, controllerMetrics), h.Controller, h.Controller) + strings.Join(append(lines, ""), "\n")
}

func (s *Testbed) agentFile(h Host) string {
	var quoted []string
	for _, a := range s.ControllerAddresses() {
		quoted = append(quoted, `"`+a+`"`)
	}
	binaries := ""
	if s.Binaries != "" {
		binaries = "  binaries: " + s.Binaries + "\n"
	}
	if s.Parameters != "" {
		binaries += "  parameters: " + s.Parameters + "\n"
	}
	text := fmt.Sprintf(`host: %s
controllers: [%s]
listen: %s
health: %s
data: %s
tls: {ca: ../pki/ca.crt, cert: ../pki/agent-%s.crt, key: ../pki/agent-%s.key}
postgres:
  user: %s
  tls: {ca: ../pki/ca.crt, cert: ../pki/postgres-%s.crt, key: ../pki/postgres-%s.key}
%slog: {level: info}
`, h.Name, strings.Join(quoted, ", "), net.JoinHostPort(h.Address, AgentPort), net.JoinHostPort(h.Address, agentHealth), s.path("agent-"+h.Name), h.Name, h.Name, Owner(), h.Name, h.Name, binaries)
	if own := s.Own[h.Member].Agent; own != "" {
		text += "members:\n  " + h.Member + ": " + own + "\n"
	}
	return text + s.instanceOf(h) + strings.Join(append(s.AgentLines, ""), "\n")
}

// Owner is the user that PostgreSQL runs as: the packages' user for root, otherwise the user who runs the testbed.
func Owner() string {
	if os.Geteuid() == 0 {
		return packagedUser
	}
	u, err := user.Current()
	if err != nil {
		return packagedUser
	}
	return u.Username
}

// Rewrite writes the local files and the platform file anew, after a change of Own.
func (s *Testbed) Rewrite() error { return s.files() }

// PlatformFile is the testbed's platform as an operator would write it.
func (s *Testbed) PlatformFile() string {
	var b strings.Builder
	b.WriteString("platform: social\nsites:\n  - {name: east}\n  - {name: west}\n  - {name: north, witness: true}\nhosts:\n")
	for _, h := range s.Hosts {
		if h.Controller != "" || h.App != "" && !s.serve {
			continue
		}
		entry := fmt.Sprintf("name: %s, site: %s, address: %s", h.Name, h.Site, h.Address)
		if s.HostSetting != "" {
			entry += ", " + s.HostSetting
		}
		fmt.Fprintf(&b, "  - {%s}\n", entry)
	}
	if s.Platform != "" {
		b.WriteString(s.Platform)
		return b.String()
	}
	b.WriteString("clusters:\n  - name: feed\n    tier: critical\n    members:\n")
	for i, h := range s.Of(false) {
		more := ""
		if line := s.MemberLines[h.Member]; line != "" {
			more = ", " + line
		}
		fmt.Fprintf(&b, "      - {name: %s, host: %s, priority: %d%s}\n", h.Member, h.Name, 100-10*i, more)
	}
	for _, line := range s.Settings {
		b.WriteString("    " + line + "\n")
	}
	b.WriteString(s.appEntry())
	return b.String()
}

// Data is a member's data directory; Socket the folder of its socket.
func (s *Testbed) Data(member string) string {
	if own := s.Own[member].Data; own != "" {
		return own
	}
	return filepath.Join(s.path("agent-"+s.Host(member).Name), "members", member, "data")
}

// Socket is the folder of a member's unix socket.
func (s *Testbed) Socket(member string) string {
	if own := s.Own[member].Socket; own != "" {
		return own
	}
	return filepath.Join(s.path("agent-"+s.Host(member).Name), "run", member)
}
