package render

import (
	"fmt"
	"time"

	"mainstay/controller/platform"
	"mainstay/controller/wire"
	"mainstay/health"
)

// oldReport is the age from which a report is shown as old: three heartbeats of the default lease.
var oldReport = platform.Suspect(platform.DefaultLease)

// memberHead is the head of the table whose lines memberRow makes.
var memberHead = []string{"MEMBER", "SITE", "ROLE", "STATE", "TIMELINE", "LAG", "LEASE LEFT", "PROTECTION", "REPORT"}

// doingWidth is the width in the table for the agent's present task.
const doingWidth = 40

// memberRow is one member of the status screen, with its error or exclusion below it.
func memberRow(m wire.MemberStatus, paused bool) row {
	r := row{cells: []cell{{m.Name, bold}, {m.Site, plain}, role(m), condition(m), {timeline(m), plain}, {lag(m), plain},
		leaseLeft(m, paused), protection(m, paused), age(m)}}
	if m.Leaving {
		r.below = append(r.below, cell{"is being removed", yellow})
	}
	if m.Excluded != "" {
		r.below = append(r.below, cell{"never promoted: " + m.Excluded, yellow})
	}
	if text := waitsForPromise(m); text != "" {
		r.below = append(r.below, cell{text, yellow})
	}
	if m.Unmanaged != "" {
		r.below = append(r.below, cell{"its agent on " + m.Host + " cannot manage it: " + m.Unmanaged, red})
	}
	if m.Seen != nil && m.Seen.CatchUp != nil {
		r.below = append(r.below, cell{m.Seen.CatchUp.String(), yellow})
	}
	if m.Seen != nil && m.Seen.Error != "" {
		r.below = append(r.below, cell{"error: " + m.Seen.Error, red})
	}
	return r
}

// role is the member's role from its agent's report; the goal decides only where the report leaves it open.
func role(m wire.MemberStatus) cell {
	s := m.Seen
	switch {
	case s == nil:
		return cell{"unknown", yellow}
	case s.Data == health.DataForeign:
		return cell{"foreign data", red}
	case s.Data == health.DataEmpty && s.Process != health.ProcessRunning:
		return cell{"empty", plain}
	case s.Process == health.ProcessEnded:
		return cell{"stopped", styleIf(m.Goal != platform.GoalStopped, red)}
	case s.Process == health.ProcessEnding:
		return cell{"stopping", yellow}
	case s.Role == health.RolePrimary && m.Goal == platform.GoalPrimary:
		return cell{"primary", green}
	case s.Role == health.RolePrimary && m.Goal == platform.GoalObserve:
		return cell{"primary", yellow}
	case s.Role == health.RolePrimary:
		return cell{"primary, not wanted", red}
	case s.Role == health.RoleStandby && m.Goal == platform.GoalSealed && !s.Sealed.IsZero():
		return cell{"sealed", yellow}
	case s.Role == health.RoleStandby:
		return cell{"replica", plain}
	}
	return cell{"unknown", yellow}
}

// condition is what the member is doing, in a few words.
func condition(m wire.MemberStatus) cell {
	s := m.Seen
	switch {
	case s == nil && m.Unmanaged != "":
		return cell{"not managed", red}
	case s == nil:
		return cell{"never heard", red}
	case s.Error != "":
		return cell{"error, see below", red}
	case s.Stale > 0:
		return cell{"no answer for " + Span(time.Duration(s.Stale)*time.Millisecond), red}
	case s.CatchUp != nil && !s.Streams():
		return cell{"catching up, see below", yellow}
	case s.Doing != "":
		return cell{shorten(s.Doing, doingWidth), yellow}
	case s.Process != health.ProcessRunning:
		return cell{"not running", styleIf(m.Goal == platform.GoalPrimary || m.Goal == platform.GoalReplica, red)}
	case s.Role == health.RolePrimary:
		return primaryCondition(m)
	case s.Role == health.RoleStandby:
		return standbyCondition(m)
	}
	return cell{"not known", yellow}
}

