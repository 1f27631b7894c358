package postgres

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Service is a way in which the distribution would start PostgreSQL on a data directory: without a lease, so as a primary
// that nothing guards (S4).
type Service struct {
	Unit      string `json:"unit"`                // such as postgresql@15-main.service
	Systemd   bool   `json:"systemd"`             // this host runs systemd
	Masked    bool   `json:"masked"`              // systemd does not start the unit
	StartConf string `json:"startConf,omitempty"` // Debian's start.conf; "" elsewhere
	Mode      string `json:"mode,omitempty"`      // in it: auto, manual or disabled
}

// Closed tells whether it can no longer start anything.
func (s Service) Closed() bool { return s.Systemd && s.Masked || s.Mode == disabledMode }

const disabledMode = "disabled"

// hostFiles is where a host's services are described.
type hostFiles struct {
	root     string // "" is the host's own; another in tests
	clusters string // Debian's /etc/postgresql
}

func thisHost() hostFiles {
	h := hostFiles{clusters: "/etc/postgresql"}
	if dir := os.Getenv("PG_CLUSTER_CONF_ROOT"); dir != "" { // as pg_ctlcluster reads it
		h.clusters = dir
	}
	return h
}

// Services finds the services of this host that would start PostgreSQL on a data directory. It reads files of the system only, never
// the data's disk beyond the directory itself.
func Services(data string) ([]Service, error) { return thisHost().services(data) }

func (h hostFiles) services(data string) ([]Service, error) {
	debian, err := h.debian(data)
	if err != nil {
		return nil, fmt.Errorf("look for services of %s: %w", data, err)
	}
	units, err := h.units(data)
	if err != nil {
		return nil, fmt.Errorf("look for services of %s: %w", data, err)
	}
	return append(debian, units...), nil
}

// debian looks through the clusters of postgresql-common.
func (h hostFiles) debian(data string) (found []Service, err error) {
	confs, err := filepath.Glob(filepath.Join(h.root+h.clusters, "*", "*", "postgresql.conf"))
	if err != nil {
		return nil, err
	}
	for _, conf := range confs {
		raw, err := ourselves().readIfThere(conf)
		if err != nil {
			return nil, err
		}
		_, lines := splitKeys(raw, []string{"data_directory"})
		if dir := confValue(lines["data_directory"]); dir == "" || !sameDir(dir, data) {
			continue
		}
		dir := filepath.Dir(conf)
		s := h.unit("postgresql@" + filepath.Base(filepath.Dir(dir)) + "-" + filepath.Base(dir) + ".service")
		s.StartConf = filepath.Join(dir, "start.conf")
		if s.Mode, err = startMode(s.StartConf); err != nil {
			return nil, err
		}
		found = append(found, s)
	}
	return found, nil
}

// startMode reads start.conf as pg_ctlcluster does: the first line that is more than a comment; auto without one.
func startMode(path string) (string, error) {
	raw, err := ourselves().readIfThere(path)
	for line := range strings.Lines(raw) {
		line, _, _ = strings.Cut(line, "#")
		if line = strings.TrimSpace(line); line != "" {
			return line, err
		}
	}
	return "auto", err
}

// unitDirs are where systemd looks for units, the first that has one wins.
var unitDirs = []string{"/etc/systemd/system", "/run/systemd/system", "/usr/local/lib/systemd/system", "/usr/lib/systemd/system",
	"/lib/systemd/system"}

func (h hostFiles) unit(name string) Service {
	s := Service{Unit: name, Systemd: exists(h.root + "/run/systemd/system")}
	for _, dir := range unitDirs[:2] {
		to, err := os.Readlink(filepath.Join(h.root+dir, name))
		s.Masked = s.Masked || err == nil && to == "/dev/null"
	}
	return s
}

// units looks through the services of other distributions, which name the data directory as PGDATA in their environment.
func (h hostFiles) units(data string) (found []Service, err error) {
	var seen []string
	for _, dir := range unitDirs {
		paths, err := filepath.Glob(filepath.Join(h.root+dir, "postgresql*.service"))
		if err != nil {
			return nil, err
		}
		for _, path := range paths {
			name := filepath.Base(path)
			if slices.Contains(seen, name) || strings.Contains(name, "@") {
				continue
			}
			seen = append(seen, name)
			if pgdata := h.pgdata(name); pgdata != "" && sameDir(pgdata, data) {
				found = append(found, h.unit(name))
			}
		}
	}
	return found, nil
}

// pgdata reads PGDATA of a unit: the last one in its files, what its administrator added included. A mask hides the unit's
// own file, but not those below it.
func (h hostFiles) pgdata(name string) (value string) {
	var files []string
	for _, dir := range slices.Backward(unitDirs) {
		files = append(files, filepath.Join(h.root+dir, name))
	}
	for _, dir := range slices.Backward(unitDirs) {
		more, _ := filepath.Glob(filepath.Join(h.root+dir, name+".d", "*.conf")) // the pattern is well formed
		files = append(files, more...)
	}
	for _, file := range files {
		raw, err := os.ReadFile(file)
		if err != nil {
			continue
		}
		for line := range bytes.Lines(raw) {
			if set, ok := strings.CutPrefix(strings.TrimSpace(string(line)), "Environment="); ok {
				for _, word := range strings.Fields(set) {
					if dir, ok := strings.CutPrefix(strings.Trim(word, `"'`), "PGDATA="); ok {
						value = dir
					}
				}
			}
		}
	}
	return value
}

func sameDir(a, b string) bool { return filepath.Clean(a) == filepath.Clean(b) || sameFile(a, b) }
