package wire

import (
	"slices"
	"strings"
	"time"

	"mainstay/controller/platform"
	"mainstay/fencing"
	"mainstay/health"
)

// Beginnings of health.Guard.Missing, one for each layer of Protection that an agent may lack.
const (
	MissingKernelEnd = "its end by the kernel when all guards die"
	MissingLauncher  = "the launcher that ends PostgreSQL with the guards"
	MissingService   = "a service manager"

	formerMissingLauncher = "the keeper that ends PostgreSQL with the guards" // the text of MissingLauncher in guards of an earlier build
)

// Protection lists the layers that stop a member which must no longer act as primary (L2).
type Protection struct {
	// Known: its agent has reported. Before that, the guard's fields are empty.
	Known bool `json:"known"`
	// Guard names the layers in force: "both" guards, the "kernel end (launcher)" that ends PostgreSQL with them, the "service manager"
	// that sweeps if all were killed at once.
	Guard []string `json:"guard"`
	// Missing lists the missing layers, with the reasons.
	Missing []string `json:"missing,omitempty"`
	// Fence are the fence devices of its host; null from an agent, which does not know them.
	Fence []string `json:"fence"`
	// Watchdog says what the hardware watchdog of its host covers; "" where the answering process does not know.
	Watchdog string `json:"watchdog,omitempty"`
}

// GuardOf makes the guard's part of a protection from an agent's report of the member; seen is nil before the first report.
func GuardOf(seen *health.Member) Protection {
	p := Protection{Guard: []string{}}
	if seen == nil {
		return p
	}
	p.Known, p.Missing = true, seen.Guard.Missing
	if seen.Guard.Watchdog != nil {
		p.Watchdog = seen.Guard.Watchdog.String()
	}
	if !seen.Guard.Complete {
		return p
	}
	p.Guard = append(p.Guard, "both")
	for _, layer := range []struct {
		name    string
		missing []string
	}{
		{"kernel end (launcher)", []string{MissingKernelEnd, MissingLauncher, formerMissingLauncher}},
		{"service manager", []string{MissingService}},
	} {
		if !slices.ContainsFunc(layer.missing, p.misses) {
			p.Guard = append(p.Guard, layer.name)
		}
	}
	return p
}

func (p Protection) misses(what string) bool {
	for _, m := range p.Missing {
		if strings.HasPrefix(m, what) {
			return true
		}
	}
	return false
}

// On adds the protection of the whole host, from the platform file.
func (p Protection) On(h *platform.Host, devices []string) Protection {
	p.Fence = devices
	switch {
	case p.Watchdog != "": // from its agent
	case h == nil || h.Watchdog == platform.WatchdogOff:
		p.Watchdog = "off"
	default:
		p.Watchdog = "none: its agent has not reported it (" + string(h.Watchdog) + " in the platform file)"
	}
	return p
}

// String is one line: guard, fence devices, watchdog. It does not include Missing.
func (p Protection) String() string {
	guard := "none"
	switch {
	case !p.Known:
		guard = "not known, its agent has not reported it"
	case len(p.Guard) > 0:
		guard = strings.Join(p.Guard, ", ")
	case len(p.Missing) > 0:
		guard = "incomplete"
	}
	parts := []string{"guard: " + guard}
	if p.Fence != nil {
		fence := "none"
		if len(p.Fence) > 0 {
			fence = strings.Join(p.Fence, ", ")
		}
		parts = append(parts, "fence: "+fence)
	}
	if p.Watchdog != "" {
		parts = append(parts, "watchdog: "+p.Watchdog)
	}
	return strings.Join(parts, "; ")
}

// MemberProtection is the protection of one member, for explain.
type MemberProtection struct {
	Member string `json:"member"`
	Protection
}

// ProofView says whether one kind of proof could show now that the primary is fenced.
type ProofView struct {
	Kind     fencing.Kind `json:"kind"`
	Possible bool         `json:"possible"`
	// Why names the evidence for the proof; or the reason why it is not possible, and what would change that.
	Why string `json:"why"`
	// About is how long it would take; 0 where that is not known, or it is not possible.
	About time.Duration `json:"about,omitempty"`
}
