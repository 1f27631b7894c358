package render

import "mainstay/controller/wire"

// agentInstances are the app servers that one agent manages, "" for none. An agent knows nothing of checks; ROUTING is its own
// answer to load balancers.
func (o Options) agentInstances(apps []wire.AppState) string {
	var rows []row
	for _, app := range apps {
		for _, i := range app.Instances {
			if i.Seen != nil {
				rows = append(rows, agentInstance(app.Name, i))
			}
		}
	}
	if len(rows) == 0 {
		return ""
	}
	return o.table("  ", []string{"INSTANCE", "APP", "GOAL", "STATE", "ROUTING", "RESTARTS", "PERMIT"}, rows)
}

func agentInstance(app string, i wire.InstanceStatus) row {
	r := row{cells: []cell{{i.Name, bold}, {or(app, "-"), plain}, {or(string(i.Goal), "-"), plain}, instanceState(i), routing(i),
		{restarts(i), plain}, permit(i)}}
	if !i.Serves {
		r.cells[4].text += after(": ", i.Out)
	}
	if i.Seen.Error != "" {
		r.below = append(r.below, cell{"error: " + i.Seen.Error, red})
	}
	return r
}
