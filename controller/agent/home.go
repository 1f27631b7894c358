package agent

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"go.uber.org/zap"

	"mainstay/controller/member"
	"mainstay/controller/osuser"
	"mainstay/controller/statefile"
)

// home is the agent's own folder: its lock, its run ID, the platform that it obeys, and each member's promises and resume record. Every
// write creates a new file, synced and renamed, so a crash leaves either the old or the new content.
type home struct {
	dir    string
	lock   *os.File
	copies bootCopy
	log    *zap.Logger
}

// bond is the platform that an agent obeys, once it has obeyed one: it refuses other platforms and lower generations (S3).
type bond struct {
	PlatformID string `json:"platformID"`
	Generation uint64 `json:"generation"`
	Mark       string `json:"mark,omitempty"` // of that generation
}

func openHome(dir string, log *zap.Logger) (home, error) {
	for _, own := range []string{"members", "tenures"} {
		if err := os.MkdirAll(filepath.Join(dir, own), 0o755); err != nil {
			return home{}, fmt.Errorf("the agent's folder: %w; create it, or correct `data` in the agent's file", err)
		}
	}
	if who, err := osuser.OtherChanger(dir); err != nil {
		return home{}, fmt.Errorf("the agent's folder: %w", err)
	} else if who != nil && os.Geteuid() == 0 {
		return home{}, fmt.Errorf("the agent's folder %s, or one above it, belongs to user %d or is writable by it, "+
			"so that user could change the agent's promises; set `data` in the agent's file to a folder that only root can change", dir, who.UID)
	}
	lock, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return home{}, fmt.Errorf("the agent's folder: %w", err)
	}
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		lock.Close()
		return home{}, fmt.Errorf("%s is in use by another agent; stop that one first", dir)
	}
	copies, err := openBootCopy(dir, log)
	if err != nil {
		lock.Close()
		return home{}, err
	}
	return home{dir, lock, copies, log}, nil
}

func (h home) close() { h.lock.Close() }

// run is the run of an agent, and the last ones that had the same disk, the run itself last. It is the same for all agents that run in
// sequence on this folder in one boot of the host: a restarted agent keeps its leases, a copy of the folder on another host does not (L8).
type run struct {
	Boot    string
	Run     string
	Earlier []string `json:",omitempty"`
}

// earlierRuns is how many runs before the present one a disk remembers: the controllers look for the last that spoke for the host.
const earlierRuns = 60

// run records a new run before its first report.
func (h home) run(boot string) (now run, err error) {
	if err := h.read("run.json", &now); err != nil {
		return run{}, err
	}
	if now.Boot == boot && now.Run != "" {
		return now, nil
	}
	b := make([]byte, 8)
	if _, err := rand.Read(b); err != nil {
		return run{}, err
	}
	if now.Run != "" {
		now.Earlier = append(now.Earlier[max(0, len(now.Earlier)+1-earlierRuns):], now.Run)
	}
	now.Boot, now.Run = boot, hex.EncodeToString(b)
	return now, h.keep("run.json", now)
}

func (h home) bond() (b bond, err error) {
	return b, h.read("platform.json", &b)
}

func (h home) keepBond(b bond) error { return h.keep("platform.json", b) }

// known lists the members whose promises are in this folder.
func (h home) known() []string {
	var names []string
	for _, dir := range []string{h.dir, string(h.copies)} {
		entries, _ := os.ReadDir(filepath.Join(dir, "members"))
		for _, e := range entries {
			if name, ok := strings.CutSuffix(e.Name(), ".json"); ok && !slices.Contains(names, name) {
				names = append(names, name)
			}
		}
	}
	return names
}

// Durable is a member's promises; the zero value for a member that is not known.
func (h home) Durable(name string) (d member.Durable, err error) {
	return d, h.read(filepath.Join("members", name+".json"), &d)
}

// KeepDurable writes a member's promises.
func (h home) KeepDurable(name string, d member.Durable) error {
	return h.keep(filepath.Join("members", name+".json"), d)
}

// Resume is the record from which a restarted agent may continue; an unreadable one counts as none.
func (h home) Resume(name string) (t member.Resume) {
	if h.read(filepath.Join("tenures", name+".json"), &t) != nil {
		return member.Resume{}
	}
	return t
}

// KeepResume writes a member's resume record.
func (h home) KeepResume(name string, t member.Resume) error {
	return h.keep(filepath.Join("tenures", name+".json"), t)
}

// Forget removes the files of a member that was removed from the platform, its promises last.
func (h home) Forget(name string) error {
	for _, own := range []string{"tenures", "members"} {
		if err := h.copies.drop(filepath.Join(own, name+".json")); err != nil {
			return fmt.Errorf("forget %s: %w", name, err)
		}
		dir := filepath.Join(h.dir, own)
		if err := os.Remove(filepath.Join(dir, name+".json")); err != nil && !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("forget %s: %w", name, err)
		}
		if err := statefile.SyncDir(dir); err != nil {
			return err
		}
	}
	return nil
}
