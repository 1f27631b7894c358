package decide

import (
	"strings"
	"testing"
	"time"

	"mainstay/controller/platform"
	"mainstay/health"
)

// evidence is what a problem of that kind says now, "" if there is none.
func (st *stage) evidence(kind health.Kind) string {
	_, _, d := st.next()
	for _, p := range d.Problems {
		if p.Kind == kind {
			return p.Member + ": " + p.Evidence
		}
	}
	return ""
}

// An archiver that fails, hangs or falls behind is a problem once that lasts, and none when it has made progress.
func TestArchiving(t *testing.T) {
	const mb = 1 << 20
	for name, c := range map[string]struct {
		at    health.Archiver
		early time.Duration // no problem yet
		late  time.Duration
		says  string
	}{
		"fails": {health.Archiver{Archived: "A", Failed: "B", Waiting: 3, Kept: 80 * mb, Segment: 16 * mb},
			archiveFails, archiveFails + time.Second,
			"B is refused, and the last file archived is A. 3 files (48 MB) wait, and pg_wal has grown to 80 MB"},
		"has never archived": {health.Archiver{Failed: "B", Waiting: 1}, archiveFails, archiveFails + time.Second, "last file archived is none"},
		"hangs": {health.Archiver{Archived: "A", Waiting: 1}, archiveHangs, archiveHangs + time.Second,
			"no file for 5m0s: the last one is A"},
	} {
		t.Run(name, func(t *testing.T) {
			st := well(t, 1, nil)
			at := c.at
			st.members["m1"].Archiver = &at
			st.later(0)
			if got := st.evidence(health.ArchivingFails); got != "" {
				t.Errorf("at once: %s", got)
			}
			st.later(c.early)
			if got := st.evidence(health.ArchivingFails); got != "" {
				t.Errorf("after %s: %s", c.early, got)
			}
			st.later(c.late - c.early)
			if got := st.evidence(health.ArchivingFails); !strings.HasPrefix(got, "m1: ") || !strings.Contains(got, c.says) {
				t.Errorf("after %s: %s", c.late, got)
			}
			other := c.at
			other.Archived, other.Failed = "C", ""
			st.members["m1"].Archiver = &other
			st.later(0)
			if got := st.evidence(health.ArchivingFails); got != "" {
				t.Errorf("once a file was archived: %s", got)
			}
		})
	}
	st := well(t, 1, nil)
	for n := range 12 { // it archives one file a minute, and more and more wait
		st.members["m1"].Archiver = &health.Archiver{Archived: strings.Repeat("A", n+1), Waiting: archiveBacklog + n, Segment: mb}
		st.later(time.Minute)
		if got := st.evidence(health.ArchivingFails); (got != "") != (n > 10) {
			t.Errorf("in minute %d: %q", n, got)
		}
	}
}

// Who holds the primary's WAL senders is named while a replica waits for one.
func TestWALSendersTaken(t *testing.T) {
	st := well(t, 1, nil)
	p := st.members["m1"]
	p.MaxSenders, p.Senders[1] = 2, health.Sender{Name: "pg_receivewal", State: "streaming", Client: "process 7 of 10.0.0.9"}
	st.later(0)
	want := `all 2 WAL senders are taken, and m3 cannot stream. These are not members': "pg_receivewal" (streaming, process 7 of 10.0.0.9). End`
	if got := st.evidence(health.WALSendersTaken); !strings.HasPrefix(got, "m1: "+want) {
		t.Errorf("%s", got)
	}
	p.MaxSenders = 0
	st.later(0)
	if got := st.evidence(health.WALSendersTaken); got != "" {
		t.Errorf("one is free: %s", got)
	}
	st = well(t, 1, nil)
	st.members["m1"].MaxSenders = 2
	st.later(0)
	if got := st.evidence(health.WALSendersTaken); got != "" {
		t.Errorf("all replicas stream: %s", got)
	}
}

// Of members that are equal otherwise, one with another libc or ICU is chosen last, in a failover and a switchover; one that is ahead is
// chosen all the same.
func TestOtherCollationsComeLast(t *testing.T) {
	other := []health.Collation{{Database: "app", Provider: "libc", Recorded: "2.31", Offered: "2.36"}}
	for _, ahead := range []uint64{0, 100} {
		st := well(t, 1, far)
		st.members["m2"].Collations = other
		st.members["m2"].Position += platform.LSN(ahead)
		st.later(0)
		if to, bad := CheckSwitchover(st.input(), "feed", ""); to != "m3" || len(bad) > 0 {
			t.Errorf("a switchover goes to %q, %v", to, bad)
		}
		st.crash()
		st.later(0)
		st.commits()
		st.seal("m2", "m3")
		want, why := "m3", otherCollations
		if ahead > 0 {
			want, why = "m2", Code{}
		}
		if ch := st.look().choose(); ch.best != want || ch.notChosen["m2"].Code != why {
			t.Errorf("%d bytes ahead: %s is chosen, m2: %s", ahead, ch.best, ch.notChosen["m2"])
		}
	}
	st := well(t, 1, nil)
	st.members["m2"].Collations = other
	st.later(0)
	if got := st.evidence(health.CollationsDiffer); got !=
		"m2: text is ordered otherwise on its host than these databases' indexes were made with: app (libc 2.31, here 2.36). "+
			"Bring m2 to the version of m1 before it is promoted" {
		t.Errorf("%s", got)
	}
	st.members["m2"].Collations = nil
	st.members["m1"].Collations = append(other, health.Collation{Database: "app", Provider: "ICU", Recorded: "1", Offered: "2",
		Of: `collation public.de, as of public.t`})
	st.later(0)
	if got := st.evidence(health.CollationsDiffer); got !=
		"m1: text is ordered otherwise on its host than these databases' indexes were made with: app (libc 2.31, here 2.36); "+
			"app, collation public.de, as of public.t (ICU 1, here 2). In each of them run REINDEX DATABASE, then "+
			"ALTER DATABASE ... REFRESH COLLATION VERSION and ALTER COLLATION ... REFRESH VERSION" {
		t.Errorf("%s", got)
	}
}

