package state

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"mainstay/controller/platform"
)

// SiteChange is a running site switchover: all clusters and apps of the platform move to one site. Its steps are data. Committed
// state and observation tell when each is done, so any leader can continue it (S7). It is replaced, never edited.
type SiteChange struct {
	ID      string `json:"id"`
	Version uint64 `json:"version"`
	To      string `json:"to"`
	By      string `json:"by"`
	Reason  string `json:"reason"`
	Step    string `json:"step"` // one of platform.Step...
	// Worked: the step has done its own work, so the hooks after it may run.
	Worked bool `json:"worked,omitempty"`
	// Halted is the reason why the step failed; an operator decides how to continue. "" if it has not halted.
	Halted string `json:"halted,omitempty"`
	// Undoing: the clusters return to Former, and the apps with them.
	Undoing bool              `json:"undoing,omitempty"`
	Former  map[string]string `json:"former"` // the primary of each cluster before
	// Tried are the switchovers that it has begun, by cluster.
	Tried map[string]string `json:"tried,omitempty"`
	// Moved are the clusters whose primary was on To when the step of the clusters ended.
	Moved []string `json:"moved,omitempty"`
	// Answers are the results of hooks and requests to instances, by Effect.Key.
	Answers map[string]Answer `json:"answers,omitempty"`
}

// Answer is the result of a hook or of a request to an instance.
type Answer struct {
	OK     bool   `json:"ok"`
	Detail string `json:"detail,omitempty"`
}

// BeginSite begins a site switchover. The proposer has made the checks; the first step makes them again.
type BeginSite struct {
	To     string `json:"to"`
	Reason string `json:"reason"` // includes the operator, such as "asked by alice: power work"
}

// StepSite advances a site switchover. Exactly one of Step, Worked, Halt, Undo, End and Decision is set.
type StepSite struct {
	Change   string `json:"change"`
	Version  uint64 `json:"version"`
	Step     string `json:"step,omitempty"` // the next one begins
	Worked   bool   `json:"worked,omitempty"`
	Halt     string `json:"halt,omitempty"` // why the current one failed
	Undo     bool   `json:"undo,omitempty"` // it failed before a cluster moved: the apps restart where they were
	End      Result `json:"end,omitempty"`
	Decision string `json:"word,omitempty"` // an operator's: retry, undo or continue
	Note     string `json:"note,omitempty"`
}

// An operator's decisions about a halted site switchover.
const (
	DecisionRetry    = "retry"
	DecisionUndo     = "undo"
	DecisionContinue = "continue"
)

// HookAnswered records the answer of a hook or an instance.
type HookAnswered struct {
	Change string `json:"change"`
	Key    string `json:"key"`
	Answer Answer `json:"answer"`
}

// stops tells whether the change keeps pools stopped that run with their primary: from the quiesce step, once the hooks before it
// have run, until the clusters have moved and the hooks before the apps step have run as well.
func (ch *SiteChange) stops(p *platform.Platform) bool {
	switch {
	case ch == nil || ch.Undoing && ch.Step != platform.StepClusters:
		return false
	case ch.Step == platform.StepQuiesce:
		return ch.Ready(p, ch.Step, "before") == nil
	case ch.Step == platform.StepApps:
		return ch.Ready(p, ch.Step, "before") != nil
	}
	return ch.Step == platform.StepClusters
}

// Ready tells whether the hooks before or after a step are done. The error names the first that is not, or whose failure stops the
// change. No hook runs during an undo.
func (ch *SiteChange) Ready(p *platform.Platform, step, when string) error {
	if ch.Undoing {
		return nil
	}
	for _, n := range p.HooksAt(step, when) {
		answer, ok := ch.Answers[Effect{Kind: RunHook, Change: ch.ID, Hook: n}.Key()]
		switch {
		case !ok:
			return fmt.Errorf("%w %s %s", ErrHookRuns, when, step)
		case !answer.OK && p.Hooks[n].OnFailure != platform.HookGoOn:
			return fmt.Errorf("the hook %s %s failed: %s", when, step, answer.Detail)
		}
	}
	return nil
}

// Quieted tells whether the instance has confirmed that it refuses writes.
func (ch *SiteChange) Quieted(instance string) bool {
	return ch.Answers[Effect{Kind: Quiesce, Instance: instance}.Key()].OK
}

