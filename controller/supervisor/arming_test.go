package supervisor

import (
	"strings"
	"testing"
	"time"

	"mainstay/controller/boottime"
	"mainstay/controller/platform"
	"mainstay/health"
)

func TestWatchdogRefusesALease(t *testing.T) { // L2
	now := boottime.Now()
	armed := &health.Watchdog{Mode: platform.WatchdogRequired, Armed: true, Timeout: 3 * time.Second}
	for name, tc := range map[string]struct {
		w     *health.Watchdog
		end   time.Duration
		fresh bool
		want  string
	}{
		"off":                 {nil, time.Second, true, ""},
		"automatic, and none": {&health.Watchdog{Mode: platform.WatchdogAutomatic, Missing: "x"}, time.Second, true, ""},
		"required, and none": {&health.Watchdog{Mode: platform.WatchdogRequired, Missing: "x"}, 5 * time.Second, false,
			"requires a watchdog, and none is armed: x"},
		"armed":                      {armed, 5 * time.Second, true, ""},
		"just pinged for longer":     {armed, 3*time.Second - platform.GuardKill - 1, true, "too soon"},
		"just long enough":           {armed, 3*time.Second - platform.GuardKill, true, ""},
		"short, for guards so bound": {armed, time.Second, false, ""},
	} {
		if err := watchdogRefuses(tc.w, now, now+tc.end, tc.fresh); (err == nil) != (tc.want == "") || err != nil &&
			!strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: got %v", name, err)
		}
	}
}
