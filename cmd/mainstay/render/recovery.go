package render

import (
	"fmt"
	"strings"
)

// RecoveryView is the content of a controller's folder, for `controllers recover`.
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

// Recovery says what would be done, and its dangers.
func Recovery(v RecoveryView, _ Options) string {
	var b strings.Builder
	fmt.Fprintf(&b, "controller %s knows platform %s up to entry %d of its log", v.Controller, v.Platform, v.Index)
	if v.Last != "" {
		fmt.Fprintf(&b, "; the last operation it knows of was at %s", v.Last)
	}
	fmt.Fprintf(&b, "\nit becomes the only controller, and generation %d begins\n", v.Generation)
	if len(v.Lost) > 0 {
		fmt.Fprintf(&b, "given up for good, and never admitted again under these names: %s\n", strings.Join(v.Lost, ", "))
	}
	for _, c := range v.Clusters {
		fmt.Fprintf(&b, "  cluster %s: primary %s on site %s, epoch %s, as far as it knows\n", c.Name, c.Primary, c.Site, c.Epoch)
	}
	b.WriteString(`if the others still run somewhere, they may have promoted another member since: make sure that they and the members they
lead are off or cut off from all clients; otherwise two primaries accept writes until they hear of each other
a primary that answers this controller keeps running; a cluster without a primary waits for ` + "`mainstay failover`" + `
`)
	return b.String()
}

// Recovered lists the steps that remain.
func Recovered(v RecoveryView, _ Options) string {
	return fmt.Sprintf(`controller %s is now the only controller of platform %s, generation %d
next, in this order:
  1. start it: systemctl start mainstay-controller
  2. mainstay status: a cluster whose primary answers keeps running; for each other cluster, once its primary is surely off:
     mainstay failover CLUSTER --to MEMBER --accept-loss REASON --fenced
  3. give two new controllers new names and certificates and empty data folders, start them, and: mainstay controllers add ADDRESS
  4. name the new controllers in the files of the agents and in the contexts
  5. when the old hosts come back: their members rejoin as replicas automatically, and commits beyond the new history are
     kept (mainstay member quarantine list CLUSTER); wipe the folders of the old controllers (%s)
`, v.Controller, v.Platform, v.Generation, strings.Join(v.Lost, ", "))
}
