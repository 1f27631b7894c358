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

// bootDir is where the copies of all folders lie; "" for nowhere.
var bootDir = boottime.Memory("mainstay-agent")

// bootCopy is the folder of the copies of what an agent has kept since the host was booted; "" for none. An agent's folder that is
// put back from an older state of itself (a backup, a snapshot of the volume) has forgotten seals that a promotion rests on, and the
// agent would promise again what it must not (S1, S3): whichever it is, the copy is what counts. It is written before the folder's
// own file, so it is never the older one, and what it knows beyond that was not acted upon; where it cannot be written it is removed.
//
// It cannot tell where the host was booted since, or where all of the machine was put back, memory too. A folder that was wiped is
// another one, with no copies: its agent knows nothing, and is told so.
type bootCopy string

// folderID tells a folder, and what is put back of it, from every other one.
type folderID struct {
	ID string `json:"id"`
}

// openBootCopy finds the copies of the folder, and removes those of folders that are gone. Where none can be made the agent does
// without; it is refused only where old ones can be neither brought up to date nor removed.
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

// clearCopies removes the copies of other boots, and of folders that are not there any more. What cannot be removed is left.
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

// get is nil where there is no copy.
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

// read is what was kept in a file of the folder last. Where its copy says otherwise, the file is put right first.
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

// keep writes a file of the folder, its copy first. A file that could not be written may be there all the same, or not: then no copy
// says which.
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
