package backups

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sys/unix"

	"mainstay/controller/config"
	"mainstay/controller/platform"
	"mainstay/controller/postgres"
	"mainstay/controller/wakeup"
	"mainstay/health"
	"mainstay/test/kit"
)

// bench is a host whose target "tape" is a program that waits at a gate, so that work is as long as a test wants. Removing a backup needs
// no PostgreSQL.
type bench struct {
	*Host
	t    *testing.T
	dir  string
	conf config.Agent
	stop func() // ends Run and waits for it
}

func newBench(t *testing.T) *bench {
	b := &bench{t: t, dir: t.TempDir()}
	script := fmt.Sprintf("#!/bin/sh\n[ \"$1\" = list ] && exit 0\necho \"$2\" >>%[1]s/asked\n"+
		"[ -e %[1]s/open ] || read line <%[1]s/gate\n", b.dir)
	tape := filepath.Join(b.dir, "tape")
	kit.Check(t, os.WriteFile(tape, []byte(script), 0o755), unix.Mkfifo(filepath.Join(b.dir, "gate"), 0o600),
		os.Mkdir(filepath.Join(b.dir, "vault"), 0o700))
	program := func(verb string) []string { return []string{tape, verb, "{name}"} }
	b.conf = config.Agent{Host: "h1", Data: b.dir, Backup: config.Backup{Staging: filepath.Join(b.dir, "staging"),
		Targets: map[string]config.BackupTarget{
			"tape": {Exec: &config.BackupExec{Put: program("put"), Get: program("get"), List: program("list"), Remove: program("remove")}},
			"gone": {Directory: filepath.Join(b.dir, "nothing")}, "vault": {Directory: filepath.Join(b.dir, "vault")}}}}
	b.start()
	return b
}

// start begins a process of the agent: what an earlier one had in memory is gone.
func (b *bench) start() {
	b.t.Helper()
	b.startWith(Options{Config: b.conf, Log: zap.NewNop(), News: func() {}, Seen: func(string) health.Member { return health.Member{} },
		Server: func(member string) *postgres.Server {
			if member == "m9" {
				return nil
			}
			return &postgres.Server{Member: member}
		}})
}

func (b *bench) startWith(o Options) {
	b.t.Helper()
	b.Host = New(o)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- b.Run(ctx) }()
	stopped := false
	b.stop = func() {
		b.t.Helper()
		if stopped {
			return
		}
		stopped = true
		cancel()
		select {
		case err := <-done:
			kit.Check(b.t, err)
		case <-time.After(kit.Patience):
			b.t.Fatal("Run does not end")
		}
	}
	b.t.Cleanup(b.stop)
}

// removes orders that a backup is removed from the tape.
func removes(number uint64) platform.BackupOrder {
	id := fmt.Sprintf("feed-b%d", number)
	return platform.BackupOrder{Plan: &platform.BackupPlan{Targets: []string{"tape"}},
		Job:     &platform.BackupJob{Number: number, Work: platform.BackupRemove, Backup: id},
		Backups: []platform.Backup{{ID: id, Receipts: []platform.BackupReceipt{{Target: "tape"}}}}}
}

// open lets work through the gate, now and later.
func (b *bench) open() {
	b.t.Helper()
	kit.Check(b.t, os.WriteFile(filepath.Join(b.dir, "open"), nil, 0o600))
	gate := kit.Must[*os.File](b.t)(os.OpenFile(filepath.Join(b.dir, "gate"), os.O_RDWR, 0)) // waits for no reader
	_, err := gate.WriteString("on\n")
	kit.Check(b.t, err)
	b.t.Cleanup(func() { kit.Check(b.t, gate.Close()) }) // a reader that comes later finds the line still
}

// asked is how often the tape was asked to remove an object of a backup.
func (b *bench) asked(id string) int {
	raw, _ := os.ReadFile(filepath.Join(b.dir, "asked"))
	return strings.Count(string(raw), "/backup/"+id+"/")
}

// runs waits until the work on a backup waits at the gate.
func (b *bench) runs(id string, before int) {
	b.t.Helper()
	kit.Eventually(b.t, "work on "+id, func() bool { return b.asked(id) > before })
}

// ends waits until a member's report tells that work has ended, and returns how.
func (b *bench) ends(member string, number uint64) health.BackupEnded {
	b.t.Helper()
	kit.Eventually(b.t, fmt.Sprintf("the end of work %d", number), func() bool {
		e := b.Report(member).Ended
		return e != nil && e.Number == number
	})
	return *b.Report(member).Ended
}

