package state

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"mainstay/controller/platform"
)

// SiteChange is a site switchover under way: all clusters and apps of the platform move to one site. Its steps are data;
// each is done when the state and what is seen say so, so that any leader goes on with it (S7). It is replaced, never edited.
type SiteChange struct {
	ID      string `json:"id"`
	Version uint64 `json:"version"`
	To      string `json:"to"`
	By      string `json:"by"`
	Reason  string `json:"reason"`
	Step    string `json:"step"` // one of platform.Step...
	// Worked: the step has done its own work, so the hooks after it may run.
	Worked bool `json:"worked,omitempty"`
	// Halted says why the step failed: an operator decides how it goes on. "" while it does.
	Halted string `json:"halted,omitempty"`
	// Undoing: the clusters go back to Former, and the apps with them.
	Undoing bool              `json:"undoing,omitempty"`
	Former  map[string]string `json:"former"` // the primary of each cluster before
	// Tried are the switchovers that it began, by cluster.
	Tried map[string]string `json:"tried,omitempty"`
	// Moved are the clusters whose primary was on To when the step of the clusters ended.
	Moved []string `json:"moved,omitempty"`
	// Answers are those of hooks and instances that were asked, by Effect.Key.
	Answers map[string]Answer `json:"answers,omitempty"`
}

// Answer is what came of something that a site switchover asked for.
type Answer struct {
	OK     bool   `json:"ok"`
	Detail string `json:"detail,omitempty"`
}

// BeginSite begins a site switchover. The checks were made by whoever proposed it, and are made again in its first step.
type BeginSite struct {
	To     string `json:"to"`
	Reason string `json:"reason"` // with who asked, such as "asked by alice: power work"
}

// StepSite moves a site switchover on. Exactly one of Step, Worked, Halt, Undo, End and Word is set.
type StepSite struct {
	Change  string `json:"change"`
	Version uint64 `json:"version"`
	Step    string `json:"step,omitempty"` // the next one begins
	Worked  bool   `json:"worked,omitempty"`
	Halt    string `json:"halt,omitempty"` // why the present one failed
	Undo    bool   `json:"undo,omitempty"` // it failed before a cluster moved: the apps go on where they were
	End     Result `json:"end,omitempty"`
	Word    string `json:"word,omitempty"` // an operator's: retry, undo or continue
	Note    string `json:"note,omitempty"`
}

// The operators' words for a site switchover that has halted.
const (
	WordRetry    = "retry"
	WordUndo     = "undo"
	WordContinue = "continue"
)

// Asked is the answer of a hook, or of an instance that was asked.
type Asked struct {
	Change string `json:"change"`
	Key    string `json:"key"`
	Answer Answer `json:"answer"`
}

// stops tells whether the change keeps the pools stopped that live with their primary: from the step that quiesces them,
// once the hooks before it have run, until the clusters have moved and the hooks before the apps start have run as well.
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

// Ready tells whether the hooks at one moment of a step are done; the error names the first that is not, or that failed
// where its failure stops the change. Nothing is asked of hooks while a change is undone.
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

// Quieted: the instance has said that it refuses writes.
func (ch *SiteChange) Quieted(instance string) bool {
	return ch.Answers[Effect{Kind: Quiesce, Instance: instance}.Key()].OK
}

// quiet are the instances that have said that they refuse writes, and not that they take them again; in a fixed order.
func (ch *SiteChange) quiet() (names []string) {
	for _, key := range sortedKeys(ch.Answers) {
		name, asked := strings.CutPrefix(key, Effect{Kind: Quiesce}.Key())
		if asked && ch.Quieted(name) && !ch.Answers[Effect{Kind: Resume, Instance: name}.Key()].OK {
			names = append(names, name)
		}
	}
	return names
}

// ErrHookRuns is returned while a hook has not answered yet.
var ErrHookRuns = errors.New("waiting for the hook")