func primaryCondition(m wire.MemberStatus) cell {
	switch {
	case m.Seen.SyncWaits > 0:
		return cell{count(m.Seen.SyncWaits, "commit") + " waiting", red}
	case m.Goal == platform.GoalPrimary && !m.Seen.Opened:
		return cell{"opening", yellow}
	case len(m.Seen.PendingRestart) > 0:
		return cell{"writable, restart pending", yellow}
	}
	return cell{"writable", green}
}

func standbyCondition(m wire.MemberStatus) cell {
	switch {
	case m.Goal == platform.GoalPrimary:
		return cell{"about to be promoted", yellow}
	case m.Goal == platform.GoalSealed:
		return cell{"receives nothing", plain}
	case !m.Seen.Streams():
		return cell{"not streaming" + after(", wanted from ", m.Upstream), red}
	case len(m.Seen.Short) > 0:
		return cell{"replay stands still", red}
	case m.Seen.ReplayPaused:
		return cell{"replay paused", yellow}
	case len(m.Seen.PendingRestart) > 0:
		return cell{"streaming" + after(" via ", m.Upstream) + ", restart pending", yellow}
	}
	return cell{"streaming" + after(" via ", m.Upstream), green}
}

func timeline(m wire.MemberStatus) string {
	if m.Seen == nil || m.Seen.Timeline == 0 {
		return "-"
	}
	return fmt.Sprint(m.Seen.Timeline)
}

func lag(m wire.MemberStatus) string {
	switch {
	case m.Seen != nil && m.Seen.Role == health.RolePrimary:
		return "-"
	case m.Seen == nil:
		return "unknown"
	case m.Lag < 0:
		return "unknown" + replayLag(m.Seen)
	}
	return Bytes(m.Lag) + replayLag(m.Seen)
}

// What a replica receives it replays at once, unless a delay, a pause, a query or its load holds the replay back: then it may be said.
const (
	saysBytes = 1 << 20
	saysAge   = 2 * time.Second
)

// replayLag is how far the replay is behind what was received, "" for no more than usual.
func replayLag(s *health.Member) string {
	behind, age := s.Unreplayed(), time.Duration(s.ReplayAgeMS)*time.Millisecond
	switch {
	case behind == 0 || behind < saysBytes && age < saysAge:
		return ""
	case age < saysAge:
		return ", replay " + Bytes(behind) + " behind"
	}
	return ", replay " + Bytes(behind) + " and " + Span(age) + " behind"
}

// leaseLeft is the remaining lease: the report's figure less its age. A renewal since the report can only make it longer.
func leaseLeft(m wire.MemberStatus, paused bool) cell {
	if m.Seen == nil || m.Seen.Role != health.RolePrimary {
		return cell{text: "-"}
	}
	left := time.Duration(m.Seen.LeaseLeft)*time.Millisecond - m.Age
	switch {
	case paused:
		return cell{"paused", yellow}
	case m.Seen.LeaseLeft == 0:
		return cell{"none", yellow}
	case left <= 0:
		return cell{"over, unless renewed", red}
	}
	return cell{Span(left), plain}
}

// protection says whether the guard of L2 is complete; a star means that something is missing, which is listed below the
// table. A member whose PostgreSQL does not run needs no guard.
func protection(m wire.MemberStatus, paused bool) cell {
	switch {
	case m.Seen == nil:
		return cell{"unknown", yellow}
	case m.Seen.Process == health.ProcessEnded || m.Seen.Data == health.DataEmpty:
		return cell{text: "-"}
	case paused:
		return cell{"paused", yellow}
	case !m.Seen.Guard.Complete:
		return cell{"incomplete*", yellow}
	case len(m.Seen.Guard.Missing) > 0:
		return cell{"guarded*", green}
	}
	return cell{"guarded", green}
}

func age(m wire.MemberStatus) cell {
	if m.Seen == nil && m.Unmanaged == "" {
		return cell{"-", plain}
	}
	return cell{Span(m.Age) + " ago", styleIf(m.Age > oldReport, red)}
}

func styleIf(yes bool, s style) style {
	if yes {
		return s
	}
	return plain
}

// shorten cuts a text to n runes, so that one long word does not break the screen.
func shorten(text string, n int) string {
	if r := []rune(text); len(r) > n {
		return string(r[:n-1]) + "…"
	}
	return text
}
