package decide

import (
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"mainstay/controller/platform"
	"mainstay/controller/state"
	"mainstay/health"
)

var update = flag.Bool("update", false, "write into testdata what the leader decides now")

// TestScenarios plays testdata/*.txt. A scenario is a list of blocks, with an empty line after each:
//
//	# words for the reader
//	what happens, one thing a line
//	----
//	what the leader decides then, and why
//
// The leader decides once in each block, after what happens in it, and what it decides is committed. The first line of a scenario says
// what the cluster is: `cluster acks=1 m3.may-lead=false`. Its members are m1, which is its primary, m2 and m3. See scenario.happens for
// what may happen. With -update the files are written anew: read the difference as you would read code.
func TestScenarios(t *testing.T) {
	paths, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(paths) < 8 {
		t.Fatalf("%d scenarios: %v", len(paths), err)
	}
	for _, path := range paths {
		t.Run(strings.TrimSuffix(filepath.Base(path), ".txt"), func(t *testing.T) {
			b, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			got := (&scenario{t: t}).play(string(b))
			if *update {
				err = os.WriteFile(path, []byte(got), 0o644)
			} else if got != string(b) {
				t.Errorf("%s plays otherwise now; this is what it says (-update writes it):\n%s", path, got)
			}
			if err != nil {
				t.Fatal(err)
			}
		})
	}
}

// scenario is a stage that a text file sets.
type scenario struct {
	*stage
	t     *testing.T
	away  map[string]*health.Member // what the hosts that are silent would report
	sites map[string]string         // of the controllers
	sees  map[string]string         // what the controllers that speak say of m1: hears, deaf
	out   strings.Builder
}

// play returns the scenario as it goes.
func (s *scenario) play(text string) string {
	for _, block := range strings.SplitAfter(text, "\n\n") {
		input, _, ok := strings.Cut(block, "----\n")
		if !ok {
			s.t.Fatalf("a block without ----:\n%s", block)
		}
		s.out.WriteString(input + "----\n")
		decided := false
		for _, line := range strings.Split(strings.TrimSpace(input), "\n") {
			if words := strings.Fields(line); len(words) > 0 && words[0] != "#" {
				decided = s.happens(words[0], words[1:], line) || decided
			}
		}
		if s.report(); !decided {
			s.decides()
		}
		s.out.WriteString("\n")
	}
	return strings.TrimSuffix(s.out.String(), "\n")
}

// happens is one line of a block. It tells whether the leader has decided already.
func (s *scenario) happens(what string, args []string, line string) bool {
	_, rest, _ := strings.Cut(line, " ")
	switch what {
	case "cluster": // as the platform file has it
		s.stage, s.away = well(s.t, s.number(settings(args)["acks"], 1), s.platform(settings(args))), map[string]*health.Member{}
		s.sites, s.sees = map[string]string{}, map[string]string{}
	case "controllers": // c1=east c2=west: the first leads
		s.sites = settings(args)
		s.stage.controllers = slices.Sorted(maps.Keys(s.sites))
		s.self, s.site = s.stage.controllers[0], s.sites[s.stage.controllers[0]]
	case "sees": // c2=hears c3=deaf: what the other controllers say from now on
		s.sees = settings(args)
	case "crash": // m1's agent sees PostgreSQL end
		s.crash()
	case "lose": // the hosts fall silent
		for _, name := range args {
			s.away[name], s.members[name] = s.members[name], nil
			for _, m := range s.members {
				if m != nil && name == s.c().Primary {
					m.Receiver = nil
				}
			}
		}
	case "return": // they report again what they would have reported before
		for _, name := range args {
			s.members[name] = s.away[name]
		}
	case "member": // m2 position=1008: what its agent reports
		for key, value := range settings(args[1:]) {
			s.set(s.members[args[0]], key, value)
		}
	case "senders": // m2 m3: who streams from m1
		s.members["m1"].Senders = nil
		for _, name := range args {
			s.members["m1"].Senders = append(s.members["m1"].Senders,
				health.Sender{Name: s.c().Members[name].Incarnation, State: "streaming", Flush: s.members["m1"].Position})
		}
	case "backup": // pg_basebackup: a base backup of that name is being taken from m1
		s.members["m1"].Senders = append(s.members["m1"].Senders, health.Sender{Name: args[0], State: senderBacksUp})
	case "seal": // m2 m3: they obey the attempt
		s.seal(args...)
	case "lease": // m1's is renewed
		s.leases.Record("feed", "m1", s.c().Epoch, s.now, lease)
	case "command": // an operator's, or that of the controllers' own devices
		cmd, err := state.DecodeCommand([]byte(rest))
		s.fatal(err)
		s.apply(cmd)
	case "approve": // the operation that waits
		s.apply(onFeed(state.Command{By: "ann", Approve: &state.Approve{Operation: s.c().Attempt.Operation}}))
	case "accept": // m2: an operator takes it on himself that commits are lost, and that the old primary is fenced
		s.apply(onFeed(state.Command{By: "ann", Advance: &state.Advance{Attempt: s.c().Attempt.Number, Phase: state.PhaseSeal, To: args[0],
			Accepted: &state.Acceptance{By: "ann", Reason: "asked", Fence: true, Completeness: true}}}))
	case "failed-over": // m3: the last failover brought m1, from that member
		s.justRecovered(args[0], "m1")
	case "controllers-recovered": // from the log of one of them
		s.recoverControllers()
	case "time": // passes
		s.passes(s.duration(args[0]))
	case "run": // until the leader decides something, for so long at most
		began := s.now
		for s.now-began < s.duration(args[0]) {
			if s.passes(100 * time.Millisecond); len(Next(s.input()).Commands) > 0 {
				break
			}
		}
		fmt.Fprintf(&s.out, "after %s\n", s.now-began)
		s.decides()
		return true
	case "predict": // host-lost, crash, site-gone
		failure := map[string]Failure{"host-lost": HostLost, "crash": PrimaryCrashed, "site-gone": SiteLost}[args[0]]
		s.report()
		fmt.Fprintf(&s.out, "%s: %s\n", args[0], Sentence(Predict(s.input(), "feed", failure)))
		return true
	default:
		s.t.Fatalf("%q cannot happen", line)
	}
	return false
}