func (s *State) applyBeginSite(cmd Command) error {
	b := cmd.BeginSite
	if s.Platform == nil {
		return errors.New("there is no platform yet; `mainstay apply -f platform.yaml` brings it")
	}
	if s.Change != nil {
		return fmt.Errorf("site switchover %s is under way; see `mainstay status`", s.Change.ID)
	}
	at := slices.IndexFunc(s.Platform.Sites, func(x platform.Site) bool { return x.Name == b.To })
	switch {
	case at < 0:
		return fmt.Errorf("there is no site %q; %s", b.To, s.targets())
	case s.Platform.Sites[at].Witness:
		return fmt.Errorf("site %s is a witness: it has no data; %s", b.To, s.targets())
	}
	former := map[string]string{}
	for _, name := range s.ClusterNames() {
		if former[name] = s.Clusters[name].Primary; former[name] == "" {
			return fmt.Errorf("cluster %s has no primary yet; `mainstay explain %s` says what it waits for", name, name)
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

// targets ends the refusal of a site: those that the platform can be moved to. Each has of every cluster a member that may
// lead, and is not where all primaries are.
func (s *State) targets() string {
	var names []string
	for _, site := range s.Platform.Sites {
		able, here := true, true
		for _, conf := range s.Platform.Clusters {
			there := func(m platform.Member) bool { return s.Platform.SiteOf(m.Host) == site.Name }
			able = able && slices.ContainsFunc(conf.Members, func(m platform.Member) bool { return m.MayLead && there(m) })
			here = here && slices.ContainsFunc(conf.Members, func(m platform.Member) bool { return m.Name == s.Clusters[conf.Name].Primary && there(m) })
		}
		if able && !here {
			names = append(names, site.Name)
		}
	}
	if len(names) == 0 {
		return "no other site has a member of every cluster that may lead"
	}
	return "the platform can be moved to " + strings.Join(names, ", ")
}

func (s *State) applyStepSite(cmd Command) error {
	c, ch := cmd.StepSite, s.Change
	switch {
	case ch == nil || ch.ID != c.Change:
		return fmt.Errorf("site switchover %s is not under way; `mainstay site history` shows what became of it", c.Change)
	case c.Word != "" && c.Version != 0 && c.Version != ch.Version:
		return fmt.Errorf("site switchover %s has gone on since you looked at it; look again, `mainstay status`, before you say how it is to go on", ch.ID)
	case c.Version != 0 && c.Version != ch.Version:
		return fmt.Errorf("%w (%s: version %d, now %d)", ErrMoved, ch.ID, ch.Version, c.Version)
	case c.Word != "" && ch.Halted == "":
		return fmt.Errorf("site switchover %s has not halted; it is at step %s, and `mainstay status` shows what it waits for", ch.ID, ch.Step)
	}
	next := *ch
	next.Version++
	s.Change = &next
	name, note := c.Step, c.Note
	switch {
	case c.End != "":
		s.Change = nil
		s.changing(c.Change, func(op *Operation) { op.end(c.End, c.Note, cmd.At) })
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
		name = WordUndo
		if err := next.obey(WordUndo); err != nil {
			return err
		}
		next.Step = platform.StepApps // it has moved no cluster, so none is moved: the apps go on at once, where their primaries are
	case c.Word != "":
		name, note = c.Word, "asked by "+cmd.By+" at step "+ch.Step
		if err := next.obey(c.Word); err != nil {
			return err
		}
		if left := s.Left(ch); left != "" && c.Word == WordRetry {
			next.Step = platform.StepClusters
			note += ": cluster " + left + " moves again"
		}
		if next.Step == "" { // without the last step
			s.Change = nil
			s.changing(c.Change, func(op *Operation) {
				op.step(name, cmd.At, note)
				op.end(Done, fmt.Sprintf("the platform runs on site %s; %s went on without step %s", ch.To, cmd.By, ch.Step), cmd.At)
			})
			return nil
		}
	}
	if ch.Step == platform.StepClusters && !next.Undoing {
		next.Moved = s.on(ch.To)
	}
	s.changing(c.Change, func(op *Operation) { op.step(name, cmd.At, note) })
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

// Left is the first cluster that a site switchover had moved and that has a primary on another site since, "" if there is none.
// Nothing of the later steps can be done for it there.
func (s *State) Left(ch *SiteChange) string {
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

// Words are those that a site switchover that has halted would take: there is always a way on. One that is being undone
// cannot be undone again, but it can be told to leave behind what will not move.
func (ch *SiteChange) Words() []string {
	if ch.Undoing {
		return []string{WordRetry, WordContinue}
	}
	return []string{WordRetry, WordUndo, WordContinue}
}

// obey takes an operator's word: again from the step that failed, back to where everything was, or on with the next step,
// "" after the last.
func (ch *SiteChange) obey(word string) error {
	ch.Halted, ch.Worked, ch.Tried, ch.Answers = "", false, nil, copyOf(ch.Answers)
	for key, a := range ch.Answers {
		if !a.OK {
			delete(ch.Answers, key) // it is asked again
		}
	}
	steps := append(platform.Steps(), "")
	switch word {
	case WordRetry:
	case WordUndo:
		ch.Undoing, ch.Step = true, platform.StepClusters
	case WordContinue:
		ch.Step = steps[slices.Index(steps, ch.Step)+1]
	default:
		return fmt.Errorf("%q is no word for a site switchover; use retry, undo or continue", word)
	}
	return nil
}

func (s *State) applyAsked(cmd Command) error {
	c, ch := cmd.Asked, s.Change
	if ch == nil || ch.ID != c.Change {
		return fmt.Errorf("site switchover %s is not under way", c.Change)
	}
	if before, ok := ch.Answers[c.Key]; ok && before == c.Answer {
		return nil // it was asked again, and says the same
	}
	next := *ch
	next.Version++
	next.Answers = copyOf(ch.Answers)
	next.Answers[c.Key] = c.Answer
	s.Change = &next
	s.changing(ch.ID, func(op *Operation) {
		word := "done"
		if !c.Answer.OK {
			word = "failed"
		}
		op.step(c.Key, cmd.At, word+": "+c.Answer.Detail)
	})
	return nil
}

// tried notes the switchover of a cluster that a change began.
func (s *State) tried(cluster, operation, at string) {
	next := *s.Change
	next.Version++
	next.Tried = copyOf(s.Change.Tried)
	next.Tried[cluster] = operation
	s.Change = &next
	s.changing(next.ID, func(op *Operation) { op.step("cluster "+cluster, at, "operation "+operation) })
}

// changing changes the record of a site switchover, on a copy.
func (s *State) changing(id string, edit func(*Operation)) {
	s.Changes = slices.Clone(s.Changes)
	for i := range s.Changes {
		if op := &s.Changes[i]; op.ID == id {
			op.Steps = slices.Clone(op.Steps)
			edit(op)
		}
	}
}
