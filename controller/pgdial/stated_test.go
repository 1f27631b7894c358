package pgdial

import (
	"maps"
	"slices"
	"testing"
)

func TestSessions(t *testing.T) {
	for _, c := range []struct {
		name      string
		major     int
		superuser bool
		with      []string
		without   []string
	}{
		{"a version that is not known", 0, false, []string{"search_path", "role", "local_preload_libraries"},
			[]string{"idle_session_timeout", "transaction_timeout", "session_preload_libraries", "event_triggers"}},
		{"superuser on 13", 13, true, []string{"session_preload_libraries", "lock_timeout"}, []string{"idle_session_timeout", "event_triggers"}},
		{"superuser on 16", 16, true, []string{"idle_session_timeout"}, []string{"transaction_timeout", "event_triggers"}},
		{"superuser on 17", 17, true, []string{"idle_session_timeout", "transaction_timeout", "event_triggers"}, nil},
		{"another role on 18", 18, false, []string{"transaction_timeout"}, []string{"session_preload_libraries", "event_triggers"}},
	} {
		got := Sessions(c.major, c.superuser)
		for _, name := range c.with {
			if _, ok := got[name]; !ok {
				t.Errorf("%s: no %s in %v", c.name, name, slices.Sorted(maps.Keys(got)))
			}
		}
		for _, name := range append(c.without, "statement_timeout") {
			if v, ok := got[name]; ok {
				t.Errorf("%s: %s = %q", c.name, name, v)
			}
		}
	}
	Sessions(18, true)["role"] = "app"
	if v := Sessions(18, true)["role"]; v != "none" {
		t.Errorf("a caller's change shows in the next one's: %q", v)
	}
}
