package main

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"mainstay/test/testbed"
)

// failure tells the person who ran the demo in one paragraph what was waited for, what was seen instead, where the logs lie,
// and the next command.
func failure(err error, work string) string {
	what := err.Error()
	if taken := (*testbed.TakenError)(nil); errors.As(err, &taken) {
		return fmt.Sprintf("demo: %s is taken by %s, and the demo needs it: %d subnets of 127.77.0.0/16 were tried.\n"+
			"Nothing was started, and nothing is left. Next: end that process (Ctrl-C ends another demo), or have it listen on its own address\n"+
			"instead of all, then run deploy/demo again.", taken.Address, taken.By(), taken.Tried)
	}
	if unmet := (*testbed.UnmetError)(nil); errors.As(err, &unmet) {
		where, _, _ := strings.Cut(what, ": "+unmet.Error())
		seen := "nothing of it was seen"
		if unmet.Seen != "" {
			seen = "the last that was seen: " + unmet.Seen
		}
		what = fmt.Sprintf("%s: it waited %s for %s; %s", where, unmet.Waited.Round(time.Second), unmet.What, seen)
	}
	return fmt.Sprintf(`demo: %s.
The logs are kept in %[2]s/platform/log, PostgreSQL's in
%[2]s/platform/agent-*/members/*/postgresql.log. Next: tail -n 20 %[2]s/platform/log/*.log
(on a busy machine the demo may be too slow; afterwards, rm -rf %[2]s).`, strings.TrimSuffix(what, "."), work)
}
