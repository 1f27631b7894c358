package platform

import (
	"maps"
	"slices"
	"strings"
)

// Programs are the paths of the programs that this platform's controllers run, sorted, each once: checks, hooks, fence devices,
// and programs that a fence agent is told to use. Each controller runs only those that its own file allows.
func (p *Platform) Programs() []string {
	var all []string
	for i := range p.Apps {
		all = append(all, first(p.Apps[i].Check.Exec)...)
	}
	for _, h := range p.Hooks {
		all = append(all, first(h.Exec)...)
	}
	for _, h := range p.Hosts {
		for _, d := range h.Fence {
			all = append(all, d.Programs()...)
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

func first(words []string) []string { return words[:min(1, len(words))] }

// Programs are those of one device. Fence agents themselves are packages that root has installed, and need no permission.
func (d FenceDevice) Programs() (all []string) {
	if d.Exec != "" {
		all = append(all, d.Exec)
	}
	for _, k := range slices.Sorted(maps.Keys(d.Parameters)) {
		if FenceProgram(k) {
			all = append(all, d.Parameters[k])
		}
	}
	return all
}

// FenceProgram tells whether a parameter of a fence agent names a program that it runs, such as ipmitool_path or passwd_script.
func FenceProgram(parameter string) bool {
	switch name := strings.ReplaceAll(parameter, "-", "_"); name {
	case "api_path", "store_path": // part of a URL, a folder
		return false
	case "exec":
		return true
	default:
		return strings.HasSuffix(name, "_path") || strings.HasSuffix(name, "_script")
	}
}
