package kit

import (
	"errors"
	"fmt"
	"net"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"
)

// failing is a test that may fail without failing this one.
type failing struct {
	testing.TB
	said string
}

func (f *failing) Helper() {}
func (f *failing) Fatal(args ...any) {
	f.said = fmt.Sprint(args...)
	runtime.Goexit()
}
func (f *failing) Fatalf(format string, args ...any) { f.Fatal(fmt.Sprintf(format, args...)) }

// said runs work in a test of its own, and returns what it failed with.
func said(work func(t testing.TB)) string {
	f, done := &failing{}, make(chan struct{})
	go func() {
		defer close(done)
		work(f)
	}()
	<-done
	return f.said
}

func TestWithin(t *testing.T) {
	looks := 0
	Eventually(t, "the third look", func() bool { looks++; return looks == 3 })
	if looks != 3 {
		t.Errorf("%d looks", looks)
	}
	got := said(func(t testing.TB) { Within(t, time.Millisecond, "a miracle", func() bool { return false }) })
	if got != "not within 1ms: a miracle" {
		t.Errorf("it failed with %q", got)
	}
}

func TestCheck(t *testing.T) {
	if got := said(func(t testing.TB) { Check(t, nil) }); got != "" {
		t.Errorf("no error fails with %q", got)
	}
	if got := said(func(t testing.TB) { Check(t, errors.New("broken")) }); !strings.Contains(got, "broken") {
		t.Errorf("an error fails with %q", got)
	}
}

func TestFreeAddress(t *testing.T) {
	if _, err := net.Dial("tcp", FreeAddress(t)); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("%v", err)
	}
	l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", FreePort(t)))
	Check(t, err)
	l.Close()
}