// TestTargets: a report names the targets of the file, and what is known against each once it was asked.
func TestTargets(t *testing.T) {
	b := newBench(t)
	kit.Eventually(t, "the targets to be asked", func() bool {
		for _, target := range b.Report("m1").Targets {
			if target.Trouble == "it was not asked yet" {
				return false
			}
		}
		return true
	})
	r := b.Report("m1")
	if len(r.Targets) != 3 || r.Targets[0].Name != "gone" || r.Targets[0].Kind != "directory" ||
		!strings.Contains(r.Targets[0].Trouble, "the folder is not there") || r.Targets[1].Kind != "exec" || r.Targets[1].Trouble != "" ||
		r.Targets[2].Trouble != "" || r.Job != nil || r.Ended != nil || r.Archive != nil {
		t.Errorf("the report is %+v", r)
	}
	if missing, why := r.Has([]string{"vault", "gone"}); missing != "gone" || why == "" {
		t.Errorf("a plan with both: %q %q", missing, why)
	}
}

// TestWork: ordered work is done once, whatever the leader repeats; its end is reported as long as a leader asks for it.
func TestWork(t *testing.T) {
	b := newBench(t)
	b.open()
	b.Obey("m1", "feed", removes(1))
	if e := b.ends("m1", 1); !e.Done || e.Outcome != "feed-b1 was removed from its targets" || b.asked("feed-b1") != 3 {
		t.Errorf("%+v, asked %d times", e, b.asked("feed-b1"))
	}
	b.Obey("m1", "feed", platform.BackupOrder{})
	if e := b.Report("m1").Ended; e != nil {
		t.Errorf("once a leader asks no more, the end is %+v", e)
	}
	b.Obey("m1", "feed", removes(1)) // a leader that had not recorded it
	if e := b.Report("m1").Ended; e == nil || e.Number != 1 {
		t.Errorf("where it is asked for again, the end is %+v", e)
	}
	if e := b.Report("m2").Ended; e != nil {
		t.Errorf("another member's report has %+v", e)
	}
	b.Obey("m1", "feed", removes(2))
	b.ends("m1", 2)
	if n := b.asked("feed-b1"); n != 3 {
		t.Errorf("the first work was done again: asked %d times", n)
	}
	for number, c := range map[uint64]struct {
		member, says string
		change       func(*platform.BackupOrder)
	}{
		3: {"m1", "does not define target moon, which holds feed-b3", func(o *platform.BackupOrder) { o.Backups[0].Receipts[0].Target = "moon" }},
		4: {"m1", "the catalogue does not have feed-b4", func(o *platform.BackupOrder) { o.Backups = nil }},
		5: {"m9", "the agent does not manage the member", func(*platform.BackupOrder) {}},
		6: {"m1", "does not define target moon", func(o *platform.BackupOrder) { o.Job.Work, o.Plan.Targets[0] = platform.BackupMake, "moon" }},
		7: {"m1", "this agent's file defines no target that holds feed-b7", func(o *platform.BackupOrder) {
			o.Job.Work, o.Job.Target = platform.BackupRestore, "moon"
		}},
	} {
		o := removes(number)
		c.change(&o)
		b.Obey(c.member, "feed", o)
		if e := b.ends(c.member, number); e.Done || !strings.Contains(e.Outcome, c.says) {
			t.Errorf("%d: %+v, want %q", number, e, c.says)
		}
	}
}

// TestHold: nothing begins while the leader holds it.
func TestHold(t *testing.T) {
	b := newBench(t)
	b.open()
	hold := removes(1)
	hold.Hold = true
	b.Obey("m1", "feed", hold)
	b.Obey("m2", "mail", removes(2)) // younger, and not held
	b.ends("m2", 2)
	if b.asked("feed-b1") > 0 || b.Report("m1").Ended != nil {
		t.Error("work was done that was held")
	}
	b.Obey("m1", "feed", removes(1))
	b.ends("m1", 1)
}

