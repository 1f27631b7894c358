package target

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"mainstay/test/kit"
)

// scripts are programs that keep objects in a folder, as an operator could write them.
func scripts(dir string) *Exec {
	sh := func(script string) []string { return []string{"/bin/sh", "-euc", script, "sh", dir, "{name}"} }
	return &Exec{
		Put: sh(`mkdir -p "$(dirname "$1/$2")"; cat > "$1/$2.new"; mv "$1/$2.new" "$1/$2"`),
		Get: sh(`cat "$1/$2"`),
		List: sh(`cd "$1"; find . -type f -printf '%s %P\n' | while read -r size name; do
			case $name in "$2"*) echo "$size $name";; esac; done`),
		Remove: sh(`rm "$1/$2"`),
	}
}

func TestExec(t *testing.T) { conform(t, open(t, Config{Exec: scripts(t.TempDir())})) }

func TestExecFails(t *testing.T) {
	dir := t.TempDir()
	good := open(t, Config{Exec: scripts(dir), Patience: 10 * time.Second})
	kit.Must[Receipt](t)(put(t.Context(), good, "feed/a", "content"))
	large := content(1, 3<<20)
	sh := func(script string) []string { return []string{"/bin/sh", "-c", script, "sh", dir, "{name}"} }
	for name, c := range map[string]struct {
		edit   func(*Exec)
		call   func(to Target) error
		reason Reason
		says   string
	}{
		"put says why": {func(e *Exec) { e.Put = sh("cat >/dev/null; echo starting >&2; echo no tape is loaded >&2; exit 3") },
			func(to Target) error { _, err := put(t.Context(), to, "feed/b", "b"); return err },
			Failed, "target vault, feed/b: put: /bin/sh ended with status 3: no tape is loaded; look at what it says"},
		"put reads a part only": {func(e *Exec) { e.Put = sh(`head -c 1000 > "$1/$2"`) },
			func(to Target) error { _, err := to.Put(t.Context(), "feed/b", bytes.NewReader(large), -1); return err },
			Failed, "not read to the end"},
		"put keeps a part only": {func(e *Exec) { e.Put = sh(`head -c 1000 > "$1/$2"; cat >/dev/null`) },
			func(to Target) error { _, err := to.Put(t.Context(), "feed/b", bytes.NewReader(large), -1); return err },
			Damaged, "it has 1000 bytes instead of 3145728"},
		"put keeps something else": {func(e *Exec) { e.Put = sh(`tr a-z A-Z > "$1/$2"`) },
			func(to Target) error { _, err := put(t.Context(), to, "feed/b", "words"); return err }, Damaged, "SHA-256"},
		"put hangs": {func(e *Exec) { e.Put = sh("exec sleep 600") },
			func(to Target) error { _, err := to.Put(t.Context(), "feed/b", bytes.NewReader(large), -1); return err },
			Slow, "no byte has moved"},
		"get fails in the middle": {func(e *Exec) { e.Get = sh(`head -c 3 "$1/$2"; echo bad block >&2; exit 1`) },
			func(to Target) error { _, err := get(t.Context(), to, "feed/a"); return err }, Failed, "bad block"},
		"get fails": {func(e *Exec) { e.Get = sh(`echo no such file, perhaps >&2; exit 1`) },
			func(to Target) error { _, err := get(t.Context(), to, "feed/a"); return err }, Failed, "no such file"},
		"get gives nothing": {func(e *Exec) { e.Get = sh(":") },
			func(to Target) error { _, err := get(t.Context(), to, "feed/none"); return err }, NotThere, ""},
		"get and list fail": {func(e *Exec) { e.Get, e.List = sh("exit 1"), sh("exit 1") },
			func(to Target) error { _, err := get(t.Context(), to, "feed/none"); return err }, Failed, "said nothing"},
		"get hangs": {func(e *Exec) { e.Get = sh("sleep 600") },
			func(to Target) error { _, err := get(t.Context(), to, "feed/a"); return err }, Slow, "no byte has moved"},
		"list talks": {func(e *Exec) { e.List = sh("echo total 2; echo 7 feed/a") },
			func(to Target) error { _, err := to.List(t.Context(), ""); return err }, Other, `the line "total 2"`},
		"remove fails": {func(e *Exec) { e.Remove = sh("echo write-protected >&2; exit 1") },
			func(to Target) error { return to.Remove(t.Context(), "feed/a") }, Failed, "write-protected"},
		"no program": {func(e *Exec) { e.List = []string{"/nowhere/list"} },
			func(to Target) error { _, err := to.List(t.Context(), ""); return err }, Failed, "/nowhere/list"},
	} {
		t.Run(name, func(t *testing.T) {
			conf := Config{Exec: scripts(dir), Patience: time.Second}
			c.edit(conf.Exec)
			err := c.call(open(t, conf))
			if err == nil || reasonOf(err) != c.reason || !strings.Contains(err.Error(), c.says) || strings.Contains(err.Error(), "\n") {
				t.Errorf("%v (%s)", err, reasonOf(err))
			}
			if c.reason != NotThere && errors.Is(err, ErrNotThere) {
				t.Error("it says that nothing is there:", err)
			}
			if _, err := os.Stat(filepath.Join(dir, "feed/b")); !errors.Is(err, os.ErrNotExist) {
				t.Error("a part of it is there:", err)
			}
			if text, err := get(t.Context(), good, "feed/a"); err != nil || text != "content" {
				t.Error(text, err)
			}
		})
	}
}

func TestExecConfig(t *testing.T) {
	for says, edit := range map[string]func(*Exec){
		"no program to get":               func(e *Exec) { e.Get = nil },
		"give the absolute path":          func(e *Exec) { e.Put = []string{"tape-put", "{name}"} },
		"remove is not told the object":   func(e *Exec) { e.Remove = []string{"/bin/rm", "name"} },
		"give an argument with {name}":    func(e *Exec) { e.Put = []string{"/bin/{name}"} },
		"target vault: it has no program": func(e *Exec) { e.List = []string{} },
	} {
		conf := scripts("/")
		edit(conf)
		if _, err := Open("vault", Config{Exec: conf}); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%v, want %q", err, says)
		}
	}
}