func (s *scenario) passes(d time.Duration) {
	s.later(d)
	for name, sees := range s.sees {
		s.observations(name, s.sites[name], sees == "hears")
	}
}

// platform is the cluster as a line of settings says, beside acks.
func (s *scenario) platform(set map[string]string) func(*platform.Platform) {
	return func(p *platform.Platform) {
		c := &p.Clusters[0]
		for key, value := range set {
			name, of, ofMember := strings.Cut(key, ".")
			i := s.number(strings.TrimPrefix(name, "m"), 1) - 1
			switch {
			case key == "acks":
			case key == "from":
				c.Durability.From = platform.AckFrom(value)
			case key == "base-backups":
				c.BaseBackups = platform.BaseBackups(value)
			case key == "when-short":
				c.Durability.WhenShort = platform.WhenShort(value)
			case key == "across-sites":
				c.Failover.AcrossSites = platform.AcrossSites(value)
			case key == "accept":
				c.Failover.WhenIncomplete, c.Failover.AcceptAfter = platform.AcceptWhenIncomplete, s.duration(value)
			case key == "freeze":
				c.Freeze = platform.FreezePolicy(value)
			case ofMember && of == "may-lead":
				c.Members[i].MayLead = value == "true"
			case ofMember && of == "priority":
				c.Members[i].Priority = s.number(value, 0)
			case ofMember && of == "site":
				p.Hosts[i].Site = value
			case ofMember && of == "device":
				p.Hosts[i].Fence = []platform.FenceDevice{{Agent: value, Timeout: 20 * time.Second, Level: 1}}
			default:
				s.t.Fatalf("a cluster has no %s", key)
			}
		}
	}
}

// set is one value of a member's report.
func (s *scenario) set(m *health.Member, key, value string) {
	yes := value == "true"
	lsn := platform.LSN(0)
	if n, err := strconv.ParseUint(value, 10, 64); err == nil {
		lsn = platform.LSN(n)
	}
	switch key {
	case "position":
		m.Position = lsn
	case "replayed":
		m.Replayed = lsn
	case "shutdown":
		m.Shutdown, m.Clean = lsn, true
	case "timeline":
		m.Timeline = platform.Timeline(lsn)
	case "epoch":
		m.Epoch = s.epoch(value)
	case "checkpointed":
		m.Checkpointed = s.epoch(value)
	case "known":
		m.PositionKnown = yes
	case "streaming":
		if m.Receiver = nil; yes {
			m.Receiver = &health.Receiver{Streaming: true}
		}
	case "stale":
		m.Stale = int64(lsn)
	case "write-stale":
		m.WriteStale = int64(lsn)
	case "settled":
		m.Settled = uint64(lsn)
	case "guard":
		m.Guard.Complete = yes
	case "corrupt":
		m.Corrupt = value
	case "needs":
		m.Needs = value
	case "damage":
		m.Damage = value
	case "accuses": // its agent has compared all members, and these have the wrong page
		m.Comparison = s.accuses(m.Name, strings.Split(value, ","))
	case "frozen": // its replay is paused there
		m.ReplayPaused, m.Frozen = true, &health.Frozen{Incarnation: m.Incarnation, At: lsn}
	case "paused": // by its user
		m.ReplayPaused = yes
	default:
		s.t.Fatalf("a member has no %s", key)
	}
}

// accuses is a comparison that has found a lost write, of the one of these members, or of one of them.
func (s *scenario) accuses(by string, wrong []string) *health.Comparison {
	c := &health.Comparison{By: by, Complete: true, Incarnations: map[string]string{}, Differ: 1, Damage: []health.DifferentBlock{
		{Path: "base/5/7", Block: 3, Kind: "lost write", Suspects: wrong, Named: len(wrong) == 1, Settled: true}}}
	for _, name := range slices.Sorted(maps.Keys(s.c().Members)) {
		c.Members, c.Incarnations[name] = append(c.Members, name), s.c().Members[name].Incarnation
	}
	return c
}

