package apps

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

const (
	// mostLog is the size from which an app server's output is moved to the older file; startLog is that size before a start.
	mostLog  = 64 << 20
	startLog = mostLog / 2
)

// log is the file of a command's output. The command writes to it directly, so the output outlives the agent.
func (c *command) log() string { return filepath.Join(c.dir, "output.log") }

func (c *command) tidy(context.Context) error { return c.bound(mostLog) }

// bound limits the output: beyond most it replaces the one older file. The process continues to write at the end of its open file
// (O_APPEND), so the content is copied and truncated, not renamed; output written in between is lost.
func (c *command) bound(most int64) error {
	info, err := os.Stat(c.log())
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil || info.Size() <= most {
		return err
	}
	old := c.log() + ".1"
	if err := copyEnd(c.log(), old+".new", most); err != nil {
		return err
	}
	return errors.Join(os.Rename(old+".new", old), os.Truncate(c.log(), 0))
}

// copyEnd copies the last bytes of a file.
func copyEnd(from, to string, most int64) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	if _, err := in.Seek(-most, io.SeekEnd); err != nil {
		return err
	}
	out, err := os.OpenFile(to, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o640)
	if err != nil {
		return err
	}
	_, err = io.CopyN(out, in, most)
	return errors.Join(err, out.Close())
}
