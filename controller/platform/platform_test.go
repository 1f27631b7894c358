package platform

import (
	"encoding/json"
	"testing"
	"time"
)

func TestWatchdogTimeout(t *testing.T) {
	for lease, want := range map[time.Duration]time.Duration{time.Second: 0, 1600 * time.Millisecond: 0, 2 * time.Second: time.Second,
		5 * time.Second: 3 * time.Second, time.Minute: 36 * time.Second} {
		if got := WatchdogTimeout(lease); got != want {
			t.Errorf("lease %s: %s, want %s", lease, got, want)
		}
	}
}

func TestEpochsAreTotallyOrdered(t *testing.T) { // S3
	order := []Epoch{{}, {1, 0}, {1, 1}, {1, 9}, {2, 0}, {2, 1}, {3, 0}}
	for i, a := range order {
		for j, b := range order {
			if got, want := a.Less(b), i < j; got != want {
				t.Errorf("%s.Less(%s) = %v, want %v", a, b, got, want)
			}
		}
	}
	if e := (Epoch{2, 7}); e.Next() != (Epoch{2, 8}) || e.String() != "2.7" || e.IsZero() || !(Epoch{}).IsZero() {
		t.Errorf("Next, String or IsZero of %s", e)
	}
}

func TestLSN(t *testing.T) {
	for _, s := range []string{"0/0", "0/6000198", "16/B374D848", "FFFFFFFF/FFFFFFFF"} {
		l, err := ParseLSN(s)
		if err != nil || l.String() != s {
			t.Errorf("%s became %s, %v", s, l, err)
		}
		b, err := json.Marshal(l)
		var back LSN
		if err != nil || json.Unmarshal(b, &back) != nil || back != l {
			t.Errorf("%s through JSON: %s, %v", s, b, err)
		}
	}
	for _, s := range []string{"", "0", "0/", "/0", "g/0", "0/100000000", "0/1/2", "-1/0"} {
		if l, err := ParseLSN(s); err == nil {
			t.Errorf("%q was read as %s", s, l)
		}
	}
}

func TestSealedNeeded(t *testing.T) { // S2: |S|-k+1 members surely include one that acknowledged
	for _, c := range []struct{ acks, names, want int }{{0, 0, 0}, {0, 3, 0}, {1, 1, 1}, {1, 3, 3}, {2, 3, 2}, {3, 3, 1}, {2, 2, 1}} {
		s := DurabilitySet{Acks: c.acks, Names: make([]string, c.names)}
		if got := s.SealedNeeded(); got != c.want {
			t.Errorf("acks %d of %d: %d, want %d", c.acks, c.names, got, c.want)
		}
	}
}

func TestForkOf(t *testing.T) {
	h := History{{1, 100}, {2, 200}}
	if end, ok := h.ForkOf(2); !ok || end != 200 {
		t.Errorf("fork of 2: %v %v", end, ok)
	}
	if _, ok := h.ForkOf(3); ok {
		t.Error("3 is no ancestor")
	}
}

func TestTimings(t *testing.T) { // L3: (L+K)·(1+ρ)
	for lease, want := range map[time.Duration]time.Duration{5 * time.Second: 6300 * time.Millisecond, time.Second: 1500 * time.Millisecond} {
		if got := CountOut(lease); got != want {
			t.Errorf("CountOut(%s) = %s, want %s", lease, got, want)
		}
	}
	if Heartbeat(DefaultLease) != 500*time.Millisecond || Suspect(DefaultLease) != 1500*time.Millisecond {
		t.Error("the table of timings has moved away from safety.md")
	}
}

func TestNames(t *testing.T) {
	p := Platform{Hosts: []Host{{Name: "h1", Site: "east"}}, Clusters: []Cluster{{Name: "feed", Members: []Member{{Name: "m1", Host: "h1"}}}}}
	if p.SiteOf("h1") != "east" || p.SiteOf("h9") != "" || p.Cluster("feed").Member("m1").Host != "h1" {
		t.Error("a name that is there was not found, or one that is not was")
	}
	if p.Cluster("x") != nil || p.Cluster("feed").Member("x") != nil || p.Host("x") != nil {
		t.Error("found what is not there")
	}
	p.Cluster("feed").Member("m1").Priority = 7
	if p.Clusters[0].Members[0].Priority != 7 {
		t.Error("Member returned a copy")
	}
}
