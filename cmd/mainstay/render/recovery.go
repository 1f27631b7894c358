package render

import (
	"fmt"
	"strings"
)

// RecoveryView is what `controllers recover` says of a controller's folder.
type RecoveryView struct {
	Controller, Platform string
	Generation, Index    uint64
	Last                 string // RFC 3339
	Lost                 []string
	Clusters             []RecoveredCluster
}

// RecoveredCluster is a cluster as the controller knows it.
type RecoveredCluster struct {
	Name, Primary, Site, Epoch string
}

// Recovery says what would be done, and what is dangerous about it.
func Recovery(v RecoveryView, _ Options) string {
	var b strings.Builder
	fmt.Fprintf(&b, "controller %s knows platform %s up to entry %d of its log", v.Controller, v.Platform, v.Index)
	if v.Last != "" {
		fmt.Fprintf(&b, "; the last operation it knows of was at %s", v.Last)
	}
	fmt.Fprintf(&b, "\nit becomes the only controller, and generation %d begins\n", v.Generation)
	if len(v.Lost) > 0 {
		fmt.Fprintf(&b, "given up for good, and never let in again under these names: %s\n", strings.Join(v.Lost, ", "))
	}
	for _, c := range v.Clusters {
		fmt.Fprintf(&b, "  cluster %s: primary %s on site %s, epoch %s, as far as it knows\n", c.Name, c.Primary, c.Site, c.Epoch)
	}
	b.WriteString(`if the others still run somewhere, they may have made another member primary since: make sure that they, and what they
lead, are off or cut off from all clients; else two primaries accept writes until they hear of each other
a primary that answers this controller goes on; a cluster without one waits for ` + "`mainstay failover`" + `
`)
	return b.String()
}

// Recovered says what is left to do.
func Recovered(v RecoveryView, _ Options) string {
	return fmt.Sprintf(`controller %s is the only one of platform %s now, generation %d
next, in this order:
  1. start it: systemctl start mainstay-controller
  2. mainstay status: a cluster whose primary answers goes on; for each other one, once you are sure that its primary is off:
     mainstay failover CLUSTER --to MEMBER --accept-loss REASON --fenced
  3. give two new controllers new names and certificates and empty data folders, start them, and: mainstay controllers add ADDRESS
  4. name the new ones in the files of the agents and in the contexts
  5. when the old hosts come back: their members return as replicas by themselves, and what they hold beyond the new history
     is kept (mainstay member quarantine list CLUSTER); wipe the folders of the old controllers (%s)
`, v.Controller, v.Platform, v.Generation, strings.Join(v.Lost, ", "))
}
