package health

import (
	"fmt"
	"strings"
	"time"
)

// CatchUp is the progress of a standby that gets its WAL from another source than its stream, or is far behind its stream.
type CatchUp struct {
	From string `json:"from"` // where its WAL comes from, with an article: "the archive"
	// LeftKnown: Left is the WAL, in bytes, that it has yet to replay up to the last known position of its upstream.
	LeftKnown bool  `json:"leftKnown,omitempty"`
	Left      int64 `json:"left,omitempty"`
	// TakesMS is an estimate of the time for that, from its recent pace, in milliseconds; 0 where the pace is not known.
	TakesMS int64 `json:"takesMS,omitempty"`
}

// String is, for example, "catching up from the archive, 384 MB left, about 36s".
func (c *CatchUp) String() string {
	text := "catching up from " + c.From
	if !c.LeftKnown {
		return text
	}
	if left := c.Left >> 20; left > 0 {
		text += fmt.Sprintf(", %d MB left", left)
	} else {
		text += ", less than 1 MB left"
	}
	if c.TakesMS > 0 {
		text += ", about " + roughly(time.Duration(c.TakesMS)*time.Millisecond)
	}
	return text
}

// roughly rounds a duration to the precision of an estimate: 36s, 4m, 2h10m.
func roughly(d time.Duration) string {
	switch {
	case d < 100*time.Second:
		return max(d.Round(time.Second), time.Second).String()
	case d < time.Hour:
		d = d.Round(time.Minute)
	default:
		d = d.Round(10 * time.Minute)
	}
	text := strings.TrimSuffix(d.String(), "0s")
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}
