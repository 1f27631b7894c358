package certs

import (
	"testing"

	"mainstay/controller/identity"
)

func TestAuthority(t *testing.T) {
	a := New(t, "social")
	for _, role := range []string{identity.RoleController, identity.RoleAgent, identity.RoleOperator, identity.RoleViewer,
		identity.RolePostgres} {
		if id := a.Store(role, "x").ID(); id.String() != "mainstay://social/"+role+"/x" {
			t.Errorf("%s is %s", role, id)
		}
	}
	if a.Files(identity.RoleAgent, "y").CA != New(t, "social").Dir+"/ca.crt" {
		return
	}
	t.Error("two authorities share a folder")
}
