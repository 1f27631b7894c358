package render

import (
	"fmt"

	"mainstay/controller/member"
	"mainstay/controller/platform"
)

// KeptMember is what an agent keeps on disk for a member.
type KeptMember struct {
	Name    string         `json:"name"`
	Durable member.Durable `json:"durable"`
	Error   string         `json:"error,omitempty"` // why it cannot be read
}

// Kept shows the promises that an agent keeps on disk (S3), for a host whose agent is down.
func Kept(members []KeptMember, o Options) string {
	var rows []row
	for _, m := range members {
		d := m.Durable
		r := row{cells: []cell{{m.Name, bold}, {epoch(d.Epoch), plain}, {epoch(d.Ran), plain}, {epoch(d.Closed), plain},
			{epoch(d.Sealed), plain}, {or(d.Incarnation, "-"), plain}}}
		if m.Error != "" {
			r = row{cells: []cell{{m.Name, bold}}, below: []cell{{m.Error, red}}}
		}
		if x := d.Discarded; x != nil {
			r.below = append(r.below, cell{text: fmt.Sprintf("removed at the last repair: %s of timeline %d, %s to %s, kept in %s",
				Bytes(x.Bytes), x.Timeline, x.From, x.To, x.Kept)})
		}
		rows = append(rows, r)
	}
	return o.table("  ", []string{"MEMBER", "EPOCH OBEYED", "RAN AS PRIMARY IN", "CLOSED", "SEALED FOR", "INCARNATION"}, rows)
}

func epoch(e platform.Epoch) string {
	if e.IsZero() {
		return "-"
	}
	return e.String()
}
