package target

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"mainstay/test/kit"
)

// content is size bytes that do not compress, other for each seed.
func content(seed uint64, size int) []byte {
	b := make([]byte, size)
	r := rand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8)})
	_, _ = r.Read(b)
	return b
}

func get(ctx context.Context, t Target, name string) (string, error) {
	r, err := t.Get(ctx, name)
	if err != nil {
		return "", err
	}
	defer r.Close()
	b, err := io.ReadAll(r)
	return string(b), err
}

func put(ctx context.Context, t Target, name, text string) (Receipt, error) {
	return t.Put(ctx, name, strings.NewReader(text), int64(len(text)))
}

// reasonOf is that of an error; a text that is none of an error's where it is of another type.
func reasonOf(err error) Reason {
	var e *Error
	if !errors.As(err, &e) {
		return Reason(fmt.Sprintf("an error of type %T", err))
	}
	return e.Reason()
}

// conform is what every kind of target does. It begins with nothing in it.
func conform(t *testing.T, to Target) {
	ctx := kit.Context(t, 2*kit.Patience)
	list := func(t *testing.T, prefix string, want ...Object) {
		t.Helper()
		all, err := to.List(ctx, prefix)
		if err != nil || fmt.Sprint(all) != fmt.Sprint(want) {
			t.Errorf("under %q: %v, %v; want %v", prefix, all, err, want)
		}
	}
	t.Run("nothing is there", func(t *testing.T) {
		list(t, "")
		list(t, "feed/wal/")
		if _, err := get(ctx, to, "feed/wal/x"); !errors.Is(err, ErrNotThere) || reasonOf(err) != NotThere {
			t.Error(err)
		}
		kit.Check(t, to.Remove(ctx, "feed/wal/x"))
	})
	t.Run("put", func(t *testing.T) {
		const sum = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824" // of hello
		want := Receipt{Target: "vault", Name: "feed/wal/00000001/one.zst", Size: 5, SHA256: sum}
		for range 2 { // the same content is a success
			if r, err := put(ctx, to, want.Name, "hello"); err != nil || r != want {
				t.Fatalf("%+v, %v", r, err)
			}
		}
		kit.Check(t, Verify(ctx, to, want))
		for _, other := range []string{"hallo", "hello, too", ""} {
			if r, err := put(ctx, to, want.Name, other); !errors.Is(err, ErrExists) || r != (Receipt{}) || reasonOf(err) != Exists {
				t.Errorf("%q over it: %+v, %v", other, r, err)
			}
		}
		if text, err := get(ctx, to, want.Name); err != nil || text != "hello" {
			t.Errorf("%q, %v", text, err)
		}
		list(t, "feed/wal/", Object{want.Name, 5})
	})
	t.Run("verify", func(t *testing.T) {
		right := kit.Must[Receipt](t)(put(ctx, to, "feed/verified", "some text"))
		longer, other, none := right, right, right
		longer.Size++
		other.SHA256 = strings.Repeat("0", 64)
		none.Name = "feed/none"
		for _, r := range []Receipt{longer, other} {
			if err := Verify(ctx, to, r); !errors.Is(err, ErrDamaged) || reasonOf(err) != Damaged ||
				!strings.Contains(err.Error(), "vault, feed/verified") {
				t.Error(err)
			}
		}
		if err := Verify(ctx, to, none); !errors.Is(err, ErrNotThere) {
			t.Error(err)
		}
		kit.Check(t, to.Remove(ctx, right.Name))
		if err := Verify(ctx, to, right); !errors.Is(err, ErrNotThere) {
			t.Error(err)
		}
	})
	t.Run("list", func(t *testing.T) {
		for _, name := range []string{"app/b", "app/a/2", "app/a/10", "app/a-b", "apple/c"} {
			kit.Must[Receipt](t)(put(ctx, to, name, name))
		}
		list(t, "app/", Object{"app/a-b", 7}, Object{"app/a/10", 8}, Object{"app/a/2", 7}, Object{"app/b", 5})
		list(t, "app/a/", Object{"app/a/10", 8}, Object{"app/a/2", 7})
		kit.Check(t, to.Remove(ctx, "app/a/10"))
		list(t, "app/a/", Object{"app/a/2", 7})
		kit.Check(t, to.Remove(ctx, "app/a/2"))
		list(t, "app/a/")
		list(t, "app/b/") // an object is no folder
	})
	t.Run("replace", func(t *testing.T) {
		for _, text := range []string{"first", "the second", "3"} {
			r, err := to.Replace(ctx, "feed/partial", strings.NewReader(text), -1)
			if err != nil || r.Size != int64(len(text)) {
				t.Fatalf("%+v, %v", r, err)
			}
			kit.Check(t, Verify(ctx, to, r))
		}
	})
	t.Run("empty", func(t *testing.T) {
		r := kit.Must[Receipt](t)(put(ctx, to, "feed/empty", ""))
		if text, err := get(ctx, to, "feed/empty"); err != nil || text != "" || r.Size != 0 {
			t.Errorf("%q, %v, %+v", text, err, r)
		}
		if _, err := put(ctx, to, "feed/empty", "no more"); !errors.Is(err, ErrExists) {
			t.Error(err)
		}
	})
	t.Run("large", func(t *testing.T) {
		for name, size := range map[string]int{"exact": 3 << 20, "larger than a part": 20<<20 + 7} {
			large := content(1, size)
			for _, given := range []int64{int64(size), -1} {
				object := fmt.Sprintf("feed/large%d-%d", size, given)
				r, err := to.Put(ctx, object, bytes.NewReader(large), given)
				if err != nil || r.Size != int64(size) {
					t.Fatalf("%s: %+v, %v", name, r, err)
				}
				if text, err := get(ctx, to, object); err != nil || text != string(large) {
					t.Errorf("%s: %d bytes are back, %v", name, len(text), err)
				}
				kit.Check(t, to.Remove(ctx, object))
			}
		}
	})
	t.Run("a source that fails", func(t *testing.T) {
		broken := errors.New("the disk is gone")
		for name, c := range map[string]struct {
			r    io.Reader
			size int64
		}{
			"an error":        {io.MultiReader(bytes.NewReader(content(2, 6<<20)), failing{broken}), -1},
			"an early error":  {failing{broken}, 7},
			"it is too short": {strings.NewReader("short"), 6},
			"it is too long":  {strings.NewReader("longer"), 5},
			"it is not empty": {strings.NewReader("x"), 0},
		} {
			_, err := to.Put(ctx, "feed/broken", c.r, c.size)
			if reasonOf(err) != Source || strings.Contains(name, "error") && !errors.Is(err, broken) {
				t.Errorf("%s: %v", name, err)
			}
		}
		if _, err := get(ctx, to, "feed/broken"); !errors.Is(err, ErrNotThere) {
			t.Error("a part of it is there:", err)
		}
	})
	t.Run("names", func(t *testing.T) {
		for _, name := range []string{"", "/", "/etc/passwd", "a//b", "a/", "../a", "a/../b", ".hidden", "a/.b", "a b", "ä", "a\nb", "-x/\x00",
			strings.Repeat("a", 201), strings.Repeat("a/", 300) + "a"} {
			_, err1 := put(ctx, to, name, "x")
			_, err2 := to.Replace(ctx, name, strings.NewReader("x"), 1)
			_, err3 := to.Get(ctx, name)
			for _, err := range []error{err1, err2, err3, to.Remove(ctx, name)} {
				if err == nil || strings.Contains(err.Error(), "\n") {
					t.Errorf("%q: %v", name, err)
				}
			}
		}
		for _, prefix := range []string{"a", "/", "../", "a/../"} {
			if all, err := to.List(ctx, prefix); err == nil {
				t.Errorf("under %q: %v", prefix, all)
			}
		}
		kit.Must[Receipt](t)(put(ctx, to, "A-z_0.9/--x", "x"))
	})
	t.Run("at once", func(t *testing.T) { atOnce(ctx, t, to) })
	t.Run("an ended context", func(t *testing.T) {
		ended, cancel := context.WithDeadline(ctx, time.Now().Add(-time.Second))
		defer cancel()
		_, err1 := put(ended, to, "feed/late", "late")
		_, err2 := to.Get(ended, "app/b")
		_, err3 := to.List(ended, "")
		for _, err := range []error{err1, err2, err3, to.Remove(ended, "app/b")} {
			if reasonOf(err) != Slow || !errors.Is(err, context.DeadlineExceeded) {
				t.Error(err)
			}
		}
		if text, err := get(ctx, to, "app/b"); err != nil || text != "app/b" {
			t.Error(text, err)
		}
	})
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

// atOnce has several put one name: all who get a receipt put the same content, and it is the one that is there.
func atOnce(ctx context.Context, t *testing.T, to Target) {
	var all sync.WaitGroup
	errs := make([]error, 6)
	for n := range errs {
		all.Go(func() { _, errs[n] = put(ctx, to, "feed/once", fmt.Sprint("content ", n%3)) })
	}
	all.Wait()
	text, err := get(ctx, to, "feed/once")
	kit.Check(t, err)
	for n, err := range errs {
		if same := text == fmt.Sprint("content ", n%3); same != (err == nil) || err != nil && !errors.Is(err, ErrExists) {
			t.Errorf("%q is there, %d: %v", text, n, err)
		}
	}
}