// decides is a round of the leader: its commands, which are committed, its reasons, and its problems.
func (s *scenario) decides() {
	d := Next(s.input())
	for _, cmd := range d.Commands {
		fmt.Fprintln(&s.out, commandLine(&cmd))
	}
	if d.Transfer {
		fmt.Fprintln(&s.out, "another controller should lead")
	}
	switch why := d.Reasons.Of("feed"); {
	case why.Code == promotes: // and it has a verdict on every other member
		fmt.Fprintln(&s.out, "why:", reasonLine(Reason{Code: why.Code, Member: why.Member}))
		for _, b := range why.Because {
			fmt.Fprintln(&s.out, " ", reasonLine(b))
		}
	case why.given():
		fmt.Fprintln(&s.out, "why:", reasonLine(why))
	}
	if why := d.Reasons.Of("site switchover"); why.given() {
		fmt.Fprintln(&s.out, "site switchover:", reasonLine(why))
	}
	var problems []string
	for _, p := range d.Problems {
		problems = append(problems, strings.TrimSpace(string(p.Kind)+" "+p.Member+p.Site))
	}
	if len(problems) > 0 {
		fmt.Fprintf(&s.out, "problems: %s\n", strings.Join(problems, ", "))
	}
	for _, cmd := range d.Commands {
		s.apply(cmd)
	}
}

// commandLine is what of a command matters to a reader.
func commandLine(c *state.Command) string {
	body, err := c.Body()
	if err != nil {
		return err.Error()
	}
	switch line := body; {
	case c.Begin != nil:
		return fmt.Sprintf("%s %s%s%s", line, c.Begin.Kind, optional(" to ", c.Begin.To), given(c.Begin.StopOld, ", m1 is stopped"))
	case c.Advance != nil:
		if c.Advance.CatchUp != nil {
			line += fmt.Sprintf(" from %s to %s", c.Advance.CatchUp.From, c.Advance.CatchUp.To)
		}
		return fmt.Sprintf("%s %s%s%s", line, c.Advance.Phase, given(c.Advance.StopOld, ", m1 is stopped"),
			given(c.Advance.Accepted != nil, ", the loss is accepted"))
	case c.Promote != nil:
		return fmt.Sprintf("%s %s on timeline %d by %s", line, c.Promote.Member, c.Promote.Timeline, c.Promote.Proof.Kind)
	case c.Sets != nil:
		return fmt.Sprintf("%s %d of %v", line, c.Sets.Acks, c.Sets.Names)
	case c.Judge != nil:
		return line + " " + c.Judge.Member + ": " + c.Judge.Excluded
	case c.StepSite != nil:
		return line + optional(" ", c.StepSite.Step) + optional(" ", string(c.StepSite.End))
	case c.Freeze != nil && len(c.Freeze.Release) == 0:
		return line + " " + c.Freeze.Member + " for " + c.Freeze.For
	case c.Reincarnate != nil:
		return line + " " + c.Reincarnate.Member
	case c.Fence != nil:
		return line + " " + c.Fence.Host
	case c.Unfence != nil:
		return line + " " + c.Unfence.Host
	}
	return body
}

// reasonLine is a reason as codes with their values.
func reasonLine(r Reason) string {
	line := r.Code.String() + optional(" ", string(r.Kind)) + optional(" member=", r.Member) + optional(" other=", r.Other)
	for _, v := range []struct {
		key   string
		value any
		zero  bool
	}{
		{"names", r.Names, len(r.Names) == 0}, {"number", r.Number, r.Number == 0}, {"of", r.Of, r.Of == 0}, {"for", round(r.For), r.For == 0},
		{"at", uint64(r.At), r.At == 0}, {"past", uint64(r.Past), r.Past == 0}, {"is", r.Is, r.Is == ""}, {"want", r.Want, r.Want == ""},
	} {
		if !v.zero {
			line += fmt.Sprintf(" %s=%v", v.key, v.value)
		}
	}
	var because []string
	for _, b := range r.Because {
		because = append(because, reasonLine(b))
	}
	return line + given(len(because) > 0, " ("+strings.Join(because, "; ")+")")
}

func given(ok bool, text string) string {
	if !ok {
		return ""
	}
	return text
}

func optional(before, text string) string { return given(text != "", before+text) }

func settings(words []string) map[string]string {
	all := map[string]string{}
	for _, w := range words {
		key, value, _ := strings.Cut(w, "=")
		all[key] = strings.ReplaceAll(value, "_", " ")
	}
	return all
}

func (s *scenario) number(text string, otherwise int) int {
	n, err := strconv.Atoi(text)
	if err != nil {
		return otherwise
	}
	return n
}

func (s *scenario) duration(text string) time.Duration {
	d, err := time.ParseDuration(text)
	s.fatal(err)
	return d
}

func (s *scenario) epoch(text string) (e platform.Epoch) {
	_, err := fmt.Sscanf(text, "%d.%d", &e.Generation, &e.Number)
	s.fatal(err)
	return e
}

func (s *scenario) fatal(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}
