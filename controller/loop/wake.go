package loop

import (
	"strconv"

	"mainstay/controller/state"
)

// WakeVersion changes whenever the goals of a host may have changed: it consists of the versions they are computed from.
func WakeVersion(s *state.State, host string) string {
	v := strconv.AppendUint(make([]byte, 0, 64), s.Generation, 10)
	add := func(word, name, sep string, version uint64) {
		v = append(append(append(v, word...), name...), sep...)
		v = strconv.AppendUint(v, version, 10)
	}
	add("", "", ".", s.PlatformVersion)
	if s.Platform == nil {
		return string(v)
	}
	for i := range s.Platform.Clusters {
		conf := &s.Platform.Clusters[i]
		for _, m := range conf.Members {
			if m.Host == host {
				add("/", conf.Name, ":", s.Clusters[conf.Name].Version)
				break
			}
		}
	}
	for i := range s.Platform.Apps {
		app := &s.Platform.Apps[i]
		for j := range app.Instances {
			if a := s.Apps[app.Name]; app.Instances[j].Host == host && a != nil {
				add("/app ", app.Name, ":", a.Version)
				break
			}
		}
	}
	if s.Change != nil {
		add("/", s.Change.ID, ":", s.Change.Version)
	}
	return string(v)
}
