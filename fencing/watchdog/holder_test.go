package watchdog

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"mainstay/controller/boottime"
	"mainstay/controller/platform"
	"mainstay/fencing/guard"
	"mainstay/fencing/process"
	"mainstay/fencing/process/fakepg"
)

// driversFile names, beside the test binary's copy, the file in which the stand-in of a device notes what is done to it.
const driversFile = "driver"

// The test binary is all the programs of these tests: holder, guards and fake postgres. The holder is the real one, but for
// the device, of which a machine for tests has none.
func TestMain(m *testing.M) {
	fakepg.Main()
	if len(os.Args) > 2 && os.Args[2] == "watchdog" {
		exe, _ := os.Executable()
		os.Exit(run(func(string) (driver, error) { return openNoted(filepath.Join(filepath.Dir(exe), driversFile)) }))
	}
	if len(os.Args) > 1 && os.Args[1] == "guard" {
		os.Exit(guard.Main(os.Args[2:]))
	}
	os.Exit(m.Run())
}

// noted is a driver that notes each ping, each timeout and its closing, with the time.
type noted struct {
	*fakeDriver
	file *os.File
}

func openNoted(path string) (driver, error) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		return nil, fmt.Errorf("there is none: %w", unix.ENOENT)
	}
	c := noted{&fakeDriver{options: usual, seconds: 60}, f}
	return c, c.note("open", 0)
}

func (c noted) note(what string, n int) error {
	_, err := fmt.Fprintf(c.file, "%s %d %d\n", what, n, boottime.Now())
	return err
}

func (c noted) setTimeout(seconds int) error { c.seconds = seconds; return c.note("timeout", seconds) }

func (c noted) Write(b []byte) (int, error) {
	if string(b) == "V" {
		return 1, c.note("stop", 0)
	}
	return 1, c.note("feed", 0)
}

func (c noted) Close() error { return c.file.Close() }

// counter is the stand-in read back: when the host would have been reset.
type counter struct {
	opened, pings, stops int
	timeout, pinged      time.Duration
	ran                  bool
}

func (c counter) reset() time.Duration { return c.pinged + c.timeout }

// bed is a host with one member and the holder of its watchdog.
type bed struct {
	*testing.T
	dir    string
	client *Client
	guards guard.Options
	pg     *fakepg.Server
}

func newBed(t *testing.T, withCard bool) *bed {
	t.Helper()
	t.Parallel()                           // they wait, mostly
	dir, err := os.MkdirTemp("", "ms-wd-") // a socket's path is short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	exe := filepath.Join(dir, "program")
	own, _ := os.Executable()
	if err := os.Link(own, exe); err != nil { // its folder says where the driver is
		if b, err := os.ReadFile(own); err != nil || os.WriteFile(exe, b, 0o755) != nil {
			t.Fatal(err)
		}
	}
	b := &bed{T: t, dir: dir, client: &Client{Executable: exe, Dir: filepath.Join(dir, "wd"), Device: "/dev/stand-in"}}
	b.guards = guard.Options{Executable: exe, Dir: filepath.Join(dir, "g"), Member: "feed-e1", DataDir: filepath.Join(dir, "data")}
	if err := os.Mkdir(b.guards.DataDir, 0o700); err != nil {
		t.Fatal(err)
	}
	b.pg = fakepg.Start(t, fakepg.Options{DataDir: b.guards.DataDir})
	if withCard {
		b.plug()
	}
	return b
}

func (b *bed) plug() {
	b.Helper()
	if err := os.WriteFile(filepath.Join(b.dir, driversFile), nil, 0o600); err != nil {
		b.Fatal(err)
	}
}

