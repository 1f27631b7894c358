package wire

import "testing"

func TestWords(t *testing.T) {
	known := Words{Generation: 1, Index: 8, Number: 20}
	for name, c := range map[string]struct {
		says   Words
		before bool
	}{
		"the same":                                    {Words{1, 8, 20}, false},
		"the next report":                             {Words{1, 8, 21}, false},
		"the next report, and more is known":          {Words{1, 9, 21}, false},
		"an earlier report":                           {Words{1, 8, 19}, true},
		"an earlier report's second copy":             {Words{1, 9, 19}, true},
		"a later report, by a leader deposed since":   {Words{1, 7, 21}, true},
		"a later report, by one that does not say":    {Words{1, 0, 21}, false},
		"a later report, of a group that was rebuilt": {Words{2, 3, 21}, false},
	} {
		if got := c.says.Before(known); got != c.before {
			t.Errorf("%s: before %v", name, got)
		}
	}
	a := ReportAnswer{Generation: 1, Index: 8, Number: 20}
	if a.Words() != known {
		t.Errorf("got %+v", a.Words())
	}
}
