package postgres

import (
	"os"
	"path/filepath"
	"testing"
)

// TestRecovering: a standby that has lost its WAL takes no sessions while its primary is away. Its recovery shows that it stands still, and
// what WAL it asks for; once it gets that it answers.
func TestRecovering(t *testing.T) {
	ca := newAuthority(t)
	a := newPrimary(t, ca, "feed-e1")
	b, _ := newStandby(t, ca, "feed-e2", a)
	ctx := testContext(t)
	for _, i := range []*Instance{b, a} {
		check(t, i.StopFast(ctx))
		eventually(t, "the end of "+i.Member, func() bool { _, _, ok := i.Running(); return !ok })
	}
	segments, err := filepath.Glob(filepath.Join(b.walDir(), "0*"))
	check(t, err)
	for _, path := range segments {
		check(t, os.Remove(path))
	}
	p, err := b.Start(ctx, StartOptions{})
	check(t, err)
	control := must(b.ControlData(ctx))
	var r Recovering
	eventually(t, "what it asks for", func() bool {
		r, err = b.Recovering(ctx)
		return err == nil && r.Asks != 0
	})
	if !b.Signs(false).Starting || r.Asks > control.Redo || uint64(control.Redo-r.Asks) >= control.SegmentSize || r.Restoring {
		t.Errorf("%+v, redo at %s", r, control.Redo)
	}
	before := r
	for range 3 { // it asks again and again meanwhile
		check(t, pause(ctx, 2*retryInterval))
		if r, err = b.Recovering(ctx); err != nil || r != before {
			t.Errorf("it stands still: %+v, then %+v, %v", before, r, err)
		}
	}
	start(t, a, true)
	streams(t, b)
	select {
	case <-p.Done():
		t.Error("it has ended: ", p.Err())
	default:
	}
	if after := must(b.Status(ctx)); after.Replay == 0 {
		t.Errorf("%+v", after)
	}
}
