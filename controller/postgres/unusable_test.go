package postgres

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestUnusable: lines that keep the server from starting again are told as soon as they are in a file, and changes that wait for a restart
// are none of them.
func TestUnusable(t *testing.T) {
	a := newPrimary(t, newAuthority(t), "feed-e1")
	conf := filepath.Join(a.Data, "postgresql.conf")
	before, err := os.ReadFile(conf)
	check(t, err)
	for text, want := range map[string]string{
		"max_connections = 77":               "",
		"work_men = '4MB'":                   "work_men: unrecognized configuration parameter",
		"work_mem = lots":                    "work_mem: setting could not be applied",
		"work_mem = = 4":                     "syntax error",
		"include_dir 'no/such'":              "could not open directory",
		"a_b.c = 1\nshared_buffers = 99MB":   "",
		"work_mem = '5MB'\nport = 'nowhere'": "", // a limit: the server says the same of a port that waits for a restart
	} {
		check(t, os.WriteFile(conf, append(before[:len(before):len(before)], "\n"+text+"\n"...), 0o600))
		for _, when := range []string{"in the file", "and again, as it is being loaded"} {
			got := mustStatus(t, a).Unusable
			if want == "" && len(got) > 0 || want != "" && (len(got) != 1 || !strings.Contains(got[0], want) ||
				!strings.HasPrefix(got[0], conf+" line ")) {
				t.Errorf("%q %s: %q, want %q", text, when, got, want)
			}
			check(t, a.exec(testContext(t), "SELECT pg_reload_conf()"))
		}
	}
	check(t, os.WriteFile(conf, before, 0o600))
}
