package main

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"mainstay/test/stand"
)

// failure tells the person who ran the demo in one paragraph what was waited for, what was seen instead, where the logs lie,
// and the next command.
func failure(err error, work string) string {
	what := err.Error()
	if unmet := (*stand.UnmetError)(nil); errors.As(err, &unmet) {
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
