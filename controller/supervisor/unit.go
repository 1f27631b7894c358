package supervisor

import (
	"path"
	"strings"
	"sync"

	"mainstay/controller/wire"
	"mainstay/fencing/process"
)

// unswept names the missing protection if no service unit holds this agent: then nothing runs `mainstay guard sweep` after agent and
// guards were killed together. It asks the kernel once.
var unswept = sync.OnceValue(func() []string {
	if own, err := process.Own(); err == nil && inUnit(own) {
		return nil
	}
	return []string{wire.MissingService +
		": if the agent and its guards die together, nothing stops the PostgreSQL they leave; run the agent as a systemd service"}
})

// inUnit tells whether the cgroup is a service's, or the one that systemd delegates below it. A login session is in a scope.
func inUnit(cgroup string) bool {
	for _, dir := range []string{cgroup, path.Dir(cgroup)} {
		if unit := path.Base(dir); strings.HasSuffix(unit, ".service") && !strings.HasPrefix(unit, "user@") {
			return true
		}
	}
	return false
}