// What must last before it is a problem is counted in the leader's own rounds: a survey has a copy of the conditions.
func TestConditionsOfASurvey(t *testing.T) {
	for kind, change := range map[health.Kind]func(*stage){
		health.ArchivingFails: func(st *stage) { st.members["m1"].Archiver = &health.Archiver{Failed: "A", Waiting: 1} },
		health.SlotNotSynchronised: func(st *stage) {
			st.members["m1"].Slots = []health.Slot{failoverSlot("cdc", false)}
		},
		health.SyncBlocked: func(st *stage) { st.members["m1"].SyncWaits = 1 },
	} {
		st := well(t, 1, nil)
		change(st)
		survey := func() bool {
			in := st.input()
			in.Conditions = in.Conditions.Clone()
			return has(Next(in).Problems, kind)
		}
		for range 150 {
			st.later(time.Second)
			if st.now < time.Minute+2*time.Second && survey() {
				t.Errorf("%s is named at once", kind)
			}
			in := st.input()
			in.Survey = false
			Next(in)
		}
		if !survey() {
			t.Errorf("%s is never named", kind)
		}
	}
}

// Members on one machine that have a tablespace's folder in common are named with its path and the mend, at the replica.
func TestTablespaceShared(t *testing.T) {
	space := func(location, folder string) []health.Tablespace {
		return []health.Tablespace{{OID: 16400, Location: location, Folder: folder}}
	}
	for name, c := range map[string]struct {
		boots  [3]string // of the hosts of m1, m2 and m3
		spaces [3][]health.Tablespace
		names  string // the member at which it is named, "" for none
		says   []string
	}{
		"one folder": {[3]string{"a", "a", "b"},
			[3][]health.Tablespace{space("/fast", "8:1"), space("/fast", "8:1"), space("/fast", "8:1")}, "m2",
			[]string{"m2 and m1 are on one machine", "in common: /fast. ", "pg_wal_replay_pause() on every replica, or m1 may end", "On m1, move",
				"CHECKPOINT and DROP TABLESPACE", "pg_wal_replay_resume()", "`mainstay integrity check feed`"}},
		"by two paths": {[3]string{"a", "b", "a"}, [3][]health.Tablespace{space("/fast", "8:1"), nil, space("/quick", "8:1")}, "m3",
			[]string{"in common: /quick (/fast)"}},
		"of two replicas": {[3]string{"b", "a", "a"}, [3][]health.Tablespace{space("/fast", "8:1"), space("/fast", "8:1"), space("/fast", "8:1")},
			"m3", []string{"m3 and m2 are on one machine", "On m1, move"}},
		"one path, other folders": {[3]string{"a", "a", "a"},
			[3][]health.Tablespace{space("/fast", "8:1"), space("/fast", "8:2"), space("/fast", "8:3")}, "", nil},
		"on other machines": {[3]string{"a", "b", "c"},
			[3][]health.Tablespace{space("/fast", "8:1"), space("/fast", "8:1"), space("/fast", "8:1")}, "", nil},
		"machines that cannot be told apart": {[3]string{},
			[3][]health.Tablespace{space("/fast", "8:1"), space("/fast", "8:1"), nil}, "", nil},
		"no folder": {[3]string{"a", "a", "a"}, [3][]health.Tablespace{space("/fast", ""), space("/fast", ""), nil}, "", nil},
	} {
		st := well(t, 1, nil)
		st.boots = map[string]string{}
		for n, m := range []string{"m1", "m2", "m3"} {
			st.members[m].Tablespaces = c.spaces[n]
			st.boots["h"+m[1:]] = c.boots[n]
		}
		st.later(0)
		got := st.evidence(health.TablespaceShared)
		if member, _, _ := strings.Cut(got, ":"); member != c.names {
			t.Errorf("%s: %q", name, got)
		}
		for _, text := range c.says {
			if !strings.Contains(got, text) {
				t.Errorf("%s: %q lacks %q", name, got, text)
			}
		}
	}
}

