package postgres

import (
	"mainstay/test/kit"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"mainstay/controller/platform"
)

// TestForeignTimeline: a history file that somebody else has archived keeps a standby from starting. Set aside, and without its archive, it
// starts and streams.
func TestForeignTimeline(t *testing.T) {
	ca := newAuthority(t)
	a := newPrimary(t, ca, "feed-e1")
	b, settings := newStandby(t, ca, "feed-e2", a)
	ctx, took := testContext(t), counted(t, a, b)
	stopped := func() {
		t.Helper()
		eventually(t, "the end of the standby", func() bool { _, _, ok := b.Running(); return !ok })
	}
	check(t, b.StopFast(ctx))
	stopped()
	archive := filepath.Join(b.Conf, "archive")
	check(t, os.MkdirAll(archive, 0o755))
	check(t, os.WriteFile(filepath.Join(archive, "00000002.history"), []byte("1\t0/1000000\tno recovery target specified\n"), 0o644))
	file, err := os.OpenFile(b.userConfig(), os.O_APPEND|os.O_WRONLY, 0)
	check(t, err)
	_, err = file.WriteString("\nrestore_command = 'cp " + archive + "/%f %p'\n")
	check(t, err)
	check(t, file.Close())
	inVain := func() {
		t.Helper()
		p := must(b.Start(ctx, StartOptions{}))
		<-p.Done()
		f := b.Fault(ctx, p)
		t.Log(f.Said)
		if f.Data {
			t.Errorf("its data is at fault: %+v", f)
		}
		if foreign := must(b.SetAsideHistories(ctx, 1, nil)); !slices.Equal(foreign, []string{"00000002.history"}) {
			t.Fatalf("foreign: %q", foreign)
		}
	}
	inVain()
	// One that PostgreSQL cannot read, as after a copy that was cut short.
	check(t, os.WriteFile(filepath.Join(archive, "00000002.history"), []byte("1\t0"), 0o644))
	inVain()
	settings.NoArchive = true
	check(t, b.WriteSettings(ctx, settings))
	start(t, b, false)
	streams(t, b)
	took("the foreign timelines", kit.Work{Starts: 3})
}

func TestIsForeign(t *testing.T) {
	line := platform.History{{Timeline: 1, End: 0x3000000}, {Timeline: 3, End: 0x5000000}}
	for _, c := range []struct {
		name string
		n    platform.Timeline
		text string
		want bool
	}{
		{"a later timeline", 6, "1\t0/3000000\tx\n", true},
		{"its own", 5, "1\t0/3000000\tx\n3\t0/5000000\ty\n", false},
		{"its number, of another line", 5, "1\t0/2000000\tx\n", true},
		{"an ancestor", 3, "1\t0/3000000\tx\n", false},
		{"an ancestor's number, of another line", 3, "1\t0/2000000\tx\n", true},
		{"a number that nobody follows", 4, "1\t0/2000000\tx\n", false},
		{"what cannot be read", 5, "damaged\n", false},
	} {
		if got := isForeign(c.n, c.text, 5, line); got != c.want {
			t.Errorf("%s: %v", c.name, got)
		}
	}
}
