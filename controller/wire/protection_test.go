package wire

import (
	"testing"

	"mainstay/controller/platform"
	"mainstay/health"
)

func TestProtection(t *testing.T) { // L2
	seen := func(complete bool, missing ...string) *health.Member {
		return &health.Member{Guard: health.Guard{Complete: complete, Missing: missing}}
	}
	for want, p := range map[string]Protection{
		"guard: not known, its agent was never heard": GuardOf(nil),
		"guard: none": GuardOf(seen(false)),
		"guard: both, kernel end (keeper), service manager": GuardOf(seen(true)),
		"guard: incomplete":                                                        GuardOf(seen(false, "no answer")),
		"guard: both, service manager":                                             GuardOf(seen(true, MissingKernelEnd+", until X")),
		"guard: both, service manager; fence: none; watchdog: none":                GuardOf(seen(true, MissingKeeper+": it ended")).On(nil, []string{}),
		"guard: both, kernel end (keeper)":                                         GuardOf(seen(true, MissingService+": nobody")),
		"guard: not known, its agent was never heard; fence: none; watchdog: none": GuardOf(nil).On(nil, []string{}),
		"guard: none; fence: a (level 1), b (level 2); watchdog: none":             GuardOf(seen(false)).On(&platform.Host{}, []string{"a (level 1)", "b (level 2)"}),
		"guard: none; fence: none; watchdog: none (required in the platform file, but this build uses none)": GuardOf(seen(false)).On(
			&platform.Host{Watchdog: platform.WatchdogRequired}, []string{}),
	} {
		if got := p.String(); got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	}
}
