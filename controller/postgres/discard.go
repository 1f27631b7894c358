package postgres

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"mainstay/controller/platform"
)

// Discard is WAL past a fork that a rewind, a rebuild or a re-pointing would leave behind (S9).
type Discard struct {
	Timeline     platform.Timeline `json:"timeline"`
	From         platform.LSN      `json:"from"`
	To           platform.LSN      `json:"to"`
	Bytes        int64             `json:"bytes"`
	Transactions int               `json:"transactions"` // commits, prepared ones included
}

// CountWAL counts, on a stopped server, the WAL of a timeline from a position on. Nothing there is a zero count; a
// missing or unreadable segment is an error.
func (i *Instance) CountWAL(ctx context.Context, t platform.Timeline, from platform.LSN) (d Discard, err error) {
	defer i.wrap("count the WAL to discard of", &err)
	if err := i.stopped(); err != nil {
		return Discard{}, err
	}
	c, err := i.ControlData(ctx)
	if err != nil {
		return Discard{}, err
	}
	d = Discard{Timeline: t, From: from, To: from}
	var last record
	text, err := i.dump(ctx, t, from, func(r record) {
		last = r
		if r.rmgr == "Transaction" && strings.HasPrefix(r.desc, "COMMIT") {
			d.Transactions++
		}
	})
	if err != nil {
		return Discard{}, err
	}
	if last.start == 0 {
		none := &NoWALError{t, from, text}
		if none.None() {
			return d, nil
		}
		return Discard{}, none
	}
	d.To = last.end(c.BlockSize, c.SegmentSize)
	d.Bytes = int64(d.To - d.From)
	return d, nil
}

// Manifest describes a quarantine of WAL; it lies beside the segments as manifest.json.
type Manifest struct {
	Discard
	Member   string    `json:"member"`
	SystemID string    `json:"systemID"`
	Kept     time.Time `json:"kept"` // for people; nothing is decided by it
	Files    []File    `json:"files"`
}

// File is one kept file.
type File struct {
	Name   string `json:"name"`
	Size   int64  `json:"size"`
	SHA256 string `json:"sha256"`
}

// KeepWAL copies, on a stopped server, the segments that hold WAL of a timeline from a position on, and the timeline's
// history, into a new directory under dir, durably, and returns its path. Only after that may the WAL be discarded (S9).
// With nothing to keep, the path is "".
func (i *Instance) KeepWAL(ctx context.Context, dir string, t platform.Timeline, from platform.LSN) (path string, m Manifest, err error) {
	defer i.wrap("keep the WAL of", &err)
	m = Manifest{Member: i.Member, Kept: time.Now().UTC()}
	if m.Discard, err = i.CountWAL(ctx, t, from); err != nil || m.Bytes == 0 {
		return "", m, err
	}
	c, err := i.ControlData(ctx)
	if err != nil {
		return "", m, err
	}
	m.SystemID = c.SystemID
	path = filepath.Join(dir, fmt.Sprintf("%s-%s-timeline-%d-from-%s", i.Member, c.SystemID, t, strings.ReplaceAll(from.String(), "/", "-")))
	if exists(path) { // an earlier attempt got this far; its copy is whole
		return path, m, nil
	}
	if err := i.keepInto(ctx, path, &m, c.SegmentSize); err != nil {
		return "", m, err
	}
	return path, m, nil
}

func (i *Instance) keepInto(ctx context.Context, path string, m *Manifest, size uint64) (err error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
		return err
	}
	if err := removeLeftovers(path + ".tmp-"); err != nil {
		return err
	}
	tmp, err := os.MkdirTemp(filepath.Dir(path), filepath.Base(path)+".tmp-*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.RemoveAll(tmp))
		}
	}()
	for _, name := range m.sources(i, size) {
		if err := ctx.Err(); err != nil {
			return err
		}
		f, err := copyFile(filepath.Join(tmp, name), filepath.Join(i.walDir(), name))
		if err != nil {
			return err
		}
		m.Files = append(m.Files, f)
	}
	text, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return err
	}
	if err := (Owner{UID: uint32(os.Geteuid())}).writeFile(filepath.Join(tmp, "manifest.json"), text, 0o640); err != nil {
		return err
	}
	if err := os.Rename(tmp, path); err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}

// sources names the files to keep; the segment after the last is preallocated and holds nothing.
func (m *Manifest) sources(i *Instance, size uint64) []string {
	var names []string
	for n := uint64(m.From) / size; n <= uint64(m.To-1)/size; n++ {
		names = append(names, segment{m.Timeline, n}.name(size))
	}
	if exists(i.historyFile(m.Timeline)) {
		names = append(names, filepath.Base(i.historyFile(m.Timeline)))
	}
	return names
}

// copyFile copies durably and returns what it copied.
func copyFile(to, from string) (f File, err error) {
	in, err := os.Open(from)
	if err != nil {
		return File{}, err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o640)
	if err != nil {
		return File{}, err
	}
	sum := sha256.New()
	n, err := io.Copy(io.MultiWriter(out, sum), in)
	err = errors.Join(err, out.Sync(), out.Close())
	return File{Name: filepath.Base(to), Size: n, SHA256: hex.EncodeToString(sum.Sum(nil))}, err
}