// quiet are the instances that have confirmed that they refuse writes, and not that they take them again; in a fixed order.
func (ch *SiteChange) quiet() (names []string) {
	for _, key := range sortedKeys(ch.Answers) {
		name, asked := strings.CutPrefix(key, Effect{Kind: Quiesce}.Key())
		if asked && ch.Quieted(name) && !ch.Answers[Effect{Kind: Resume, Instance: name}.Key()].OK {
			names = append(names, name)
		}
	}
	return names
}

// ErrHookRuns is returned while a hook has not answered.
var ErrHookRuns = errors.New("waiting for the hook")

func (s *State) applyBeginSite(cmd Command) error {
	b := cmd.BeginSite
	if s.Platform == nil {
		return errors.New("there is no platform yet; run `mainstay apply -f platform.yaml`")
	}
	if s.Change != nil {
		return fmt.Errorf("site switchover %s is running; see `mainstay status`", s.Change.ID)
	}
	at := slices.IndexFunc(s.Platform.Sites, func(x platform.Site) bool { return x.Name == b.To })
	switch {
	case at < 0:
		return fmt.Errorf("there is no site %q; %s", b.To, s.targets())
	case s.Platform.Sites[at].Witness:
		return fmt.Errorf("site %s is a witness and has no data; %s", b.To, s.targets())
	}
	former := map[string]string{}
	for _, name := range s.ClusterNames() {
		if former[name] = s.Clusters[name].Primary; former[name] == "" {
			return fmt.Errorf("cluster %s has no primary yet; `mainstay explain %s` says why", name, name)
		}
	}
	s.HighChange++
	id := fmt.Sprintf("site-%d", s.HighChange)
	s.Change = &SiteChange{ID: id, Version: 1, To: b.To, By: cmd.By, Reason: b.Reason, Step: platform.StepCheck, Former: former}
	op := Operation{ID: id, Kind: SiteSwitchover, Reason: b.Reason, By: cmd.By, To: b.To, Result: Running}
	op.step("began", cmd.At, b.Reason)
	s.Changes = append(slices.Clone(s.Changes), op)
	if over := len(s.Changes) - maxOperations; over > 0 {
		s.Changes = s.Changes[over:]
	}
	return nil
}

// targets ends the refusal of a site with the sites that the platform can move to. Each has a member of every cluster that may
// lead, and does not already have all primaries.
func (s *State) targets() string {
	var names []string
	for _, site := range s.Platform.Sites {
		able, here := true, true
		for _, conf := range s.Platform.Clusters {
			there := func(m platform.Member) bool { return s.Platform.SiteOf(m.Host) == site.Name }
			able = able && slices.ContainsFunc(conf.Members, func(m platform.Member) bool { return m.MayLead && there(m) })
			here = here && s.PrimarySite(conf.Name) == site.Name
		}
		if able && !here {
			names = append(names, site.Name)
		}
	}
	if len(names) == 0 {
		return "no other site has a member of every cluster that may lead"
	}
	return "the platform can move to " + strings.Join(names, ", ")
}

func (s *State) applyStepSite(cmd Command) error {
	c, ch := cmd.StepSite, s.Change
	switch {
	case ch == nil || ch.ID != c.Change:
		return fmt.Errorf("site switchover %s is not running; `mainstay site history` shows its result", c.Change)
	case c.Decision != "" && c.Version != 0 && c.Version != ch.Version:
		return fmt.Errorf("site switchover %s has changed since you read its state; run `mainstay status` again before you decide", ch.ID)
	case c.Version != 0 && c.Version != ch.Version:
		return fmt.Errorf("%w (%s: version %d, now %d)", ErrMoved, ch.ID, ch.Version, c.Version)
	case c.Decision != "" && ch.Halted == "":
		return fmt.Errorf("site switchover %s has not halted; it is at step %s: see `mainstay status`", ch.ID, ch.Step)
	}
	next := *ch
	next.Version++
	s.Change = &next
	name, note := c.Step, c.Note
	switch {
	case c.End != "":
		s.Change = nil
		s.editChange(c.Change, func(op *Operation) { op.end(c.End, c.Note, cmd.At) })
		return nil
	case c.Halt != "":
		next.Halted = c.Halt
		name, note = "halted at "+ch.Step, c.Halt
	case c.Step != "":
		next.Step, next.Worked = c.Step, false
	case c.Worked:
		next.Worked = true
		return nil
	case c.Undo:
		name = DecisionUndo
		if err := next.obey(DecisionUndo); err != nil {
			return err
		}
		next.Step = platform.StepApps // no cluster has moved, so none moves back: the apps restart where their primaries are
	case c.Decision != "":
		name, note = c.Decision, "asked by "+cmd.By+" at step "+ch.Step
		if err := next.obey(c.Decision); err != nil {
			return err
		}
		if left := s.MovedAway(ch); left != "" && c.Decision == DecisionRetry {
			next.Step = platform.StepClusters
			note += ": cluster " + left + " moves again"
		}
		if next.Step == "" { // without the last step
			s.Change = nil
			s.editChange(c.Change, func(op *Operation) {
				op.step(name, cmd.At, note)
				op.end(Done, fmt.Sprintf("the platform runs on site %s; %s skipped step %s", ch.To, cmd.By, ch.Step), cmd.At)
			})
			return nil
		}
	}
	if ch.Step == platform.StepClusters && !next.Undoing {
		next.Moved = s.on(ch.To)
	}
	s.editChange(c.Change, func(op *Operation) { op.step(name, cmd.At, note) })
	return nil
}

