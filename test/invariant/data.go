package invariant

import (
	"strings"
	"time"
)

// Sound checks S5 for a member that is promoted: nothing is known against its data ("" for corrupt), and all of it comes
// from the primary it follows; diverged is how many records do not.
func (c *Checker) Sound(at time.Duration, member, corrupt string, diverged int) {
	if corrupt != "" {
		c.fail("S5", at, "%s was promoted although its data is corrupt: %s", member, corrupt)
	}
	if diverged > 0 {
		c.fail("S5", at, "%s was promoted with %d records that its predecessor never had", member, diverged)
	}
}

// Rejoined checks S9 when the history says that a member streams again: note must contain what, the discarded WAL ("" for
// none).
func (c *Checker) Rejoined(at time.Duration, member, what, note string) {
	if !strings.Contains(note, what) {
		c.fail("S9", at, "%s discarded %s and streams again, but the history says %q", member, what, note)
	}
}

// Unattended checks S6: while there is no controller, a healthy primary continues. why says what it does instead.
func (c *Checker) Unattended(at time.Duration, why string) {
	if why != "" {
		c.fail("S6", at, "without controllers %s", why)
	}
}

// Replayed is called when a replica replays further than to where it was frozen, by so many records, though nobody has released it, and no
// operator has chosen it to be promoted: these may carry damage over.
func (c *Checker) Replayed(at time.Duration, member string, records int) {
	c.fail("freeze", at, "%s is frozen and has replayed %d records since", member, records)
}

// Mended checks what the history says of a page that was mended (S5): why says what is wrong with it all the same, "" for nothing.
func (c *Checker) Mended(at time.Duration, member, why string) {
	if why != "" {
		c.fail("S5", at, "a page of %s is said to be mended, and %s", member, why)
	}
}

// PromotedFrozen checks that an operator has chosen a frozen member that is promoted.
func (c *Checker) PromotedFrozen(at time.Duration, member string, chosen bool) {
	if !chosen {
		c.fail("freeze", at, "%s was promoted although its replay is frozen, and no operator has chosen it", member)
	}
}