func (b *bed) counter() (c counter) {
	b.Helper()
	f, err := os.Open(filepath.Join(b.dir, driversFile))
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		var what string
		var n int
		var at time.Duration
		if _, err := fmt.Sscan(lines.Text(), &what, &n, &at); err != nil {
			b.Fatalf("the driver noted %q", lines.Text())
		}
		switch what {
		case "open":
			c.opened, c.ran, c.pinged = c.opened+1, true, at
		case "timeout":
			c.timeout, c.pinged = time.Duration(n)*time.Second, at
		case "feed":
			c.pings, c.pinged = c.pings+1, at
		case "stop":
			c.stops, c.ran = c.stops+1, false
		}
	}
	return c
}

// start starts or takes up the guards, and ends them with the test.
func (b *bed) start() *guard.Set {
	b.Helper()
	set, err := guard.Start(b.Context(), b.guards)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(set.Close)
	for _, pid := range b.pids(set) {
		fakepg.EndWithTest(b.T, pid)
	}
	return set
}

func (b *bed) pids(set *guard.Set) [2]int {
	b.Helper()
	st, err := set.Status()
	if err != nil {
		b.Fatal(err)
	}
	return [2]int{st.Guards[0].PID, st.Guards[1].PID}
}

// wish of a device that counts 2 s, with the guards watched.
func (b *bed) wish(set *guard.Set) Wish {
	w := Wish{On: true, Timeout: 2 * time.Second}
	if set != nil {
		w.Guards = map[string]Guards{"feed-e1": {Dir: b.guards.Dir, PIDs: b.pids(set)}}
	}
	return w
}

func (b *bed) tell(w Wish) Status {
	b.Helper()
	st, err := b.client.Tell(b.Context(), w)
	if err != nil {
		b.Fatal(err)
	}
	if st.PID != 0 {
		fakepg.EndWithTest(b.T, st.PID)
	}
	return st
}

// armed waits until the holder holds the device.
func (b *bed) armed(w Wish) (st Status) {
	b.Helper()
	b.eventually("the watchdog is armed", func() bool { st = b.tell(w); return st.Armed })
	return st
}

func (b *bed) eventually(what string, ok func() bool) {
	b.Helper()
	for deadline := time.Now().Add(10 * time.Second); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			b.Fatalf("never: %s; the driver: %+v", what, b.counter())
		}
	}
}

// renew renews a lease of 3 s until the test is done with it, and returns its present end.
func (b *bed) renew(set *guard.Set) (end func() time.Duration, stop func()) {
	b.Helper()
	var last atomic.Int64
	once := func() {
		until := boottime.Now() + 3*time.Second
		if set.Extend("1.1", until) == nil {
			last.Store(int64(until))
		}
	}
	once()
	done, over := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(over)
		for {
			select {
			case <-done:
				return
			case <-time.After(100 * time.Millisecond):
				once()
			}
		}
	}()
	var stopped atomic.Bool
	stop = func() {
		if stopped.CompareAndSwap(false, true) {
			close(done)
			<-over
		}
	}
	b.Cleanup(stop)
	return func() time.Duration { return time.Duration(last.Load()) }, stop
}

// survives checks that the host is pinged past a moment.
func (b *bed) survives(what string, moment time.Duration) {
	b.Helper()
	b.eventually("pinged past "+what, func() bool {
		now := boottime.Now() // before what was pinged is read: this test may be the slow one
		c := b.counter()
		if c.ran && c.reset() < now {
			b.Fatalf("%s: the host would have been reset at %s, it is %s", what, c.reset(), now)
		}
		return c.pinged > moment
	})
}

// TestGuardsThatHang: while leases are renewed the host is pinged; once its guards hang, it resets by end + K.
func TestGuardsThatHang(t *testing.T) {
	b := newBed(t, true)
	set := b.start()
	st := b.armed(b.wish(set))
	if st.Timeout != 2*time.Second || st.Watched["feed-e1"] != b.pids(set) || !strings.Contains(st.Identity, "Software") {
		t.Errorf("got %+v", st)
	}
	end, stop := b.renew(set)
	b.survives("the first lease", end()+platform.GuardKill)
	for _, pid := range b.pids(set) {
		if err := unix.Kill(pid, unix.SIGSTOP); err != nil {
			t.Fatal(err)
		}
	}
	stop()
	due := b.due(b.tell(b.wish(nil)).Watched["feed-e1"])
	b.eventually("the end of the lease", func() bool { return boottime.Now() > due+50*time.Millisecond })
	if c := b.counter(); c.reset() > due || !c.ran {
		t.Errorf("the host would reset at %s, want by %s: %+v", c.reset(), due, c)
	}
	if len(b.pg.Alive()) == 0 {
		t.Error("nothing hung: the tree was killed")
	}
	if st := b.tell(b.wish(nil)); !st.Starves || !st.Armed {
		t.Errorf("got %+v", st)
	}
}

