package agent

import (
	"net/http"
	"slices"

	"mainstay/controller/boottime"
	"mainstay/controller/identity"
	"mainstay/controller/wire"
)

// lease tells how long a member supports the permits of its app servers while no leader answers: 0 unless the member may act as primary
// of that epoch now. It reads memory only and changes nothing.
func (a *api) lease(w http.ResponseWriter, r *http.Request) {
	answer, err := a.leaseOf(r)
	respond(w, answer, err)
}

func (a *api) leaseOf(r *http.Request) (any, error) {
	id, err := identity.IDOf(r)
	if err != nil || !slices.Contains([]string{identity.RoleAgent, identity.RoleController, identity.RoleOperator}, id.Role) {
		return nil, refuse(http.StatusForbidden, "forbidden", "only agents, controllers and operators may ask")
	}
	name, asked := r.URL.Query().Get("member"), r.URL.Query().Get("epoch")
	m := a.lookUp(name)
	if m == nil {
		return nil, refuse(http.StatusNotFound, "bad-request", "this host has no member %s", name)
	}
	epoch, left := m.GoodFor(boottime.Now())
	if asked != epoch.String() {
		return nil, refuse(http.StatusConflict, "refused", "the lease of %s has epoch %s, not %s", name, epoch, asked)
	}
	return wire.LeaseAnswer{Member: name, Epoch: epoch, Left: left}, nil
}
