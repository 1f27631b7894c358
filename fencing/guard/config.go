package guard

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"

	"mainstay/fencing/process"
)

// config is a guard's configuration: one JSON object on its standard input.
type config struct {
	Member  string `json:"member"`
	Slot    string `json:"slot"` // a or b
	Dir     string `json:"dir"`  // of the sockets, 0700
	DataDir string `json:"dataDir"`
	Cgroup  string `json:"cgroup,omitempty"`
}

// readConfig refuses a configuration with an unknown field: a guard that ignored a part would guard only a part of the member.
func readConfig(r io.Reader) (config, error) {
	b, err := io.ReadAll(io.LimitReader(r, maxLine+1))
	if err != nil {
		return config{}, fmt.Errorf("read the guard's configuration: %w", err)
	}
	if len(b) > maxLine {
		return config{}, fmt.Errorf("the guard's configuration is longer than %d bytes", maxLine)
	}
	var c config
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(&c); err != nil {
		return config{}, fmt.Errorf("the guard's configuration is not valid: %w", err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return config{}, errors.New("the guard's configuration is followed by other data")
	}
	return c, c.check()
}

// check verifies the configuration itself, without the host.
func (c config) check() error {
	switch {
	case c.Member == "" || strings.ContainsAny(c.Member, "/\x00\n"):
		return fmt.Errorf("guard: %q is not a valid member name", c.Member)
	case c.Slot != "a" && c.Slot != "b":
		return fmt.Errorf("guard of %s: the slot is %q; want a or b", c.Member, c.Slot)
	case !clean(c.Dir):
		return fmt.Errorf("guard of %s: the socket directory %q is not a clean absolute path", c.Member, c.Dir)
	case !clean(c.DataDir):
		return fmt.Errorf("guard of %s: the data directory %q is not a clean absolute path", c.Member, c.DataDir)
	case c.Cgroup != "" && !clean(c.Cgroup):
		return fmt.Errorf("guard of %s: the cgroup %q is not a clean absolute path", c.Member, c.Cgroup)
	case len(socketPath(c.Dir, "a")) > 107:
		return fmt.Errorf("guard of %s: the socket path %s is longer than the 107 bytes Linux allows; choose a shorter directory",
			c.Member, socketPath(c.Dir, "a"))
	}
	return nil
}

func clean(path string) bool {
	return filepath.IsAbs(path) && filepath.Clean(path) == path && path != "/"
}

// tree finds the member's processes on this host.
func (c config) tree() (*process.Tree, error) {
	if c.Cgroup == "" {
		return process.NewTree(c.DataDir, nil)
	}
	cgroup, err := process.OpenCgroup(c.Cgroup)
	if err != nil {
		return nil, err
	}
	own, err := process.Own()
	if err != nil {
		return nil, err
	}
	if own == c.Cgroup || strings.HasPrefix(own, c.Cgroup+"/") {
		return nil, fmt.Errorf("guard of %s: it was started inside the member's cgroup %s and would kill itself with it", c.Member, c.Cgroup)
	}
	return process.NewTree(c.DataDir, cgroup)
}

func (c config) peer() string {
	if c.Slot == "a" {
		return "b"
	}
	return "a"
}

func socketPath(dir, slot string) string { return filepath.Join(dir, "guard-"+slot+".sock") }
