package agent

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"go.uber.org/zap"

	"mainstay/controller/boottime"
	"mainstay/controller/statefile"
)

// bootDir is the parent of the copies of all folders; "" for none.
var bootDir = boottime.Memory("mainstay-agent")

// bootCopy is a folder with copies of the files that an agent has written since the host booted; "" for none. If the agent's folder is
// restored to an older state (from a backup or a snapshot of the volume), it lacks seals that a promotion rests on, and the agent would
// break its promises (S1, S3). So the copy always takes precedence over the file. It is written before the file, so it is never the
// older of the two; the agent has not acted on anything that only the copy has. A copy that cannot be written is removed.
//
// It detects nothing after a reboot, nor if the whole machine was restored with its memory. A wiped folder gets a new ID and has no
// copies: its agent knows nothing, and the controllers treat it so.
type bootCopy string

// folderID distinguishes a folder, and its restored copies, from every other one.
type folderID struct {
	ID string `json:"id"`
}

// openBootCopy finds the copies of the folder, and removes those of folders that no longer exist. If no copies can be made the agent
// runs without them; it refuses to start only if old copies can be neither updated nor removed.
func openBootCopy(folder string, log *zap.Logger) (bootCopy, error) {
	var own folderID
	path := filepath.Join(folder, "folder.json")
	if err := statefile.Read(path, &own); err != nil {
		return "", err
	}
	if own.ID == "" {
		b := make([]byte, 16)
		if _, err := rand.Read(b); err != nil {
			return "", err
		}
		own.ID = hex.EncodeToString(b)
		if err := statefile.Write(path, own); err != nil {
			return "", err
		}
	}
	if own.ID != filepath.Base(own.ID) {
		return "", fmt.Errorf("%s is damaged (%q is not a folder name); restore it, or move the agent's whole folder away", path, own.ID)
	}
	if bootDir == "" {
		return "", nil
	}
	clearCopies()
	c := bootCopy(filepath.Join(bootDir, own.ID))
	folder, err := filepath.Abs(folder)
	if err == nil {
		err = c.put("of", []byte(folder))
	}
	if err == nil {
		return c, nil
	}
	if gone := os.RemoveAll(string(c)); gone != nil {
		return "", fmt.Errorf("copies in memory can be neither written nor removed: %w; %w; check that folder's free space and owner", err, gone)
	}
	log.Warn("the agent keeps no copies of its promises in memory: it would not notice if its folder were restored from an older copy",
		zap.Error(err))
	return "", nil
}

// clearCopies removes the copies of other boots, and of folders that no longer exist. It ignores those that it cannot remove.
func clearCopies() {
	boots, _ := os.ReadDir(filepath.Dir(bootDir))
	for _, boot := range boots {
		if boot.Name() != filepath.Base(bootDir) {
			_ = os.RemoveAll(filepath.Join(filepath.Dir(bootDir), boot.Name()))
		}
	}
	folders, _ := os.ReadDir(bootDir)
	for _, f := range folders {
		copies := filepath.Join(bootDir, f.Name())
		folder, err := os.ReadFile(filepath.Join(copies, "of"))
		if err != nil {
			continue
		}
		if _, err := os.Stat(string(folder)); errors.Is(err, os.ErrNotExist) {
			_ = os.RemoveAll(copies)
		}
	}
}

// get returns nil if there is no copy.
func (c bootCopy) get(name string) ([]byte, error) {
	if c == "" {
		return nil, nil
	}
	b, err := os.ReadFile(filepath.Join(string(c), name))
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	return b, err
}

// put needs no sync: the copy has to outlive processes only.
func (c bootCopy) put(name string, b []byte) error {
	path := filepath.Join(string(c), name)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	if err := os.WriteFile(path+".new", b, 0o600); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}

func (c bootCopy) drop(name string) error {
	if c == "" {
		return nil
	}
	if err := os.Remove(filepath.Join(string(c), name)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

// read returns the last written content of a file in the folder. If the copy differs from the file, the file is corrected first.
func (h home) read(name string, v any) error {
	path := filepath.Join(h.dir, name)
	kept, err := h.copies.get(name)
	if err != nil {
		return err
	}
	now, err := os.ReadFile(path)
	if kept == nil { // of an earlier boot, or of an agent that made no copies
		if errors.Is(err, os.ErrNotExist) {
			return nil
		}
		if err == nil {
			err = statefile.Decode(path, now, v)
		}
		if err == nil && h.copies != "" {
			_ = h.copies.put(name, now)
		}
		return err
	}
	if err != nil || !bytes.Equal(now, kept) {
		h.log.Warn(
			"a file in the agent's folder differs from what the agent last wrote; it is corrected from the copy in memory. "+
				"Was the folder restored from a backup or a snapshot?",
			zap.String("file", path), zap.Error(err))
		if err := statefile.WriteBytes(path, kept); err != nil {
			return err
		}
	}
	return statefile.Decode(filepath.Join(string(h.copies), name), kept, v)
}

// keep writes a file of the folder, its copy first. After a failed write the file may be the old or the new one, so its copy is
// removed.
func (h home) keep(name string, v any) error {
	b, err := statefile.Encode(v)
	if err != nil {
		return err
	}
	if h.copies != "" {
		if h.copies.put(name, b) != nil {
			if err := h.copies.drop(name); err != nil {
				return err
			}
		}
	}
	if err := statefile.WriteBytes(filepath.Join(h.dir, name), b); err != nil {
		return errors.Join(err, h.copies.drop(name))
	}
	return nil
}
