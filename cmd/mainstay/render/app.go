package render

import (
	"fmt"
	"strings"
	"time"

	"mainstay/controller/platform"
	"mainstay/controller/wire"
	"mainstay/health"
)

var instanceHead = []string{"INSTANCE", "SITE", "STATE", "CHECK", "ROUTING", "RESTARTS", "PERMIT", "REPORT"}

// app is one pool of app servers of the status screen.
func (o Options) app(a wire.AppState) string {
	parts := []string{o.paint(bold, "app "+a.Name) + " (" + runs(a) + ")"}
	if len(a.Needs) > 0 {
		parts = append(parts, "needs "+strings.Join(a.Needs, ", "))
	}
	if a.Minimum > 1 {
		parts = append(parts, fmt.Sprintf("at least %d a site", a.Minimum))
	}
	text := strings.Join(parts, "   ") + "\n"
	if a.Now != "" {
		text += "  " + o.paint(yellow, "now: "+a.Now) + "\n"
	}
	rows := make([]row, len(a.Instances))
	for i, inst := range a.Instances {
		rows[i] = instanceRow(inst)
	}
	return text + o.table("  ", instanceHead, rows)
}

// runs says where a pool runs.
func runs(a wire.AppState) string {
	run := string(a.Run)
	switch {
	case a.Run != platform.RunWithPrimary:
		return run
	case a.Site == "":
		return run + ", no site chosen"
	case a.Moving:
		return run + ", moving to " + a.Site
	}
	return run + ", on " + a.Site
}

// instanceRow is one app server, with its faults below. An instance that must be stopped is not expected to answer.
func instanceRow(i wire.InstanceStatus) row {
	r := row{cells: []cell{{i.Name, bold}, {i.Site, plain}, instanceState(i), verdict(i), routing(i), {restarts(i), plain}, permit(i),
		instanceAge(i)}}
	if i.Out != "" {
		r.below = append(r.below, cell{"out of routing: " + i.Out, yellow})
	}
	if i.Error != "" && i.Health != health.Well && i.Goal != platform.WantStopped && !strings.Contains(i.Out, i.Error) {
		r.below = append(r.below, cell{"check: " + i.Error, yellow})
	}
	if i.Seen != nil && i.Seen.Error != "" {
		r.below = append(r.below, cell{"error: " + i.Seen.Error, red})
	}
	return r
}

// instanceState is the state of an instance from its agent's report.
func instanceState(i wire.InstanceStatus) cell {
	s, wanted := i.Seen, i.Goal == platform.WantRunning
	switch {
	case s == nil && i.Host == "":
		return cell{"no agent", dim}
	case s == nil:
		return cell{"not known", yellow}
	case s.Draining:
		return cell{"draining", yellow}
	case s.Running && i.Goal == platform.WantStopped:
		return cell{"stopping", yellow}
	case s.Running:
		return cell{"running", green}
	case wanted && s.Restarts > 0:
		return cell{"crash loop", red}
	case wanted && s.Error != "":
		return cell{"not running", red}
	case wanted:
		return cell{"starting", yellow}
	case s.Stopped:
		return cell{"stopped", plain}
	}
	return cell{"not running", plain}
}

// verdict is the result of the checks by a majority of the controllers.
func verdict(i wire.InstanceStatus) cell {
	switch {
	case i.Health == health.Well && i.Reaches == health.Down:
		return cell{"well, cut off", yellow} // its app is a reachability check, and it reaches no primary
	case i.Health == health.Well:
		return cell{"well", green}
	case i.Health == health.Down:
		return cell{"down", styleIf(i.Goal == platform.WantRunning, red)}
	}
	return cell{"unknown", styleIf(i.Goal == platform.WantRunning, yellow)}
}

func routing(i wire.InstanceStatus) cell {
	if i.Serves {
		return cell{"in", green}
	}
	return cell{"out", styleIf(i.Goal == platform.WantRunning, yellow)}
}

// restarts counts the automatic restarts by the agent since the instance's goal is to run, and those requested because of checks.
func restarts(i wire.InstanceStatus) string {
	text := "-"
	if i.Seen != nil {
		text = fmt.Sprint(i.Seen.Restarts)
	}
	if i.Restart > 0 {
		text += fmt.Sprintf(", %d asked", i.Restart)
	}
	return text
}

// permit is the remaining permit, if it was not renewed since: the report's figure less its age.
func permit(i wire.InstanceStatus) cell {
	if i.Seen == nil || i.Seen.PermitLeft == 0 {
		return cell{"-", plain}
	}
	left := time.Duration(i.Seen.PermitLeft)*time.Millisecond - i.Age
	switch {
	case left <= 0:
		return cell{"over, unless renewed", red}
	case i.Seen.ByPrimary:
		return cell{Span(left) + ", by promise", yellow}
	}
	return cell{Span(left), plain}
}

func instanceAge(i wire.InstanceStatus) cell {
	if i.Seen == nil {
		return cell{"-", plain}
	}
	return cell{Span(i.Age) + " ago", styleIf(i.Age > oldReport, red)}
}