// on are the clusters whose primary is on a site.
func (s *State) on(site string) (names []string) {
	for _, name := range s.ClusterNames() {
		if s.PrimarySite(name) == site {
			names = append(names, name)
		}
	}
	return names
}

// MovedAway is the first cluster that a site switchover moved and whose primary has since moved to another site; "" if there is none.
// The later steps cannot be done for it there.
func (s *State) MovedAway(ch *SiteChange) string {
	if ch.Undoing || ch.Step == platform.StepClusters {
		return ""
	}
	for _, name := range ch.Moved {
		if site := s.PrimarySite(name); site != "" && site != ch.To {
			return name
		}
	}
	return ""
}

// Decisions are the decisions that a halted site switchover accepts; there is always one. An undo cannot be undone again, but
// `continue` leaves in place what cannot move back.
func (ch *SiteChange) Decisions() []string {
	if ch.Undoing {
		return []string{DecisionRetry, DecisionContinue}
	}
	return []string{DecisionRetry, DecisionUndo, DecisionContinue}
}

// obey carries out an operator's decision: retry the failed step, undo the change, or continue with the next step ("" after the
// last).
func (ch *SiteChange) obey(word string) error {
	ch.Halted, ch.Worked, ch.Tried, ch.Answers = "", false, nil, copyOf(ch.Answers)
	for key, a := range ch.Answers {
		if !a.OK {
			delete(ch.Answers, key) // ask again
		}
	}
	steps := append(platform.Steps(), "")
	switch word {
	case DecisionRetry:
	case DecisionUndo:
		ch.Undoing, ch.Step = true, platform.StepClusters
	case DecisionContinue:
		ch.Step = steps[slices.Index(steps, ch.Step)+1]
	default:
		return fmt.Errorf("%q is not a decision about a site switchover; use retry, undo or continue", word)
	}
	return nil
}

func (s *State) applyAsked(cmd Command) error {
	c, ch := cmd.HookAnswered, s.Change
	if ch == nil || ch.ID != c.Change {
		return fmt.Errorf("site switchover %s is not running", c.Change)
	}
	if before, ok := ch.Answers[c.Key]; ok && before == c.Answer {
		return nil // a repeated request with the same answer
	}
	next := *ch
	next.Version++
	next.Answers = copyOf(ch.Answers)
	next.Answers[c.Key] = c.Answer
	s.Change = &next
	s.editChange(ch.ID, func(op *Operation) {
		word := "done"
		if !c.Answer.OK {
			word = "failed"
		}
		op.step(c.Key, cmd.At, word+": "+c.Answer.Detail)
	})
	return nil
}

// tried records the switchover of a cluster that a change has begun.
func (s *State) tried(cluster, operation, at string) {
	next := *s.Change
	next.Version++
	next.Tried = copyOf(s.Change.Tried)
	next.Tried[cluster] = operation
	s.Change = &next
	s.editChange(next.ID, func(op *Operation) { op.step("cluster "+cluster, at, "operation "+operation) })
}

// editChange edits a copy of the record of a site switchover.
func (s *State) editChange(id string, edit func(*Operation)) {
	s.Changes = slices.Clone(s.Changes)
	for i := range s.Changes {
		if op := &s.Changes[i]; op.ID == id {
			op.Steps = slices.Clone(op.Steps)
			edit(op)
		}
	}
}
