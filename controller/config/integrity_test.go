package config

import (
	"strings"
	"testing"
	"time"
)

func TestIntegrityMistakes(t *testing.T) {
	load := func(path string) error { _, err := LoadAgent(path); return err }
	testChanges(t, agentFile, load, []change{
		{"no unit", "every: 12h", "every: 12", `F:17:20: integrity.every: "12" has no unit; write a time such as 24h, or off`},
		{"no time", "every: 12h", "every: daily", `F:17:20: integrity.every: "daily" is not a time; write a time such as 24h, or off`},
		{"too often", "every: 12h", "every: 10ms",
			"F:17:20: integrity.every: 10ms is not between 1s and 8760h; write a time such as 24h, or off"},
		{"backwards", "every: 12h", "every: -1h",
			"F:17:20: integrity.every: -1h is not between 1s and 8760h; write a time such as 24h, or off"},
		{"nothing", "rate: 50", "rate: 0", "F:17:31: integrity.rate: 0 is not between 1 and 1000; write the MB to read in a second, such as 20"},
		{"too much", "rate: 50", "rate: 1001",
			"F:17:31: integrity.rate: 1001 is not between 1 and 1000; write the MB to read in a second, such as 20"},
		{"a unit", "rate: 50", "rate: 50MB", `F:17:31: integrity.rate: "50MB" is not a whole number; write plain digits, without quotes`},
		{"another key", "every:", "often:", "F:17:13: integrity.often: unknown key; allowed here: every, rate"},
	})
}

func TestIntegrityDefault(t *testing.T) {
	dir := folder(t)
	const given = "integrity: {every: 12h, rate: 50}\n"
	for text, want := range map[string]Integrity{
		"":                                  {24 * time.Hour, 20},
		"integrity: {every: off}\n":         {0, 20},
		"integrity: {every: 0}\n":           {0, 20},
		"integrity: {every: 2s, rate: 7}\n": {2 * time.Second, 7},
	} {
		a, err := LoadAgent(write(t, dir, "agent.yaml", strings.Replace(agentFile, given, text, 1)))
		if err != nil || a.Integrity != want {
			t.Errorf("%q: %+v, %v", text, a.Integrity, err)
		}
	}
}
