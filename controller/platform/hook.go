package platform

import "time"

// Hook is an operator's program or webhook that a site switchover runs before or after one of its steps. The leader runs it;
// a new leader may run it again, so it must be idempotent.
type Hook struct {
	Step string `json:"step"` // one of Steps
	When string `json:"when"` // HookBefore or HookAfter
	// Exec is a program on the controllers, with its words; Webhook a URL that gets a POST. One of them is set.
	Exec    []string      `json:"exec,omitempty"`
	Webhook string        `json:"webhook,omitempty"`
	Timeout time.Duration `json:"timeout"` // 1s to MaxHookTimeout, default DefaultHookTimeout
	// OnFailure is HookStop (the default: the site switchover halts) or HookGoOn.
	OnFailure HookFailure `json:"onFailure"`
}

// The values of a hook's settings.
const (
	HookBefore = "before"
	HookAfter  = "after"
)

// How long a hook may take: MaxHookTimeout at most.
const (
	DefaultHookTimeout = 30 * time.Second
	MaxHookTimeout     = 10 * time.Minute
)

// The steps of a site switchover, in their order.
const (
	StepCheck    = "check"    // everything is checked; if a check fails, the site switchover ends here
	StepQuiesce  = "quiesce"  // apps are drained and stopped, or asked to refuse writes
	StepClusters = "clusters" // one after the other
	StepApps     = "apps"     // the pools start on the new site
	StepRouting  = "routing"  // only hooks run; Mainstay has already changed the routing
	StepVerify   = "verify"   // a real write and read through each app
)

// Steps are those at which hooks may run.
func Steps() []string {
	return []string{StepQuiesce, StepClusters, StepApps, StepRouting, StepVerify}
}

// HooksAt returns the numbers of the hooks at one moment of a step.
func (p *Platform) HooksAt(step, when string) (numbers []int) {
	for i := range p.Hooks {
		if p.Hooks[i].Step == step && p.Hooks[i].When == when {
			numbers = append(numbers, i)
		}
	}
	return numbers
}

// Permit is how long an app server that runs with its primary may run without hearing from a leader: five heartbeats. If no
// leader answers, the primary asks for promises after three, and the app server's agent learns of them from the primary's.
func Permit(lease time.Duration) time.Duration { return 5 * Heartbeat(lease) }
