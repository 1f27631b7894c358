package boottime

import (
	"os"
	"path/filepath"
	"testing"
)

func TestMemory(t *testing.T) {
	mine, gone := t.TempDir(), filepath.Join(t.TempDir(), "gone")
	root := os.Geteuid() == 0
	for _, c := range []struct{ name, user, want string }{
		{"the user's", mine, filepath.Join(mine, "mainstay-test")},
		{"none", "", ""},
		{"one that is not there", gone, ""},
		{"another user's", "/", ""},
		{"no whole path", ".", ""},
	} {
		t.Setenv("XDG_RUNTIME_DIR", c.user)
		want := c.want
		if root {
			want = "/run/mainstay-test"
		}
		if want != "" {
			want = filepath.Join(want, BootID())
		}
		if got := Memory("mainstay-test"); got != want {
			t.Errorf("%s: %q, want %q", c.name, got, want)
		}
	}
}
