package program

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func stream(t *testing.T, limit time.Duration, in io.Reader, out io.Writer, script string) (Ended, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	return Stream(ctx, Call{Path: "/bin/sh", Args: []string{"-c", script}}, in, out)
}

// slow takes its time with each part.
type slow struct {
	to   io.Writer
	each time.Duration
}

func (s slow) Write(p []byte) (int, error) {
	<-time.After(s.each)
	return s.to.Write(p)
}

func TestStream(t *testing.T) {
	large := bytes.Repeat([]byte("0123456789abcdef"), 200_000)
	var out bytes.Buffer
	if e, err := stream(t, patience, bytes.NewReader(large), &out, "cat; echo said >&2"); err != nil || e != (Ended{Stderr: "said\n"}) ||
		!bytes.Equal(out.Bytes(), large) {
		t.Errorf("%+v, %v, %d bytes", e, err, out.Len())
	}
	// What a program wrote before it ended is written, however slow the writer is.
	out.Reset()
	if e, err := stream(t, patience, nil, slow{&out, 700 * time.Millisecond}, "head -c 150000 /dev/zero"); err != nil || out.Len() != 150_000 {
		t.Errorf("%+v, %v, %d bytes", e, err, out.Len())
	}
	if e, err := stream(t, patience, bytes.NewReader(large), io.Discard, "exit 3"); err != nil || e.Code != 3 {
		t.Errorf("%+v, %v", e, err)
	}
	if e, err := stream(t, patience, bytes.NewReader(large), io.Discard, "head -c 5"); err == nil || e.Code != 0 ||
		!strings.Contains(err.Error(), "not read to the end") {
		t.Errorf("its input was not read: %+v, %v", e, err)
	}
	if _, err := Stream(t.Context(), Call{Path: "/nowhere/program"}, nil, io.Discard); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a program that is not there: %v", err)
	}
	broken := errors.New("broken")
	if _, err := stream(t, patience, io.MultiReader(strings.NewReader("a"), failing{broken}), io.Discard, "cat"); !errors.Is(err, broken) {
		t.Errorf("an input that breaks: %v", err)
	}
	if _, err := stream(t, patience, nil, failing{broken}, "echo a"); !errors.Is(err, broken) {
		t.Errorf("an output that breaks: %v", err)
	}
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error)  { return 0, f.err }
func (f failing) Write([]byte) (int, error) { return 0, f.err }

func TestStreamIsLate(t *testing.T) {
	for name, script := range map[string]string{
		"it reads nothing":              "sleep 600",
		"it writes without an end":      "exec cat /dev/zero",
		"its child has left the group":  "setsid sleep 5 & wait",
		"its child ignores its signals": "(trap '' TERM INT; sleep 600) & wait",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			begun := time.Now()
			_, err := stream(t, 300*time.Millisecond, endless{}, io.Discard, script)
			if took := time.Since(begun); !errors.Is(err, ErrLate) || took > patience {
				t.Errorf("after %v: %v", took, err)
			}
		})
	}
	// An output that another process holds open is none that has ended.
	away := filepath.Join(t.TempDir(), "away")
	script := "setsid sh -c 'echo yes >" + away + "; exec sleep 3' & until [ -s " + away + " ]; do :; done"
	if e, err := stream(t, patience, nil, io.Discard, script); err == nil || errors.Is(err, ErrLate) {
		t.Errorf("%+v, %v", e, err)
	}
}

type endless struct{}

func (endless) Read(p []byte) (int, error) { return len(p), nil }
