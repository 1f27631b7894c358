package health

import (
	"testing"
	"time"
)

// TestSign: a kind is a problem for a day after its last entry, and says when that was.
func TestSign(t *testing.T) {
	l := &ServerLog{Signs: []LogSign{{Kind: SignOfStorage, Count: 3, Text: "x", LastMS: SignLasts.Milliseconds()},
		{Kind: SignOfDamage, Count: 3, Text: "x", FirstMS: time.Hour.Milliseconds(), LastMS: (90 * time.Minute).Milliseconds()}}}
	if l.Sign(SignOfStorage) != nil || l.Sign(SignOfPanic) != nil || (*ServerLog)(nil).Sign(SignOfDamage) != nil {
		t.Error("a kind is a problem without a recent entry")
	}
	if s := l.Sign(SignOfDamage); s == nil || s.String() != "3 times, the last 1h30m ago: x" {
		t.Errorf("%+v: %s", s, s)
	}
}
