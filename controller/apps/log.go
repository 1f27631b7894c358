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
	// mostLog is how much output of an app server is kept before it is moved away, startLog how much before a start.
	mostLog  = 64 << 20
	startLog = mostLog / 2
)

// log is where a command's output goes. Nobody but the kernel lies in between, so that it outlives the agent.
func (c *command) log() string { return filepath.Join(c.dir, "output.log") }

func (c *command) tidy(context.Context) error { return c.bound(mostLog) }

// bound keeps the output from growing without end: beyond most it becomes the one older output there is. The process writes
// on to the file it has, at its end (O_APPEND), so its content is copied and cut off, not renamed; what is written in between
// is lost.
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
