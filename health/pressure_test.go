package health

import (
	"strings"
	"testing"
)

func TestBusy(t *testing.T) {
	for _, c := range []struct {
		p    *Pressure
		want string
	}{
		{nil, ""},
		{&Pressure{}, ""},
		{&Pressure{Waits: true, CPU: 69, IO: 49, Load: 5000}, ""}, // many that wait, for little
		{&Pressure{Waits: true, CPU: 70, Load: 900}, "in 70% of the last minute a task waited for a CPU (load 900%"},
		{&Pressure{Waits: true, CPU: 10, IO: 50}, "in 50% of the last minute every task with work waited for a disk"},
		{&Pressure{Load: 399}, ""},
		{&Pressure{Load: 400}, "its load was 400%"},
	} {
		if got := c.p.Busy(); got != c.want && (c.want == "" || !strings.HasPrefix(got, c.want)) {
			t.Errorf("%+v is %q, want %q", c.p, got, c.want)
		}
	}
}
