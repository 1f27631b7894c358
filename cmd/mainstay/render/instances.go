package render

import (
	"fmt"
	"time"

	"mainstay/controller/wire"
	"mainstay/health"
)

// agentInstances are the app servers that one agent looks after, "" for none.
func (o Options) agentInstances(apps []wire.AppState) string {
	var rows []row
	for _, app := range apps {
		for _, i := range app.Instances {
			if i.Seen != nil {
				rows = append(rows, instanceRow(app.Name, i))
			}
		}
	}
	if len(rows) == 0 {
		return ""
	}
	return o.table("  ", []string{"APP SERVER", "APP", "GOAL", "STATE", "REQUESTS", "PERMIT LEFT", "RESTARTS"}, rows)
}

func instanceRow(app string, i wire.InstanceStatus) row {
	permit := "-"
	if i.Seen.PermitLeft > 0 {
		permit = Span(time.Duration(i.Seen.PermitLeft) * time.Millisecond)
	}
	if i.Seen.Vouched {
		permit += " (by its primary's agent)"
	}
	requests := cell{"yes", plain}
	if !i.Serves {
		requests = cell{"no: " + i.Out, dim}
	}
	r := row{cells: []cell{{i.Name, bold}, {or(app, "-"), plain}, {or(string(i.Goal), "-"), plain}, instanceState(i.Seen), requests, {permit, plain}, {fmt.Sprint(i.Seen.Restarts), plain}}}
	if i.Seen.Error != "" {
		r.below = append(r.below, cell{i.Seen.Error, red})
	}
	return r
}

func instanceState(seen *health.Instance) cell {
	switch {
	case seen.Draining:
		return cell{"draining", yellow}
	case seen.Running:
		return cell{"running", green}
	case seen.Stopped:
		return cell{"stopped", plain}
	}
	return cell{"not running", yellow}
}
