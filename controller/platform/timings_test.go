package platform

import (
	"testing"
	"time"
)

func TestRaftTimeout(t *testing.T) {
	const ms = time.Millisecond
	for _, c := range []struct{ late, lease, want time.Duration }{
		{0, DefaultLease, 500 * ms},
		{10 * ms, DefaultLease, 500 * ms}, // not for a trifle
		{30 * ms, DefaultLease, 600 * ms},
		{60 * ms, DefaultLease, 700 * ms},
		{time.Minute, DefaultLease, 750 * ms}, // 2 x 750 + 750 + 250 = 2.5 s
		{30 * ms, MinLease, 500 * ms},
		{time.Minute, MinLease, 500 * ms},
		{time.Minute, 3500 * ms, 500 * ms},
		{60 * ms, MaxLease, 700 * ms},
		{time.Minute, MaxLease, time.Second},
	} {
		if got := RaftTimeout(c.late, c.lease); got != c.want {
			t.Errorf("%s late, lease %s: %s, want %s", c.late, c.lease, got, c.want)
		}
	}
	for lease := MinLease; lease <= MaxLease; lease += 100 * ms {
		before := time.Duration(0)
		for late := time.Duration(0); late <= 2*time.Second; late += 7 * ms {
			got := RaftTimeout(late, lease)
			if got > RaftHeartbeat && 3*got+firstBarrier > lease/2 {
				t.Fatalf("%s late, lease %s: with %s silence, election and first tick may take %s", late, lease, got, 3*got+firstBarrier)
			}
			if got < RaftHeartbeat || got < before || got < RaftLease {
				t.Fatalf("%s late, lease %s: %s, after %s for less", late, lease, got, before)
			}
			before = got
		}
	}
}
