package wire

import (
	"testing"
	"time"

	"mainstay/controller/platform"
	"mainstay/health"
)

func TestProtection(t *testing.T) { // L2
	seen := func(complete bool, missing ...string) *health.Member {
		return &health.Member{Guard: health.Guard{Complete: complete, Missing: missing}}
	}
	under := func(w health.Watchdog) *health.Member {
		return &health.Member{Guard: health.Guard{Complete: true, Watchdog: &w}}
	}
	for want, p := range map[string]Protection{
		"guard: not known, its agent has not reported it": GuardOf(nil),
		"guard: none": GuardOf(seen(false)),
		"guard: both, kernel end (launcher), service manager": GuardOf(seen(true)),
		"guard: incomplete":            GuardOf(seen(false, "no answer")),
		"guard: both, service manager": GuardOf(seen(true, MissingKernelEnd+", until X")),
		"guard: both, service manager; fence: none; watchdog: off": GuardOf(seen(true, MissingLauncher+": it ended")).On(nil,
			[]string{}),
		"guard: both, kernel end (launcher)":                                          GuardOf(seen(true, MissingService+": none")),
		"guard: not known, its agent has not reported it; fence: none; watchdog: off": GuardOf(nil).On(nil, []string{}),
		"guard: none; fence: a (level 1), b (level 2); watchdog: off": GuardOf(seen(false)).On(&platform.Host{},
			[]string{"a (level 1)", "b (level 2)"}),
		"guard: none; fence: none; watchdog: none: its agent has not reported it (required in the platform file)": GuardOf(seen(false)).On(
			&platform.Host{Watchdog: platform.WatchdogRequired}, []string{}),
		"guard: both, kernel end (launcher), service manager; fence: none; watchdog: armed (iTCO_wdt, 3s)": GuardOf(under(
			health.Watchdog{Armed: true, Identity: "iTCO_wdt", Timeout: 3 * time.Second})).On(&platform.Host{Watchdog: platform.WatchdogAutomatic},
			[]string{}),
		"guard: both, kernel end (launcher), service manager; watchdog: armed (x, 1s), but slow, it reset the host before this boot": GuardOf(
			under(
				health.Watchdog{Armed: true, Identity: "x", Timeout: time.Second, Missing: "slow", WasReset: true})),
		"guard: both, kernel end (launcher), service manager; fence: none; watchdog: none: there is none": GuardOf(under(
			health.Watchdog{Mode: "automatic", Missing: "there is none"})).On(&platform.Host{Watchdog: platform.WatchdogAutomatic}, []string{}),
		"guard: both, service manager; fence: b (level 1); watchdog: off": GuardOf(seen(true, formerMissingLauncher+": it ended")).On(nil,
			[]string{"b (level 1)"}),
	} {
		if got := p.String(); got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	}
}
