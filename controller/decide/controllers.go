package decide

import (
	"strconv"
	"time"

	"mainstay/health"
)

// minControllerSilence is the shortest silence of a controller that is a problem: a restart by the service manager is none.
const minControllerSilence = 3 * time.Second

// controllerProblems names the controllers that the leader does not hear, and those whose own files do not allow a program of the
// platform's.
func controllerProblems(in Input) (problems []health.Problem) {
	limit := max(in.suspect(), minControllerSilence)
	answer := 0
	for _, c := range in.Controllers {
		if c == in.Self || in.View.ObserverSilence(c, in.Now) <= limit {
			answer++
		}
	}
	for _, c := range in.Controllers {
		if silence := in.View.ObserverSilence(c, in.Now); c != in.Self && silence > limit {
			why := Reason{Code: controllerSilent, For: silence, Number: answer, Of: len(in.Controllers),
				Want: strconv.Itoa(len(in.Controllers)/2 + 1)}
			problems = append(problems, health.Problem{Kind: health.ControllerSilent, Controller: c, Site: in.View.SiteOf(c),
				Evidence: why.String()})
		}
		if text := in.View.Lacks(c, in.suspect(), in.Now); text != "" {
			problems = append(problems, health.Problem{Kind: health.ProgramNotAllowed, Controller: c, Evidence: text})
		}
	}
	return problems
}
