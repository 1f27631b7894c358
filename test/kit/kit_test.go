package kit

import (
	"errors"
	"fmt"
	"net"
	"os"
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

func TestWorkOf(t *testing.T) {
	log := t.TempDir() + "/log"
	Check(t, os.WriteFile(log, []byte(`2026-05-04 03:02:01 UTC [7] LOG:  starting PostgreSQL 15.13 on x86_64
2026-05-04 03:02:01 UTC [8] LOG:  checkpoint starting: end-of-recovery immediate wait
2026-05-04 03:02:01 UTC [8] LOG:  checkpoint starting: immediate force wait
2026-05-04 03:02:01 UTC [8] LOG:  checkpoint starting: fast force wait
2026-05-04 03:02:01 UTC [8] LOG:  checkpoint starting: force
2026-05-04 03:02:01 UTC [8] LOG:  checkpoint starting: time
2026-05-04 03:02:01 UTC [8] LOG:  restartpoint starting: time
2026-05-04 03:02:01 UTC [9] LOG:  received replication command: BASE_BACKUP ( LABEL 'x' )
2026-05-04 03:02:01 UTC [9] LOG:  received replication command: START_REPLICATION 0/3000000 TIMELINE 1
2026-05-04 03:02:02 UTC [7] LOG:  starting PostgreSQL 15.13 on x86_64
`), 0o600))
	if got, want := WorkOf(t, log, log+".absent"), (Work{Starts: 2, Forced: 3, Backups: 1}); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
	if got := (Work{3, 4, 5}).Since(Work{1, 1, 1}); got != (Work{2, 3, 4}) {
		t.Errorf("%+v", got)
	}
}
