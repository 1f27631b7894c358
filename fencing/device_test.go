package fencing

import "testing"

func TestJudgePower(t *testing.T) {
	for _, tc := range []struct {
		name    string
		answers []Answer
		want    Verdict
		level   int
	}{
		{"nobody", nil, Unproven, 0},
		{"one", []Answer{{Level: 1, Verdict: Fenced}}, Fenced, 1},
		{"zero value", []Answer{{Level: 1}}, Unproven, 0},
		{"half a level", []Answer{{Level: 1, Verdict: Fenced}, {Level: 1}}, Unproven, 0},
		{"half a level, other order", []Answer{{Level: 1}, {Level: 1, Verdict: Fenced}}, Unproven, 0},
		{"halves of two levels", []Answer{{Level: 1}, {Level: 2}, {Level: 1, Verdict: Fenced}, {Level: 2, Verdict: Fenced}}, Unproven, 0},
		{"second level", []Answer{{Level: 1}, {Level: 2, Verdict: Fenced}}, Fenced, 2},
		{"both levels", []Answer{{Level: 2, Verdict: Fenced}, {Level: 1, Verdict: Fenced}}, Fenced, 1},
		{"refused", []Answer{{Level: 1, Verdict: Refused}}, Unproven, 0},
		{"says off but unproven", []Answer{{Level: 1, Power: PowerOff}}, Unproven, 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if r := JudgePower(tc.answers); r.Verdict != tc.want || r.Level != tc.level {
				t.Errorf("got %d, level %d", r.Verdict, r.Level)
			}
		})
	}
}
