package archive

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"time"

	"mainstay/controller/platform"
	"mainstay/controller/postgres/ondisk"
	"mainstay/health/backup/target"
)

var segmentFile = regexp.MustCompile(`^[0-9A-F]{24}$`)

// Get is PostgreSQL's restore_command: it writes the segment or history of that name to a file. Where the archive has only the beginning of
// the segment, as the newest of its timeline, it is that with zeros behind. Other names, such as a backup's label, are never there.
//
// Its error is target.ErrNotThere where the target has no such file. PostgreSQL takes every failure of a restore_command for that, and
// ends its recovery early: so a target that cannot be reached is tried again until ctx ends, and the caller compares the end that was
// reached with the one that it wanted.
func Get(ctx context.Context, t Named, cluster, file, to string) error {
	if err := target.ValidName(cluster); err != nil {
		return err
	}
	again := time.NewTimer(0)
	defer again.Stop()
	for {
		<-again.C
		err := get(ctx, t, cluster, file, to)
		var of *target.Error
		if !errors.As(err, &of) || of.Reason() != target.Unreachable && of.Reason() != target.Slow {
			return err
		}
		if left, limited := ctx.Deadline(); ctx.Err() != nil || limited && time.Until(left) < retryEvery {
			return err
		}
		again.Reset(retryEvery)
	}
}

// retryEvery is the time between two tries to reach a target.
const retryEvery = time.Second

func get(ctx context.Context, t Named, cluster, file, to string) error {
	n := names{cluster}
	if h, ok := ondisk.ParseHistoryName(file); ok {
		return write(ctx, t, n.history(h), to, func(u io.Reader, w io.Writer) error {
			text, err := readHistory(u)
			if err != nil {
				return err
			}
			_, err = w.Write(text)
			return err
		})
	}
	if !segmentFile.MatchString(file) {
		return fmt.Errorf("%s: %w", file, target.ErrNotThere)
	}
	s, _ := ondisk.ParseSegment(file, 16<<20) // the timeline is the same for each size
	err := write(ctx, t, n.segment(s.Timeline, file), to, func(u io.Reader, w io.Writer) error {
		_, err := copySegment(u, w, file)
		return err
	})
	if !errors.Is(err, target.ErrNotThere) {
		return err
	}
	var size uint64
	if err := write(ctx, t, n.partial(s.Timeline, file), to, func(u io.Reader, w io.Writer) error {
		size, err = copySegment(u, w, file)
		return err
	}); err != nil {
		return err
	}
	if err := newest(ctx, t, n, file, size); err != nil {
		return errors.Join(err, os.Remove(to))
	}
	return nil
}

// newest is GapError where the segment behind is there: then the rest of this one is missing.
func newest(ctx context.Context, t Named, n names, file string, size uint64) error {
	s, _ := ondisk.ParseSegment(file, size)
	next := ondisk.Segment{Timeline: s.Timeline, Number: s.Number + 1}
	for _, object := range []string{n.segment(s.Timeline, next.Name(size)), n.partial(s.Timeline, next.Name(size))} {
		r, err := t.Get(ctx, object)
		if err == nil {
			return errors.Join(&GapError{Gap{t.Name, s.Timeline, file, file}}, r.Close())
		}
		if !errors.Is(err, target.ErrNotThere) {
			return err
		}
	}
	return nil
}

// write writes an object's content to a file, or leaves no file.
func write(ctx context.Context, t Named, object, to string, content func(io.Reader, io.Writer) error) (err error) {
	u, err := openPacked(ctx, t, object)
	if err != nil {
		return err
	}
	defer u.Close()
	f, err := os.OpenFile(to, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	if err := errors.Join(content(u, f), f.Close()); err != nil {
		return errors.Join(err, os.Remove(to))
	}
	return nil
}

// copySegment copies what must be the segment of that name, and returns its size.
func copySegment(r io.Reader, w io.Writer, name string) (size uint64, err error) {
	chunk := make([]byte, readAhead)
	n, err := io.ReadFull(r, chunk)
	if err != nil {
		return 0, short(name, err)
	}
	f, s, ok := ondisk.ParseFirstPage(chunk)
	if !ok || name[8:] != (ondisk.Segment{Timeline: s.Timeline, Number: s.Number}.Name(f.Segment))[8:] || s.Timeline > timelineOf(name) {
		return 0, fmt.Errorf("%s: %w: it is the segment at %s of timeline %d", name, ErrUnreadable,
			platform.LSN(s.Number*f.Segment), s.Timeline)
	}
	if _, err := w.Write(chunk[:n]); err != nil {
		return 0, err
	}
	rest, err := io.Copy(w, io.LimitReader(r, int64(f.Segment)))
	if err != nil {
		return 0, err
	}
	if uint64(n)+uint64(rest) != f.Segment {
		return 0, short(name, nil)
	}
	return f.Segment, nil
}

func timelineOf(name string) platform.Timeline {
	s, _ := ondisk.ParseSegment(name, 16<<20)
	return s.Timeline
}
