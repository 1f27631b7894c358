package wire

import (
	"strings"
	"time"

	"mainstay/controller/platform"
	"mainstay/fencing"
	"mainstay/health"
)

// What health.Guard.Missing begins with where an agent misses one of the layers that Protection names.
const (
	MissingKernelEnd = "its end by the kernel when all guards die"
	MissingKeeper    = "the keeper that ends PostgreSQL with the guards"
	MissingService   = "a service manager"
)

// Protection says what ends a member that must no longer act as primary, and how strongly (L2).
type Protection struct {
	// Known: its agent has reported; nothing else is said of the guard before.
	Known bool `json:"known"`
	// Guard names the layers that hold now: "both" guards, the "kernel end (keeper)" that ends PostgreSQL with them, the
	// "service manager" that sweeps where all were killed at once.
	Guard []string `json:"guard"`
	// Missing is what the guards lack, with the reason.
	Missing []string `json:"missing,omitempty"`
	// Fence are the fence devices of its host; null where who answers cannot know them, as an agent.
	Fence []string `json:"fence"`
	// Watchdog is what the hardware watchdog of its host covers; "" where who answers cannot know.
	Watchdog string `json:"watchdog,omitempty"`
}

// GuardOf takes a protection's guard from an agent's report of the member, nil before the first.
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
	for _, layer := range []struct{ name, missing, also string }{
		{"kernel end (keeper)", MissingKernelEnd, MissingKeeper}, {"service manager", MissingService, MissingService},
	} {
		if !p.misses(layer.missing) && !p.misses(layer.also) {
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

// On adds what protects the whole host, as the platform file says.
func (p Protection) On(h *platform.Host, devices []string) Protection {
	p.Fence = devices
	switch {
	case p.Watchdog != "": // its agent told
	case h == nil || h.Watchdog == platform.WatchdogOff:
		p.Watchdog = "off"
	default:
		p.Watchdog = "none: nothing was heard of it yet (" + string(h.Watchdog) + " in the platform file)"
	}
	return p
}

// String is one line: guard, fence devices, watchdog. What is missing stands apart.
func (p Protection) String() string {
	guard := "none"
	switch {
	case !p.Known:
		guard = "not known, its agent has told nothing of it"
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

// MemberProtection is a member's, for explain.
type MemberProtection struct {
	Member string `json:"member"`
	Protection
}

// ProofView says whether one kind of proof that the primary is fenced could be had now.
type ProofView struct {
	Kind     fencing.Kind `json:"kind"`
	Possible bool         `json:"possible"`
	// Why is what it would rest on, or why it cannot be had and what would change that.
	Why string `json:"why"`
	// About is how long it would take; 0 where nobody can say, or it is not possible.
	About time.Duration `json:"about,omitempty"`
}
