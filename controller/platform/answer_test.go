package platform

import "testing"

func TestAge(t *testing.T) {
	known := Age{Generation: 1, Index: 8, Number: 20}
	for name, c := range map[string]struct {
		says   Age
		before bool
	}{
		"the same":                                    {Age{1, 8, 20}, false},
		"the next report":                             {Age{1, 8, 21}, false},
		"the next report, and more is known":          {Age{1, 9, 21}, false},
		"an earlier report":                           {Age{1, 8, 19}, true},
		"an earlier report's second copy":             {Age{1, 9, 19}, true},
		"a later report, by a leader deposed since":   {Age{1, 7, 21}, true},
		"a later report, by one that does not say":    {Age{1, 0, 21}, false},
		"a later report, of a group that was rebuilt": {Age{2, 3, 21}, false},
	} {
		if got := c.says.Before(known); got != c.before {
			t.Errorf("%s: before %v", name, got)
		}
	}
}
