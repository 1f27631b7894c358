package backup

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// A scratch instance has no network and no credentials, so it gets its WAL from this process: its restore_command writes the name of a file
// into one pipe and reads from another whether the file is there.
const (
	walFolder  = "w"
	askPipe    = "ask"
	answerPipe = "answer"
	walFile    = "file"
)

// restoreCommand ends with 1 for a file that is not there, and with 255 for any failure: that ends recovery, where 1 would have it promote
// with what it has. It opens the answer before it asks: a pipe without this process at its other end then gives no answer at all.
const restoreCommand = `exec 3<"$MAINSTAY_WAL/` + answerPipe + `" && echo %f >"$MAINSTAY_WAL/` + askPipe + `" ` +
	`&& read -r answer <&3 || exit 255; ` +
	`case $answer in here) mv "$MAINSTAY_WAL/` + walFile + `" %p || exit 255;; gone) exit 1;; *) exit 255;; esac`

// feeder answers a restore_command.
type feeder struct {
	run    *run
	wal    WAL
	root   *os.Root
	ask    *os.File
	answer *os.File
	w      *watch
	done   sync.WaitGroup

	mu  sync.Mutex
	err error // the first failure
}

// feed makes the pipes, and answers until close.
func (r *run) feed(ctx context.Context, wal WAL, w *watch) (f *feeder, err error) {
	dir := r.path(walFolder)
	if err := r.ownFolder(dir); err != nil {
		return nil, err
	}
	f = &feeder{run: r, wal: wal, w: w}
	if f.root, err = os.OpenRoot(dir); err != nil {
		return nil, err
	}
	for _, p := range []struct {
		name string
		file **os.File
	}{{askPipe, &f.ask}, {answerPipe, &f.answer}} {
		path := filepath.Join(dir, p.name)
		if err = r.as(func() error { return unix.Mkfifo(path, fileMode) }); err == nil {
			*p.file, err = f.root.OpenFile(p.name, os.O_RDWR|syscall.O_NONBLOCK|syscall.O_NOFOLLOW, 0)
		}
		if err != nil {
			f.close()
			return nil, err
		}
	}
	f.done.Go(func() { f.serve(ctx) })
	return f, nil
}

// close ends the answers and waits for the one that is being given: its context must have ended.
func (f *feeder) close() {
	for _, file := range []*os.File{f.ask, f.answer} {
		if file != nil {
			_ = file.Close()
		}
	}
	f.done.Wait()
	_ = f.root.Close()
}

func (f *feeder) serve(ctx context.Context) {
	for in := bufio.NewReader(f.ask); ; {
		name, err := in.ReadString('\n')
		if err != nil {
			return // closed
		}
		answer := "here\n"
		switch err := f.fetch(ctx, strings.TrimSpace(name)); {
		case errors.Is(err, ErrNotThere):
			answer = "gone\n"
		case err != nil:
			answer = "failed\n"
			f.fail(err)
		}
		if _, err := f.answer.WriteString(answer); err != nil {
			return
		}
	}
}

func (f *feeder) fail(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.err == nil {
		f.err = err
	}
}

// failure is why recovery could not have a file; nil for no reason.
func (f *feeder) failure() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.err
}

// fetch puts a file where the restore_command takes it from. It is not there before it is whole.
func (f *feeder) fetch(ctx context.Context, name string) error {
	f.w.touch()
	if err := f.root.Remove(walFile); err != nil && !os.IsNotExist(err) {
		return err
	}
	to, err := f.root.OpenFile(walFile, os.O_WRONLY|os.O_CREATE|os.O_EXCL|syscall.O_NOFOLLOW, fileMode)
	if err != nil {
		return err
	}
	err = f.wal.Fetch(ctx, name, &counted{to, f.w})
	if err = errors.Join(err, giveFile(to, f.run.Server.Owner), to.Close()); err != nil {
		return fmt.Errorf("fetch %s from the archive: %w", name, errors.Join(err, f.root.Remove(walFile)))
	}
	return nil
}

// counted tells a watch what is written.
type counted struct {
	io.Writer
	w *watch
}

func (c *counted) Write(b []byte) (int, error) {
	c.w.touch()
	return c.Writer.Write(b)
}

// releasePipes lets a restore_command end that waits at a pipe of a run that was killed.
func releasePipes(dir string) {
	for name, flag := range map[string]int{askPipe: os.O_RDONLY, answerPipe: os.O_WRONLY} {
		fd, err := unix.Open(filepath.Join(dir, name), flag|unix.O_NONBLOCK|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
		if err == nil { // opening it was enough
			_ = unix.Close(fd)
		}
	}
}