// due is by when the host must be reset if these guards hang: by what they took last, whether or not they could say so.
func (b *bed) due(guards [2]int) (due time.Duration) {
	b.Helper()
	for _, pid := range guards {
		p, err := guard.OpenDutyPage(pid)
		if err != nil {
			b.Fatal(err)
		}
		due = earlier(due, p.Duty().End)
		p.Close()
	}
	return due + platform.GuardKill
}

// TestGuardsThatKillInTime: the lease lapses, the guards kill, and the host is pinged on.
func TestGuardsThatKillInTime(t *testing.T) {
	b := newBed(t, true)
	set := b.start()
	b.armed(b.wish(set))
	end, stop := b.renew(set)
	stop()
	b.survives("the lapse", end()+2*time.Second+platform.GuardKill)
	if alive := b.pg.Alive(); len(alive) > 0 {
		t.Errorf("%v are alive", alive)
	}
}

// TestOneGuardHangs: its peer kills in time, which settles what both owed.
func TestOneGuardHangs(t *testing.T) {
	b := newBed(t, true)
	set := b.start()
	b.armed(b.wish(set))
	end, stop := b.renew(set)
	stop()
	if err := unix.Kill(b.pids(set)[0], unix.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	b.survives("the lapse", end()+2*time.Second+platform.GuardKill)
}

// TestDisarmedGuards: a pause or a standby owes nothing.
func TestDisarmedGuards(t *testing.T) {
	b := newBed(t, true)
	set := b.start()
	b.armed(b.wish(set))
	end, stop := b.renew(set)
	stop()
	if err := set.Disarm(); err != nil {
		t.Fatal(err)
	}
	b.survives("what would have been the lapse", end()+2*time.Second+platform.GuardKill)
	if len(b.pg.Alive()) == 0 {
		t.Error("the tree was killed")
	}
}

// TestGuardsThatDieTogether: what they owed stands until the agent has disarmed the new ones, which it does only with
// PostgreSQL stopped.
func TestGuardsThatDieTogether(t *testing.T) {
	b := newBed(t, true)
	set := b.start()
	b.armed(b.wish(set))
	old := b.pids(set)
	if err := set.Extend("1.1", boottime.Now()+3*time.Second); err != nil {
		t.Fatal(err)
	}
	for _, pid := range old { // at once, or one sees the other's death
		unix.Kill(pid, unix.SIGSTOP)
	}
	for _, pid := range old {
		unix.Kill(pid, unix.SIGKILL)
	}
	<-set.Died()
	b.eventually("both are gone", func() bool { return unix.Kill(old[0], 0) != nil && unix.Kill(old[1], 0) != nil })
	set = b.start()
	if st := b.tell(b.wish(set)); st.Watched["feed-e1"] != b.pids(set) {
		t.Fatalf("it watches %v", st.Watched)
	}
	b.eventually("the holder to starve the device", func() bool { return b.tell(b.wish(set)).Starves })
	if err := set.Disarm(); err != nil {
		t.Fatal(err)
	}
	b.survives("the lapse", boottime.Now()+2*time.Second)
}

// TestAgentsComeAndGo: the holder outlives them, and signals; another agent finds it again.
func TestAgentsComeAndGo(t *testing.T) {
	b := newBed(t, true)
	set := b.start()
	first := b.armed(b.wish(set))
	end, _ := b.renew(set)
	for _, sig := range []unix.Signal{unix.SIGHUP, unix.SIGINT, unix.SIGQUIT, unix.SIGPIPE, unix.SIGTERM} {
		if err := unix.Kill(first.PID, sig); err != nil {
			t.Fatal(err)
		}
	}
	b.client = &Client{Executable: b.client.Executable, Dir: b.client.Dir, Device: b.client.Device}
	if st := b.tell(b.wish(set)); st.PID != first.PID || !st.Armed {
		t.Errorf("another agent found %+v, want process %d", st, first.PID)
	}
	b.survives("the first lease", end()+platform.GuardKill)
	if c := b.counter(); c.opened != 1 || c.stops != 0 {
		t.Errorf("the driver: %+v", c)
	}
}

// TestTermWhenNothingIsOwed, as at the shutdown of a host: the device is stopped, so that it does not cut that short.
func TestTermWhenNothingIsOwed(t *testing.T) {
	b := newBed(t, true)
	st := b.armed(b.wish(nil))
	h, err := process.Watch(st.PID)
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	h.Signal(unix.SIGTERM)
	<-h.Done()
	if c := b.counter(); c.ran || c.stops != 1 {
		t.Errorf("the driver: %+v", c)
	}
}

// TestAHolderThatDies leaves the device counting; the next one takes it over, and never pings it past what is owed.
func TestAHolderThatDies(t *testing.T) {
	b := newBed(t, true)
	set := b.start()
	first := b.armed(b.wish(set))
	end, stop := b.renew(set)
	unix.Kill(first.PID, unix.SIGKILL)
	var next Status
	b.eventually("another holder holds the device", func() bool {
		next, _ = b.client.Tell(b.Context(), b.wish(set))
		return next.Armed && next.PID != first.PID
	})
	fakepg.EndWithTest(b.T, next.PID)
	if c := b.counter(); c.stops != 0 || c.opened != 2 {
		t.Errorf("the driver: %+v", c)
	}
	b.survives("the death of the first", end())
	// Holder and guards are gone at once: the next one learns what the guards owe without their help, and does not ping.
	pids := b.pids(set)
	for _, pid := range pids {
		unix.Kill(pid, unix.SIGSTOP)
	}
	unix.Kill(next.PID, unix.SIGKILL)
	stop()
	due := b.due(pids)
	w := Wish{On: true, Timeout: 2 * time.Second, Guards: map[string]Guards{"feed-e1": {Dir: b.guards.Dir}}}
	b.eventually("the end of the lease", func() bool {
		last, _ := b.client.Tell(b.Context(), w) // the dead one may have taken the first
		return last.Watched["feed-e1"] == pids && boottime.Now() > due+50*time.Millisecond
	})
	fakepg.EndWithTest(b.T, b.tell(w).PID)
	if c := b.counter(); c.reset() > due {
		t.Errorf("the host would reset at %s, want by %s: %+v", c.reset(), due, c)
	}
}

// TestOff stops the device at once, also under a lease: the platform file says so.
func TestOff(t *testing.T) {
	b := newBed(t, true)
	set := b.start()
	st := b.armed(b.wish(set))
	b.renew(set)
	h, err := process.Watch(st.PID)
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	b.tell(Wish{})
	<-h.Done()
	if c := b.counter(); c.ran || c.stops != 1 {
		t.Errorf("the driver: %+v", c)
	}
	if st := b.tell(Wish{}); st.PID != 0 {
		t.Errorf("off starts a holder: %+v", st)
	}
}

// TestNoDevice is reported; one that appears later is taken.
func TestNoDevice(t *testing.T) {
	b := newBed(t, false)
	var st Status
	b.eventually("it is missed", func() bool { st = b.tell(b.wish(nil)); return st.Missing != "" })
	if st.Armed || st.Missing != "/dev/stand-in: there is none: no such file or directory" {
		t.Errorf("got %+v", st)
	}
	b.plug()
	b.armed(b.wish(nil))
}
