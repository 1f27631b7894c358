package member

import (
	"testing"

	"mainstay/health"
)

// A receiver that has come to receive nothing is news, though its connection stands.
func TestNotableSilence(t *testing.T) {
	at := func(age int64) *health.Member {
		return &health.Member{Receiver: &health.Receiver{Streaming: true, AgeMS: age}}
	}
	if !Notable(at(900), at(1100)) || Notable(at(100), at(900)) || Notable(at(1100), at(1400)) {
		t.Error("to receive nothing for a second is news, once")
	}
}

// What the controllers wait for leaves at once; what only advances does not.
func TestNotable(t *testing.T) {
	last := health.Member{Process: health.ProcessRunning, Role: health.RolePrimary,
		Senders: []health.Sender{{Name: "b", State: "streaming", Flush: 8}}}
	for name, c := range map[string]struct {
		change func(*health.Member)
		want   bool
	}{
		"WAL was flushed":         {func(m *health.Member) { m.Position, m.Replayed, m.Senders[0].Flush = 9, 9, 9 }, false},
		"a sender has gone":       {func(m *health.Member) { m.Senders = nil }, true},
		"a sender catches up":     {func(m *health.Member) { m.Senders[0].State = "catchup" }, true},
		"its sets have settled":   {func(m *health.Member) { m.Settled = 4 }, true},
		"another one is loaded":   {func(m *health.Member) { m.Loaded = 4 }, true},
		"an epoch is closed":      {func(m *health.Member) { m.Closed = ep(3) }, true},
		"it needs an incarnation": {func(m *health.Member) { m.Needs = "rebuild" }, true},
		"its guards are whole":    {func(m *health.Member) { m.Guard.Complete = true }, true},
		"a lease runs on":         {func(m *health.Member) { m.LeaseLeft = 900 }, false},
	} {
		next := last
		next.Senders = append([]health.Sender(nil), last.Senders...)
		if c.change(&next); Notable(&last, &next) != c.want {
			t.Errorf("%s: news %v", name, !c.want)
		}
	}
	alone := health.Member{Process: health.ProcessRunning, Role: health.RoleStandby, Replayed: 8}
	next := alone
	if next.Replayed = 9; !Notable(&alone, &next) {
		t.Error("a sealed standby that replays is waited for")
	}
}