// TestTwoMembers: members of one host wait for each other, the older work first, and their reports say so.
func TestTwoMembers(t *testing.T) {
	b := newBench(t)
	b.mu.Lock() // both are there before either begins
	b.orders["m1"] = order{"feed", removes(5), time.Now()}
	b.orders["m2"] = order{"mail", removes(4), time.Now()}
	b.mu.Unlock()
	wakeup.Signal(b.news)
	b.runs("feed-b4", 0)
	if j := b.Report("m2").Job; j == nil || j.Number != 4 || j.Waiting != "" {
		t.Errorf("the older work: %+v", j)
	}
	if j := b.Report("m1").Job; j == nil || j.Number != 5 || j.Waiting != "the agent works for the backups of mail" {
		t.Errorf("the younger work: %+v", j)
	}
	if j := b.Report("m3").Job; j != nil {
		t.Errorf("a member without an order: %+v", j)
	}
	b.open()
	b.ends("m2", 4)
	b.ends("m1", 5)
	if b.Report("m1").Job != nil {
		t.Error("work that has ended is reported as running")
	}
}

// TestCancel: an operator's word ends work that runs, and work that has not begun.
func TestCancel(t *testing.T) {
	b := newBench(t)
	b.Obey("m1", "feed", removes(1))
	b.runs("feed-b1", 0)
	cancel := removes(1)
	cancel.Job.Cancel = true
	b.Obey("m1", "feed", cancel)
	if e := b.ends("m1", 1); e.Done || e.Outcome != errOperator.Error() {
		t.Errorf("%+v", e)
	}
	cancel = removes(2)
	cancel.Job.Cancel = true
	b.Obey("m1", "feed", cancel)
	if e := b.ends("m1", 2); e.Done || e.Outcome != errOperator.Error() {
		t.Errorf("before it began: %+v", e)
	}
}

// TestWithdrawn: work ends that no leader asks for any more, and begins anew where it is asked for again. Answers of a moment without it,
// as of a new leader, end nothing.
func TestWithdrawn(t *testing.T) {
	b := newBench(t)
	b.Obey("m1", "feed", removes(1))
	b.runs("feed-b1", 0)
	b.Obey("m1", "feed", platform.BackupOrder{})
	b.Obey("m1", "feed", removes(1))
	if j := b.Report("m1").Job; j == nil || j.Number != 1 {
		t.Errorf("after a moment without an order: %+v", j)
	}
	b.mu.Lock() // a leader has answered without it for longer
	b.orders["m1"] = order{cluster: "feed", since: time.Now().Add(withdrawn + time.Second)}
	b.mu.Unlock()
	wakeup.Signal(b.news)
	kit.Eventually(t, "the end of the work", func() bool { return b.Report("m1").Job == nil })
	if e := b.Report("m1").Ended; e != nil {
		t.Errorf("it has ended: %+v", e)
	}
	before := b.asked("feed-b1")
	b.Obey("m1", "feed", removes(1))
	b.runs("feed-b1", before)
	b.open()
	if e := b.ends("m1", 1); !e.Done {
		t.Errorf("the second time: %+v", e)
	}
}

// TestRestart: an agent that ends in the middle of work does it again, and one that ends after it has told how it ended does not.
func TestRestart(t *testing.T) {
	b := newBench(t)
	b.Obey("m1", "feed", removes(1))
	b.runs("feed-b1", 0)
	b.stop()
	if e := b.Report("m1").Ended; e != nil {
		t.Errorf("the work that was interrupted has ended: %+v", e)
	}
	before := b.asked("feed-b1")
	b.start()
	b.Obey("m1", "feed", removes(1))
	b.runs("feed-b1", before)
	b.open()
	if e := b.ends("m1", 1); !e.Done {
		t.Errorf("after the restart: %+v", e)
	}
	b.stop()

	before = b.asked("feed-b1")
	b.start()
	b.Obey("m1", "feed", removes(1))
	if e := b.ends("m1", 1); !e.Done {
		t.Errorf("the next process remembers %+v", e)
	}
	b.Obey("m2", "mail", removes(2)) // the host comes to it, so it has passed over the other
	b.ends("m2", 2)
	if now := b.asked("feed-b1"); now != before {
		t.Errorf("work was done again after its end: asked %d times, then %d", before, now)
	}
}

// TestForgotten: without what an earlier process kept, or with a file that cannot be read, the work is done again.
func TestForgotten(t *testing.T) {
	b := newBench(t)
	b.open()
	b.Obey("m1", "feed", removes(1))
	b.ends("m1", 1)
	b.stop()
	kit.Check(t, os.WriteFile(b.keptPath(), []byte("{"), 0o600))
	b.start()
	b.Obey("m1", "feed", removes(1))
	b.ends("m1", 1)
	if n := b.asked("feed-b1"); n != 6 {
		t.Errorf("the tape was asked %d times, want twice for each of three objects", n)
	}
}
