package target

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"mainstay/fencing/program"
)

// Exec is a target behind an operator's own programs. Each has an absolute path and arguments, in which {name} stands for the name of an
// object. A program ends with status 0 if it did what it should; else the last line of its standard error is shown. One object is stored
// at a time. Programs know no condition: of several processes that Put other contents under one name at once, all may fail.
type Exec struct {
	Put    []string // stores its standard input as {name}, in the place of any object of that name
	Get    []string // writes the object {name} to its standard output
	List   []string // writes a line "SIZE NAME" for each object whose name begins with {name}, which may be empty; SIZE in bytes
	Remove []string // makes that there is no object {name}
}

const (
	placeholder = "{name}"
	tidying     = 4 * time.Second // for the removal of what was not finished
)

func (e *Exec) check() error {
	for name, command := range map[string][]string{"put": e.Put, "get": e.Get, "list": e.List, "remove": e.Remove} {
		switch {
		case len(command) == 0:
			return fmt.Errorf("it has no program to %s: give one", name)
		case !filepath.IsAbs(command[0]):
			return fmt.Errorf("its program to %s is %q: give the absolute path", name, command[0])
		case name != "list" && !strings.Contains(strings.Join(command[1:], " "), placeholder):
			return fmt.Errorf("its program to %s is not told the object: give an argument with %s", name, placeholder)
		}
	}
	return nil
}

// programs keeps objects by an operator's programs.
type programs struct{ conf Exec }

// failedError is a program that did not do its part.
type failedError struct {
	path, said string
	code       int   // -1: a signal
	err        error // nil if it ended badly
}

func (e *failedError) Unwrap() error { return e.err }

func (e *failedError) Error() string {
	how := fmt.Sprintf("%s ended with status %d", e.path, e.code)
	switch {
	case e.err != nil:
		return e.path + ": " + e.err.Error()
	case e.code < 0:
		how = e.path + " was ended by a signal"
	}
	if e.said == "" {
		return how + " and said nothing"
	}
	return how + ": " + e.said
}

func (e *failedError) reason() Reason { return Failed }

// run executes one of the programs; its error is nil if it did its part.
func (p *programs) run(ctx context.Context, command []string, name string, in io.Reader, out io.Writer) error {
	call := program.Call{Path: command[0]}
	for _, arg := range command[1:] {
		call.Args = append(call.Args, strings.ReplaceAll(arg, placeholder, name))
	}
	ended, err := program.Stream(ctx, call, in, out)
	switch {
	case ctx.Err() != nil:
		return err
	case err != nil:
		return &failedError{path: call.Path, err: err}
	case ended.Code != 0:
		return &failedError{path: call.Path, said: lastLine(ended.Stderr), code: ended.Code}
	}
	return nil
}

// lastLine is the last that says something, of up to 300 bytes.
func lastLine(s string) string {
	s = strings.TrimSpace(s)
	s = s[strings.LastIndexByte(s, '\n')+1:]
	return s[:min(len(s), 300)]
}

// moving tells of each byte that was written.
type moving struct {
	io.Writer
	moved func()
}

func (m moving) Write(p []byte) (int, error) {
	m.moved()
	return m.Writer.Write(p)
}

func (p *programs) stat(ctx context.Context, name string) (int64, error) {
	all, err := p.begin(ctx, name, func() {})
	if err != nil {
		return 0, err
	}
	for _, o := range all {
		if o.Name == name {
			return o.Size, nil
		}
	}
	return 0, ErrNotThere
}

func (p *programs) put(ctx context.Context, name string, r io.Reader, _ int64, _ bool, _ func()) error {
	broken := &breaking{r: r}
	err := p.run(ctx, p.conf.Put, name, broken, io.Discard)
	if broken.err != nil { // the program took the end of what it was given for the object's
		err = broken.err
	}
	if err == nil {
		return nil
	}
	// A part of the object may be there, and would be in the way of all further tries.
	late, cancel := context.WithTimeout(context.WithoutCancel(ctx), tidying)
	defer cancel()
	if removed := p.remove(late, name); removed != nil {
		return fmt.Errorf("%w, and what was stored of it could not be removed (%w)", err, removed)
	}
	return err
}

// breaking keeps the error of a reader.
type breaking struct {
	r   io.Reader
	err error
}

func (b *breaking) Read(p []byte) (int, error) {
	n, err := b.r.Read(p)
	if err != nil && err != io.EOF {
		b.err = err
	}
	return n, err
}

// get asks the list only where the program gives nothing: what a program says when there is no such object is not known.
func (p *programs) get(ctx context.Context, name string) (io.ReadCloser, error) {
	ctx, cancel := context.WithCancel(ctx)
	read, write := io.Pipe()
	o := &output{Reader: bufio.NewReaderSize(read, 64<<10), pipe: read, cancel: cancel, done: make(chan struct{})}
	go func() {
		defer close(o.done)
		write.CloseWithError(p.run(ctx, p.conf.Get, name, nil, write))
	}()
	_, err := o.Peek(1)
	if err == nil {
		return o, nil
	}
	if ctx.Err() == nil {
		if _, listed := p.stat(ctx, name); errors.Is(listed, ErrNotThere) {
			err = ErrNotThere
		} else if err == io.EOF {
			err = listed
		}
	}
	if err != nil {
		return nil, errors.Join(err, o.Close())
	}
	return o, nil
}

// output is that of a program which gives an object.
type output struct {
	*bufio.Reader
	pipe   *io.PipeReader
	cancel context.CancelFunc
	done   chan struct{} // closed when the program has ended
}

// Close ends the program, if it has not ended.
func (o *output) Close() error {
	o.cancel()
	err := o.pipe.Close()
	<-o.done
	return err
}

func (p *programs) list(ctx context.Context, prefix string, moved func()) ([]Object, error) {
	return p.begin(ctx, prefix, moved)
}

// begin lists the objects whose names begin with a text.
func (p *programs) begin(ctx context.Context, text string, moved func()) (all []Object, err error) {
	var out bytes.Buffer
	if err := p.run(ctx, p.conf.List, text, nil, moving{&out, moved}); err != nil {
		return nil, err
	}
	for line := range strings.Lines(out.String()) {
		line = strings.TrimRight(line, "\r\n")
		size, name, _ := strings.Cut(strings.TrimLeft(line, " "), " ")
		n, err := strconv.ParseInt(size, 10, 64)
		if err != nil || n < 0 || ValidName(name) != nil {
			return nil, fmt.Errorf("%s wrote the line %.100q: want the size and the name of an object", p.conf.List[0], line)
		}
		if strings.HasPrefix(name, text) {
			all = append(all, Object{name, n})
		}
	}
	return all, nil
}

func (p *programs) remove(ctx context.Context, name string) error {
	err := p.run(ctx, p.conf.Remove, name, nil, io.Discard)
	if err == nil || ctx.Err() != nil {
		return err
	}
	if _, listed := p.stat(ctx, name); errors.Is(listed, ErrNotThere) {
		return nil
	}
	return err
}
