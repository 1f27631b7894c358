package postgres

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// OldestMajor is the oldest PostgreSQL supported. A running server of 13 takes no other restore_command, so a replica cannot be sealed
// against its archive; and it ends instead of pausing if a setting is lower than on its primary.
const OldestMajor = 14

// Binaries is one installation of PostgreSQL's server programs.
type Binaries struct {
	Dir     string
	Major   int
	Version string // as it prints itself, such as 15.13
}

// BinariesError is returned when no suitable installation was found; Looked lists each place with the reason.
type BinariesError struct {
	Want   string
	Looked []string
}

func (e *BinariesError) Error() string {
	return fmt.Sprintf("no %s found in: %s; install its server package or set the path of its programs",
		e.Want, strings.Join(e.Looked, "; "))
}

var (
	needed      = []string{"postgres", "initdb", "pg_controldata", "pg_basebackup", "pg_rewind", "pg_waldump"}
	patterns    = []string{"/usr/lib/postgresql/*/bin", "/usr/pgsql-*/bin", "/usr/local/pgsql/bin"}
	versionText = regexp.MustCompile(`PostgreSQL\) (\d+)(\S*)`)
)

// Find returns the newest installation of PostgreSQL from OldestMajor on, or the configured one only, if a directory is given.
func Find(configured string) (Binaries, error) {
	return find(configured, fmt.Sprintf("PostgreSQL %d or newer", OldestMajor), func(m int) bool { return m >= OldestMajor })
}

// FindMajor returns the installation that an existing data directory needs: the major version in its PG_VERSION.
func FindMajor(configured, data string) (Binaries, error) {
	major, err := dataMajor(data)
	if err != nil {
		return Binaries{}, err
	}
	if major < OldestMajor {
		return Binaries{}, fmt.Errorf("%s is of PostgreSQL %d, and Mainstay needs %d or newer: upgrade it with pg_upgrade first", data, major,
			OldestMajor)
	}
	return find(configured, fmt.Sprintf("PostgreSQL %d (the version of %s)", major, data), func(m int) bool {
		return m == major
	})
}

// FindFor returns the installation of a major version.
func FindFor(configured string, major int) (Binaries, error) {
	return find(configured, fmt.Sprintf("PostgreSQL %d", major), func(m int) bool { return m == major })
}

func find(configured, want string, fits func(major int) bool) (Binaries, error) {
	var found []Binaries
	failure := &BinariesError{Want: want}
	for _, dir := range candidates(configured, failure) {
		b, err := inspectBinaries(dir)
		switch {
		case err != nil:
			failure.Looked = append(failure.Looked, fmt.Sprintf("%s (%v)", dir, err))
		case !fits(b.Major):
			failure.Looked = append(failure.Looked, fmt.Sprintf("%s (is %s)", dir, b.Version))
		default:
			found = append(found, b)
		}
	}
	if len(found) == 0 {
		return Binaries{}, failure
	}
	return slices.MaxFunc(found, func(a, b Binaries) int { return a.Major - b.Major }), nil
}

func candidates(configured string, failure *BinariesError) []string {
	if configured != "" {
		return []string{configured}
	}
	var dirs []string
	for _, p := range patterns {
		hits, _ := filepath.Glob(p) // the patterns are constant, so well formed
		if len(hits) == 0 {
			failure.Looked = append(failure.Looked, p+" (nothing there)")
		}
		dirs = append(dirs, hits...)
	}
	if p, err := exec.LookPath("postgres"); err == nil {
		if p, err = filepath.EvalSymlinks(p); err == nil && !slices.Contains(dirs, filepath.Dir(p)) {
			dirs = append(dirs, filepath.Dir(p))
		}
	} else {
		failure.Looked = append(failure.Looked, "PATH (no postgres)")
	}
	return dirs
}

func inspectBinaries(dir string) (Binaries, error) {
	for _, name := range needed {
		if _, err := os.Stat(filepath.Join(dir, name)); err != nil {
			return Binaries{}, fmt.Errorf("has no %s", name)
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	out, err := exec.CommandContext(ctx, filepath.Join(dir, "postgres"), "--version").Output()
	if err != nil {
		return Binaries{}, fmt.Errorf("postgres --version: %w", err)
	}
	m := versionText.FindSubmatch(out)
	if m == nil {
		return Binaries{}, fmt.Errorf("postgres --version says %q", bytes.TrimSpace(out))
	}
	major, _ := strconv.Atoi(string(m[1]))
	return Binaries{Dir: dir, Major: major, Version: string(m[1]) + string(m[2])}, nil
}

// dataMajor reads PG_VERSION.
func dataMajor(data string) (int, error) {
	o, err := OwnerOf(data)
	if err != nil {
		return 0, fmt.Errorf("version of %s: %w", data, err)
	}
	raw, err := o.readFile(filepath.Join(data, "PG_VERSION"))
	if err != nil {
		return 0, fmt.Errorf("version of %s: %w", data, err)
	}
	major, err := strconv.Atoi(strings.TrimSpace(string(raw)))
	if err != nil {
		return 0, fmt.Errorf("version of %s: PG_VERSION says %q; it is older than PostgreSQL 10 or damaged", data, raw)
	}
	return major, nil
}
