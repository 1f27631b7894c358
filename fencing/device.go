package fencing

import (
	"slices"
	"strings"
	"time"
)

// Answer is the answer of one fence device of a host.
type Answer struct {
	Device  string        `json:"device"` // agent or program, with the address it uses
	Level   int           `json:"level"`
	Verdict Verdict       `json:"verdict"` // of switching off: Fenced or Unproven
	Power   Power         `json:"power"`   // as last confirmed by the device's own status
	Reason  string        `json:"reason"`  // one line, without secrets; if the device failed, the cause
	Took    time.Duration `json:"took"`
}

// Power is whether a host has power. The zero value is the safe one.
type Power string

const (
	PowerUnknown Power = ""
	PowerOn      Power = "on"
	PowerOff     Power = "off"
)

// PowerResult combines the answers of all fence devices of a host.
type PowerResult struct {
	Verdict Verdict  `json:"verdict"` // Fenced once every device of one level is
	Level   int      `json:"level"`   // the level that fenced; 0 for none
	Answers []Answer `json:"answers"`
}

// JudgePower combines the answers of devices: a level has cut the power when all of its devices have, and one such level is enough;
// the lowest is named. Without answers nothing is proven.
func JudgePower(answers []Answer) PowerResult {
	r := PowerResult{Answers: answers}
	whole := map[int]bool{}
	for _, a := range answers {
		before, seen := whole[a.Level]
		whole[a.Level] = (!seen || before) && a.Verdict == Fenced
	}
	for level, fenced := range whole {
		if fenced && (r.Level == 0 || level < r.Level) {
			r.Verdict, r.Level = Fenced, level
		}
	}
	return r
}

// String is the basis of the proof in one line, or why there is none.
func (r PowerResult) String() string {
	if len(r.Answers) == 0 {
		return "the host has no fence device"
	}
	var parts []string
	for _, a := range r.Answers {
		if r.Verdict != Fenced || a.Level == r.Level {
			parts = append(parts, a.Device+": "+a.Reason)
		}
	}
	return strings.Join(slices.Compact(parts), "; ")
}