// A replica that catches up from elsewhere than its stream is no mystery: how far it is, is said.
func TestCatchUpIsSaid(t *testing.T) {
	st := well(t, 1, nil)
	m2 := st.members["m2"]
	m2.Receiver, m2.Doing = nil, "something"
	m2.CatchUp = &health.CatchUp{From: "the archive", LeftKnown: true, Left: 384 << 20, TakesMS: 36_000}
	st.later(1600 * time.Millisecond)
	const want = "m2: it does not stream yet: catching up from the archive, 384 MB left, about 36s"
	if got := st.evidence(health.ReplicaNotStreaming); got != want {
		t.Errorf("%s", got)
	}
	m2.Error = health.WithoutStream + "no password supplied"
	st.later(0)
	if got := st.evidence(health.ReplicaNotStreaming); got != "m2: it receives nothing: it does not stream: no password supplied" {
		t.Errorf("with an error: %s", got)
	}
}

// A setting that the user's files override is named with both values and the statements that end it.
func TestSettingOverridden(t *testing.T) {
	st := well(t, 1, nil)
	st.members["m2"].Overridden = []health.Override{
		{Name: "max_slot_wal_keep_size", Value: "-1", Wanted: "10240MB", Mend: "run `ALTER SYSTEM RESET x`"},
		{Name: "primary_conninfo", Value: "host=x", Mend: "delete it"}, {Name: "wal_receiver_timeout", Wanted: "3s", Mend: "set it"}}
	st.later(0)
	const want = "m2: its user's files override settings that Mainstay manages: max_slot_wal_keep_size is -1 and should be 10240MB: " +
		"run `ALTER SYSTEM RESET x`; primary_conninfo is host=x and should be empty: delete it; " +
		"wal_receiver_timeout is empty or was reset and should be 3s: set it"
	if got := st.evidence(health.SettingOverridden); got != want {
		t.Errorf("%s", got)
	}
}

// A tablespace's folder that a replica's host lacks is named with that host: the operator who reads it may be on any.
func TestTablespaceMissingNamesTheHost(t *testing.T) {
	st := well(t, 1, nil)
	st.members["m2"].NoFolder = []string{"/fast (it does not exist)"}
	st.later(0)
	const want = "m2: its host h2 lacks the folders of tablespaces that m1 has: /fast (it does not exist). " +
		"Its replay ends where they were made: make each folder on h2, empty, and give it to PostgreSQL's user"
	if got := st.evidence(health.TablespaceMissing); got != want {
		t.Errorf("%s", got)
	}
}

// TestCleanestLeads: of members that are as advanced, one that something speaks against comes last, before any priority; of those that are
// equal otherwise, the one whose files were found clean most recently comes first. More WAL counts before either.
func TestCleanestLeads(t *testing.T) {
	clean := func(age time.Duration) *health.Scan {
		return &health.Scan{Complete: true, Checksums: true, AgeMS: age.Milliseconds()}
	}
	for name, c := range map[string]struct {
		scan2, scan3 *health.Scan
		change       func(m2 *health.Member, priority *int)
		want         string
		why          Code // of the other
	}{
		"nothing is known":      {nil, nil, nil, "m2", laterByName},
		"one was found clean":   {nil, clean(time.Hour), nil, "m3", cleanEarlier},
		"one more recently":     {clean(time.Hour), clean(time.Minute), nil, "m3", cleanEarlier},
		"a scan found damage":   {clean(time.Hour), &health.Scan{Complete: true, Checksums: true, Findings: 1}, nil, "m2", cleanEarlier},
		"priority counts more":  {nil, clean(time.Hour), func(_ *health.Member, priority *int) { *priority = 9 }, "m2", lowerPriority},
		"its log speaks":        {nil, nil, func(m2 *health.Member, _ *int) { m2.Log = saying(health.SignOfDamage) }, "m3", dataInDoubt},
		"it is more advanced":   {nil, clean(time.Hour), func(m2 *health.Member, _ *int) { m2.Position += 100 }, "m2", behind},
		"doubt before priority": {nil, nil, func(m2 *health.Member, p *int) { m2.ShortFiles, *p = []string{"base/5/1"}, 9 }, "m3", dataInDoubt},
	} {
		st := well(t, 1, far)
		st.members["m2"].Scan, st.members["m3"].Scan = c.scan2, c.scan3
		if c.change != nil {
			c.change(st.members["m2"], &st.conf().Member("m2").Priority)
		}
		st.later(0)
		to, bad := CheckSwitchover(st.input(), "feed", "")
		if c.why != behind && (to != c.want || len(bad) > 0) {
			t.Errorf("%s: a switchover goes to %q, %v", name, to, bad)
		}
		st.crash()
		st.later(0)
		st.commits()
		st.seal("m2", "m3")
		other := map[string]string{"m2": "m3", "m3": "m2"}[c.want]
		if ch := st.look().choose(); ch.best != c.want || ch.notChosen[other].Code != c.why {
			t.Errorf("%s: %s is chosen, %s: %s", name, ch.best, other, ch.notChosen[other])
		}
	}
}
