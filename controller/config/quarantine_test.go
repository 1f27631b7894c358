package config

import (
	"strings"
	"testing"
)

func TestQuarantineMistakes(t *testing.T) {
	load := func(path string) error { _, err := LoadAgent(path); return err }
	testChanges(t, agentFile, load, []change{
		{"no unit", "20GB", "20", `F:16:21: quarantine.limit: "20" is not a size; write a whole number up to 999999 and a unit: 512MB, 10GB, 1TB`},
		{"nothing", "20GB", "0GB", `F:16:21: quarantine.limit: "0GB" is not a size; write a whole number up to 999999 and a unit: 512MB, 10GB, 1TB`},
		{"a list", "20GB", "[20GB]", "F:16:21: quarantine.limit: is a list, " +
			"not a size; write a whole number up to 999999 and a unit: 512MB, 10GB, 1TB"},
		{"another key", "limit:", "limits:", "F:16:14: quarantine.limits: unknown key; did you mean limit?"},
	})
}

func TestQuarantineDefault(t *testing.T) {
	dir := folder(t)
	text := strings.Replace(agentFile, "quarantine: {limit: 20GB}\n", "", 1)
	a, err := LoadAgent(write(t, dir, "agent.yaml", text))
	if err != nil || a.Quarantine.Limit != 10<<30 {
		t.Errorf("limit %d, %v", a.Quarantine.Limit, err)
	}
}
