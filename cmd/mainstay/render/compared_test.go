package render

import (
	"strings"
	"testing"
	"time"

	"mainstay/controller/wire"
	"mainstay/health"
)

// TestIntegrities: the newest comparison counts, of whichever member's agent, and replaces no verdict about damage that a scan has found.
func TestIntegrities(t *testing.T) {
	member := func(name string, ageMS int64, c *health.Comparison) wire.MemberStatus {
		m := scannedMember(func(*wire.MemberStatus) {})
		if m.Name = name; c != nil {
			c.AgeMS, c.Members = ageMS, []string{"feed-e1", "feed-e2", "feed-e3"}
			m.Seen.Comparison = c
		}
		return m
	}
	old := &health.Comparison{By: "feed-e1", Complete: true, Blocks: 9, Differ: 2, Wrong: map[string]int64{"feed-e1": 2}}
	last := &health.Comparison{By: "feed-e2", Complete: true, Blocks: 100, Equal: 98, Differ: 1, Wrong: map[string]int64{"feed-e3": 1},
		Unverified: map[string]int64{"unlogged": 1}, Damage: []health.DifferentBlock{{Path: "base/5/7", Block: 3, Kind: "lost write",
			Suspects: []string{"feed-e3"}, Named: true, Detail: "it is older"}}}
	c := wire.ClusterState{Name: "feed", Members: []wire.MemberStatus{member("feed-e1", 90_000, old), member("feed-e2", 60_000, last),
		member("feed-e3", 0, nil)}}
	all := Integrities(c)
	for n, want := range []Verdict{NotFound, NotFound, Different} {
		if i := all[n]; i.Verdict != want || i.Comparison != last || i.ComparisonAge < time.Minute || i.ComparisonAge > 61*time.Second {
			t.Errorf("%s: %s, want %s: %+v", i.Member, i.Verdict, want, i)
		}
	}
	text := Verdicts(all, Options{})
	for _, want := range []string{"damaged (by comparison)", "base/5/7 block 3, lost write: it is older",
		"feed: feed-e1, feed-e2, feed-e3 were compared 1m0s ago: 100 pages, equal 98, different 1, not verified 1"} {
		if strings.Count(text, want) != 1 {
			t.Errorf("%q is not there once:\n%s", want, text)
		}
	}
	last.Unread, last.UnreadMS = 7, 3_600_000
	if text := Verdicts(all, Options{}); !strings.Contains(text, "not verified 1, not read again 7, last read up to 1h1m0s ago\n") {
		t.Error(text)
	}
	last.Incarnations = map[string]string{"feed-e1": "feed-e1_1", "feed-e2": "feed-e2_2", "feed-e3": "feed-e3_3"}
	for n, data := range []string{"feed-e1_1", "feed-e2_2", "feed-e3_9"} {
		c.Members[n].Seen.Incarnation = data
	}
	if all := Integrities(c); all[2].Verdict != NotFound || all[2].Comparison == last || all[1].Comparison != last {
		t.Errorf("a comparison counts for data that has been replaced since: %+v", all[2])
	}
	last.Incarnations = nil
	c.Members[2].Excluded = "bad pages"
	last.Wrong, last.Suspect = nil, map[string]int64{"feed-e2": 1, "feed-e3": 1}
	all = Integrities(c)
	for n, want := range []Verdict{NotFound, OneOf, Damaged} {
		if all[n].Verdict != want {
			t.Errorf("%s: %s, want %s", all[n].Member, all[n].Verdict, want)
		}
	}
	last.Running, last.Percent, last.Waiting = true, 30, 4
	if text := Verdicts(Integrities(c), Options{}); !strings.Contains(text, "are being compared, at 30%, 4 pages wait for a checkpoint") {
		t.Error(text)
	}
}
