package health

import (
	"testing"
	"time"
)

func TestCatchUp(t *testing.T) {
	for want, c := range map[string]CatchUp{
		"catching up from the archive":                                  {From: "the archive", TakesMS: 5000},
		"catching up from the archive, 384 MB left":                     {From: "the archive", LeftKnown: true, Left: 384<<20 + 5},
		"catching up from the archive, 384 MB left, about 36s":          {From: "the archive", LeftKnown: true, Left: 384 << 20, TakesMS: 36_400},
		"catching up from its stream, less than 1 MB left, about 1s":    {From: "its stream", LeftKnown: true, Left: 1, TakesMS: 1},
		"catching up from its stream, less than 1 MB left, about 1m39s": {From: "its stream", LeftKnown: true, TakesMS: 99_400},
	} {
		if got := c.String(); got != want {
			t.Errorf("%+v: %q", c, got)
		}
	}
	for d, want := range map[time.Duration]string{
		0: "1s", 99 * time.Second: "1m39s", 100 * time.Second: "2m", 59 * time.Minute: "59m", 60 * time.Minute: "1h",
		2*time.Hour + 14*time.Minute: "2h10m", 30 * time.Hour: "30h",
	} {
		if got := roughly(d); got != want {
			t.Errorf("%s: %q, want %q", d, got, want)
		}
	}
}
