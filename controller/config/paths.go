package config

import "path/filepath"

// MemberDir is the agent's folder for a member: its settings, its server's log, its quarantine.
func (a Agent) MemberDir(member string) string { return filepath.Join(a.Data, "members", member) }

// DataDir is a member's data directory, from the file or the default.
func (a Agent) DataDir(member string) string {
	if own := a.Members[member].Data; own != "" {
		return own
	}
	return filepath.Join(a.MemberDir(member), "data")
}

// GuardDir is the folder in which a member's guards listen.
func (a Agent) GuardDir(member string) string { return filepath.Join(a.Data, "run", member+".guard") }
