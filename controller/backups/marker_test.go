package backups

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/zap"

	"mainstay/controller/config"
	"mainstay/test/kit"
)

// TestMarker: the folder of a disk that is not mounted is not taken for the target, nor another one; two agents share one target.
func TestMarker(t *testing.T) {
	dir, vault := t.TempDir(), filepath.Join(t.TempDir(), "vault")
	agent := func(name string) *Host {
		data := filepath.Join(dir, name)
		kit.Check(t, os.MkdirAll(data, 0o700))
		return New(Options{Log: zap.NewNop(), Config: config.Agent{Data: data,
			Backup: config.Backup{Targets: map[string]config.BackupTarget{"vault": {Directory: vault}}}}})
	}
	kit.Check(t, os.Mkdir(vault, 0o700))
	for _, name := range []string{"first", "second", "first"} {
		h := agent(name)
		kit.Check(t, h.recognise(t.Context(), h.targets[0]))
	}
	refuses := func(name, why string) {
		t.Helper()
		h := agent(name)
		if err := h.recognise(t.Context(), h.targets[0]); err == nil || !strings.Contains(err.Error(), why) {
			t.Errorf("agent %s: %v, want %q", name, err, why)
		}
	}
	kit.Check(t, os.Rename(vault, vault+".disk"), os.Mkdir(vault, 0o700))
	refuses("first", "mount its disk")
	if made, err := os.ReadDir(vault); err != nil || len(made) > 0 {
		t.Errorf("it wrote into the empty folder: %v, %v", made, err)
	}
	h := agent("third") // which has seen no target yet
	kit.Check(t, h.recognise(t.Context(), h.targets[0]))
	refuses("second", "another folder than before")
	kit.Check(t, os.RemoveAll(vault), os.Rename(vault+".disk", vault))
	h = agent("second")
	kit.Check(t, h.recognise(t.Context(), h.targets[0]))
	refuses("third", "delete the line \"vault\" from "+filepath.Join(dir, "third", "targets.json"))
}
