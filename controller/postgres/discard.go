package postgres

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"

	"mainstay/controller/durable"
	"mainstay/controller/platform"
)

// Discard is WAL past a fork that a rewind, a rebuild or a re-pointing would leave behind (S9).
type Discard struct {
	Timeline     platform.Timeline `json:"timeline"`
	From         platform.LSN      `json:"from"`
	To           platform.LSN      `json:"to"`
	Bytes        int64             `json:"bytes"`
	Transactions int               `json:"transactions"` // commits, prepared ones included
	Size         int64             `json:"size"`         // bytes on disk of the segments that hold it
}

// CountWAL counts, on a stopped server, the WAL of a timeline from a position on. Nothing there is a zero count; a
// missing or unreadable segment is an error.
func (i *Server) CountWAL(ctx context.Context, t platform.Timeline, from platform.LSN) (d Discard, err error) {
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
		if r.commits() {
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
	first, end := uint64(d.From)/c.SegmentSize, (uint64(d.To)+c.SegmentSize-1)/c.SegmentSize
	d.Size = int64((end - first) * c.SegmentSize)
	return d, nil
}

// manifest lies beside kept segments as manifest.json, to check the copies by.
type manifest struct {
	Discard
	SystemID string `json:"systemID"`
	Files    []File `json:"files"`
}

// File is one kept file.
type File struct {
	Name   string `json:"name"`
	Size   int64  `json:"size"`
	SHA256 string `json:"sha256"`
}

// RecordFile is the name of the record beside the kept files.
const RecordFile = "record.json"

// KeepWAL copies, on a stopped server, the segments that hold the WAL to be discarded (as counted by CountWAL), and the
// timeline's history, into the new directory path, durably, and the caller's record with them. Only after that may the WAL
// be discarded (S9). The directory appears whole or not at all, and is ours: the data's owner, whose pg_waldump reads the WAL in it,
// must not be able to change the record that an operator reads, or the files that a drop removes.
func (i *Server) KeepWAL(ctx context.Context, path string, d Discard, record []byte) (err error) {
	defer i.wrap("keep the WAL of", &err)
	if err := i.stopped(); err != nil {
		return err
	}
	c, err := i.ControlData(ctx)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	if err := ourselves().removeLeftovers(path + ".tmp-"); err != nil {
		return err
	}
	tmp, err := os.MkdirTemp(filepath.Dir(path), filepath.Base(path)+".tmp-*")
	if err != nil {
		return err
	}
	if err := i.keepInto(ctx, tmp, manifest{Discard: d, SystemID: c.SystemID}, c.SegmentSize, record); err != nil {
		return errors.Join(err, os.RemoveAll(tmp))
	}
	if err := os.Rename(tmp, path); err != nil {
		return errors.Join(err, os.RemoveAll(tmp))
	}
	return durable.SyncDir(filepath.Dir(path))
}

func (i *Server) keepInto(ctx context.Context, tmp string, m manifest, size uint64, record []byte) error {
	for _, name := range m.sources(i, size) {
		if err := ctx.Err(); err != nil {
			return err
		}
		f, err := i.Owner.copyFile(filepath.Join(tmp, name), filepath.Join(i.wal().dir(), name))
		if err != nil {
			return err
		}
		m.Files = append(m.Files, f)
	}
	text, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return err
	}
	us := ourselves()
	return errors.Join(us.writeFile(filepath.Join(tmp, "manifest.json"), text, 0o640),
		us.writeFile(filepath.Join(tmp, RecordFile), record, 0o640), os.Chmod(tmp, 0o755))
}

// sources names the files to keep; the segment after the last is preallocated and holds nothing.
func (m manifest) sources(i *Server, size uint64) []string {
	var names []string
	for n := uint64(m.From) / size; n <= uint64(m.To-1)/size; n++ {
		names = append(names, segment{m.Timeline, n}.name(size))
	}
	if exists(i.wal().historyFile(m.Timeline)) {
		names = append(names, filepath.Base(i.wal().historyFile(m.Timeline)))
	}
	return names
}

// copyFile copies a file of the owner's into a directory of ours, durably, and returns what it copied.
func (o Owner) copyFile(to, from string) (f File, err error) {
	in, err := o.open(from)
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
	err = errors.Join(err, o.own(out), out.Sync(), out.Close())
	return File{Name: filepath.Base(to), Size: n, SHA256: hex.EncodeToString(sum.Sum(nil))}, err
}
