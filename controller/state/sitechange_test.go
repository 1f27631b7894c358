package state

import (
	"testing"

	"mainstay/controller/platform"
)

// Who names a site that the platform cannot be moved to hears which ones it can.
func TestBeginSiteNamesTheTargets(t *testing.T) {
	with := func(change func(*platform.Platform)) *State {
		p := testPlatform(1)
		p.Sites = append(p.Sites, platform.Site{Name: "north", Witness: true})
		if change != nil {
			change(p)
		}
		s := bootstrapped(t, 1)
		s.Platform = p
		return s
	}
	for _, c := range []struct {
		name, to, want string
		change         func(*platform.Platform)
	}{
		{"a witness", "north", "site north is a witness and has no data; the platform can move to west", nil},
		{"no site", "wets", `there is no site "wets"; the platform can move to west`, nil},
		{"two targets", "north", "the platform can move to west, south", func(p *platform.Platform) {
			p.Sites, p.Hosts[2].Site = append(p.Sites, platform.Site{Name: "south"}), "south"
		}},
		{"nobody may lead there", "north", "no other site has a member of every cluster that may lead", func(p *platform.Platform) {
			p.Clusters[0].Members[1].MayLead = false
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			refused(t, with(c.change), Command{By: "alice", BeginSite: &BeginSite{To: c.to, Reason: "test"}}, c.want)
		})
	}
}
