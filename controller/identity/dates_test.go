package identity

import (
	"context"
	"testing"
	"time"
)

// The alarm begins 60 days before the end, also while the process runs, and is repeated.
func TestRemind(t *testing.T) {
	w := newWorld(t, "social")
	s := w.store(RoleAgent, "a")
	ends := s.Ends()
	if len(ends) != 2 || ends[0].Holder != "mainstay://social/agent/a" || ends[1].Holder == "" ||
		!s.Expiry().Equal(earlier(ends[0].At, ends[1].At)) {
		t.Fatalf("ends: %+v", ends)
	}
	asked := 0
	s.now = func() time.Time { // near the end from the third look on
		if asked++; asked < 3 {
			return s.Expiry().AddDate(0, 0, -61)
		}
		return s.Expiry().AddDate(0, 0, -59)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	told := 0
	err := s.remind(ctx, time.Millisecond, func(end time.Time) {
		if told++; !end.Equal(s.Expiry()) {
			t.Errorf("told of %s", end)
		}
		if told >= 2 {
			cancel()
		}
	})
	if err != nil || told < 2 || asked < 4 {
		t.Errorf("told %d times at %d looks: %v", told, asked, err)
	}
}
