package decide

import (
	"strconv"
	"strings"
	"time"

	"mainstay/controller/platform"
	"mainstay/controller/state"
	"mainstay/health"
)

// Rule names the rules, so that every command and every wait names the one that made it.
type Rule string

const (
	RuleBootstrap  Rule = "bootstrap"
	RuleAttempt    Rule = "attempt"
	RuleDetect     Rule = "detection"
	RuleUpkeep     Rule = "upkeep"
	RuleSwitchover Rule = "switchover"
	RuleApps       Rule = "apps"
	RuleSite       Rule = "site switchover"
	RuleHealthy    Rule = "nothing to do"
)

// of names the rule of a decision that does not name its own.
func (rule Rule) of(cmd *state.Command, why Reason) (*state.Command, Reason) {
	if why.Rule == "" {
		why.Rule = rule
	}
	return cmd, why
}

// Reason says why something is done, refused or waited for: a code and its subject. Tests assert the code; its words are for people.
// The zero value is no reason.
type Reason struct {
	Rule    Rule
	Code    Code
	Kind    health.Kind // the problem that it answers, "" for none
	Cluster string
	Member  string        // the subject
	Other   string        // the second subject: the member it is behind, the operator, the host it runs on
	Names   []string      // several of them
	Number  int           // how many there are
	Of      int           // how many there should or may be
	For     time.Duration // how long it has held, or may take
	At      platform.LSN
	Past    platform.LSN // the position that At is compared with
	Is      string       // the present value
	Want    string       // the value that it should have
	Detail  string       // text from elsewhere: an agent, an operator, package state
	Because []Reason     // the reasons it rests on
}

// given tells whether there is a reason.
func (r Reason) given() bool { return r.Code != Code{} }

// String is the reason in words, "" for none.
func (r Reason) String() string {
	before, rest, more := strings.Cut(r.Code.words, "{")
	if !more {
		return before
	}
	var b strings.Builder
	for b.WriteString(before); more; b.WriteString(before) {
		var key string
		key, rest, _ = strings.Cut(rest, "}")
		b.WriteString(r.value(key))
		before, rest, more = strings.Cut(rest, "{")
	}
	return b.String()
}

// value is what stands for {key} in the words of a code.
func (r Reason) value(key string) string {
	switch key {
	case "kind":
		return string(r.Kind)
	case "cluster":
		return r.Cluster
	case "member":
		return r.Member
	case "other":
		return r.Other
	case "names":
		return strings.Join(r.Names, ", ")
	case "list":
		return "[" + strings.Join(r.Names, " ") + "]"
	case "number":
		return strconv.Itoa(r.Number)
	case "of":
		return strconv.Itoa(r.Of)
	case "for":
		return round(r.For).String()
	case "ms":
		return strconv.FormatInt(r.For.Milliseconds(), 10)
	case "at":
		return r.At.String()
	case "past":
		return r.Past.String()
	case "is":
		return r.Is
	case "want":
		return r.Want
	case "detail":
		return r.Detail
	case "because":
		return strings.Join(Texts(r.Because), "; ")
	}
	return "{" + key + "}"
}

// join says several reasons, one after the other.
func join(all ...Reason) Reason {
	if len(all) == 1 {
		return all[0]
	}
	return Reason{Code: several, Because: all}
}

// textsOf words the reasons of members, for the log.
func textsOf(reasons map[string]Reason) map[string]string {
	texts := make(map[string]string, len(reasons))
	for name, why := range reasons {
		texts[name] = why.String()
	}
	return texts
}

// Texts words several reasons.
func Texts(reasons []Reason) (texts []string) {
	for _, r := range reasons {
		texts = append(texts, r.String())
	}
	return texts
}

func round(d time.Duration) time.Duration { return d.Round(100 * time.Millisecond) }

// Reasons are those of the subjects: clusters, apps ("app NAME") and the site switchover.
type Reasons []subjectReason

type subjectReason struct {
	subject string
	Reason
}

// Of is the reason of one subject, zero for none.
func (r Reasons) Of(subject string) Reason {
	for i := len(r) - 1; i >= 0; i-- {
		if r[i].subject == subject {
			return r[i].Reason
		}
	}
	return Reason{}
}

func (d *Decision) because(subject string, why Reason) {
	d.Reasons = append(d.Reasons, subjectReason{subject, why})
}
