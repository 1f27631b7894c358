package target

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"slices"
	"strings"
	"time"
)

// store is one kind of target. Names are valid. Its calls end with ctx, within ten seconds; moved is called whenever bytes have moved.
type store interface {
	// stat returns the size of an object, or ErrNotThere.
	stat(ctx context.Context, name string) (int64, error)
	// put stores r to its end, or nothing if r fails. Where there is an object and over is false, it returns ErrExists if it can tell.
	put(ctx context.Context, name string, r io.Reader, size int64, over bool, moved func()) error
	get(ctx context.Context, name string) (io.ReadCloser, error)
	list(ctx context.Context, prefix string, moved func()) ([]Object, error)
	remove(ctx context.Context, name string) error
}

// checked is what all kinds have in common: names, receipts, and patience.
type checked struct {
	store
	name     string
	patience time.Duration
	one      chan struct{} // holds a place for each object that may be stored at once; nil: any number
}

// enter waits for its turn to store an object; leave must be called after it.
func (c *checked) enter(ctx context.Context) (leave func(), err error) {
	if c.one == nil {
		return func() {}, nil
	}
	select {
	case c.one <- struct{}{}:
		return func() { <-c.one }, nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

func (c *checked) fail(doing, name string, err error) error {
	return &Error{Target: c.name, Name: name, Doing: doing, Err: err}
}

func (c *checked) Put(ctx context.Context, name string, r io.Reader, size int64) (Receipt, error) {
	return c.write(ctx, "put", name, r, size)
}

func (c *checked) Replace(ctx context.Context, name string, r io.Reader, size int64) (Receipt, error) {
	return c.write(ctx, "replace", name, r, size)
}

func (c *checked) write(ctx context.Context, doing, name string, r io.Reader, size int64) (Receipt, error) {
	if err := ValidName(name); err != nil {
		return Receipt{}, c.fail(doing, "", err)
	}
	leave, err := c.enter(ctx)
	if err != nil {
		return Receipt{}, c.fail(doing, name, err)
	}
	defer leave()
	watch := newWatch(ctx, c.patience)
	defer watch.end()
	in := newSummed(watch.source(r), size)
	made, err := c.upload(watch, name, in, size, doing == "replace")
	if err != nil {
		return Receipt{}, c.fail(doing, name, watch.why(err))
	}
	want := in.receipt(c.name, name)
	switch found, err := Sum(ctx, c, name); {
	case err != nil:
		return Receipt{}, fmt.Errorf("read back what was stored: %w", err)
	case found.Size == want.Size && found.SHA256 == want.SHA256:
		return want, nil
	case !made:
		return Receipt{}, c.fail(doing, name, ErrExists)
	default:
		err := fmt.Errorf("read back what was stored: %w", damaged(found, want))
		if left := c.Remove(ctx, name); left != nil {
			err = fmt.Errorf("%w, and it could not be removed (%w)", err, left)
		}
		return Receipt{}, c.fail(doing, name, err)
	}
}

// upload reads in to its end, also where there is an object already. made tells that the object is this call's.
func (c *checked) upload(w *watch, name string, in *summed, size int64, over bool) (made bool, err error) {
	if !over {
		_, err = c.stat(w.ctx, name)
		w.moved()
	}
	if over || errors.Is(err, ErrNotThere) {
		err = c.put(w.ctx, name, in, size, over, w.moved)
		if !errors.Is(err, ErrExists) {
			return err == nil, err
		}
		err = nil
	}
	if err == nil {
		_, err = io.Copy(io.Discard, in)
	}
	return false, err
}

func (c *checked) Get(ctx context.Context, name string) (io.ReadCloser, error) {
	if err := ValidName(name); err != nil {
		return nil, c.fail("get", "", err)
	}
	w := newWatch(ctx, c.patience)
	r, err := c.get(w.ctx, name)
	if err != nil {
		defer w.end()
		return nil, c.fail("get", name, w.why(err))
	}
	w.pause()
	return &watched{of: c, name: name, r: r, w: w}, nil
}

func (c *checked) List(ctx context.Context, prefix string) ([]Object, error) {
	if err := validPrefix(prefix); err != nil {
		return nil, c.fail("list", "", err)
	}
	w := newWatch(ctx, c.patience)
	defer w.end()
	all, err := c.list(w.ctx, prefix, w.moved)
	if err != nil {
		return nil, c.fail("list", prefix, w.why(err))
	}
	slices.SortFunc(all, func(a, b Object) int { return strings.Compare(a.Name, b.Name) })
	return all, nil
}

func (c *checked) Remove(ctx context.Context, name string) error {
	if err := ValidName(name); err != nil {
		return c.fail("remove", "", err)
	}
	w := newWatch(ctx, c.patience)
	defer w.end()
	if err := c.remove(w.ctx, name); err != nil && !errors.Is(err, ErrNotThere) {
		return c.fail("remove", name, w.why(err))
	}
	return nil
}

// watch ends its context once nothing has moved for some time.
type watch struct {
	ctx      context.Context
	cancel   context.CancelCauseFunc
	patience time.Duration
	timer    *time.Timer
}

func newWatch(ctx context.Context, patience time.Duration) *watch {
	w := &watch{patience: patience}
	w.ctx, w.cancel = context.WithCancelCause(ctx)
	w.timer = time.AfterFunc(patience, func() { w.cancel(fmt.Errorf("%w for %v", errStalled, patience)) })
	return w
}

func (w *watch) moved() { w.timer.Reset(w.patience) }
func (w *watch) pause() { w.timer.Stop() }

func (w *watch) end() {
	w.timer.Stop()
	w.cancel(nil)
}

// why adds what ended the context to an error that came of that.
func (w *watch) why(err error) error {
	if cause := context.Cause(w.ctx); cause != nil && !errors.Is(err, cause) {
		return fmt.Errorf("%w (%w)", cause, err)
	}
	return err
}

// source does not count the time that the caller's own reader takes.
func (w *watch) source(r io.Reader) io.Reader { return &unhurried{r, w} }

type unhurried struct {
	r io.Reader
	w *watch
}

func (u *unhurried) Read(p []byte) (int, error) {
	if err := context.Cause(u.w.ctx); err != nil {
		return 0, err
	}
	u.w.pause()
	defer u.w.moved()
	n, err := u.r.Read(p)
	if err != nil && err != io.EOF {
		err = &sourceError{err}
	}
	return n, err
}

// watched is an object that is being read: time runs only while its reader waits.
type watched struct {
	of   *checked
	name string
	r    io.ReadCloser
	w    *watch
}

func (o *watched) Read(p []byte) (int, error) {
	if err := context.Cause(o.w.ctx); err != nil {
		return 0, o.of.fail("get", o.name, err)
	}
	o.w.moved()
	n, err := o.r.Read(p)
	o.w.pause()
	if err != nil && err != io.EOF {
		err = o.of.fail("get", o.name, o.w.why(err))
	}
	return n, err
}

func (o *watched) Close() error {
	o.w.end()
	return o.r.Close()
}

// summed counts and sums what is read through it. At the end of a reader that has another length than it should, it fails.
type summed struct {
	r    io.Reader
	want int64 // -1: unknown
	n    int64
	sum  hash.Hash
}

func newSummed(r io.Reader, want int64) *summed { return &summed{r: r, want: want, sum: sha256.New()} }

func (s *summed) Read(p []byte) (int, error) {
	n, err := s.r.Read(p)
	s.n += int64(n)
	s.sum.Write(p[:n])
	if s.n == s.want && err == nil { // a store that knows the size may not ask for more
		var more [1]byte
		var extra int
		extra, err = io.ReadFull(s.r, more[:])
		s.n += int64(extra)
	}
	if s.want >= 0 && (s.n > s.want || err == io.EOF && s.n < s.want) {
		return 0, &sourceError{fmt.Errorf("it has another size than the %d bytes that were said", s.want)}
	}
	return n, err
}

func (s *summed) receipt(target, name string) Receipt {
	return Receipt{Target: target, Name: name, Size: s.n, SHA256: hex.EncodeToString(s.sum.Sum(nil))}
}
