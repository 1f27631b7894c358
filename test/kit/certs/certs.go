// Package certs makes a platform's certificates for tests. Nothing but tests imports it.
package certs

import (
	"path/filepath"
	"testing"

	"mainstay/controller/identity"
	"mainstay/test/kit"
)

// Authority is a CA in a folder of its own, with the certificates that it has issued.
type Authority struct {
	t testing.TB
	// Dir has ca.crt and ca.key, and ROLE-NAME.crt and .key of each holder.
	Dir string
}

// New makes the CA of a platform.
func New(t testing.TB, platform string) Authority {
	t.Helper()
	a := Authority{t, filepath.Join(t.TempDir(), "ca")}
	kit.Check(t, identity.InitCA(a.Dir, platform))
	return a
}

// Files issues a certificate, of 127.0.0.1 where the role has addresses.
func (a Authority) Files(role, name string) identity.Files {
	a.t.Helper()
	r := identity.Request{Role: role, Name: name}
	switch role {
	case identity.RoleController, identity.RoleAgent, identity.RolePostgres:
		r.Addresses = []string{"127.0.0.1"}
	}
	paths, err := identity.Issue(a.Dir, a.Dir, r)
	kit.Check(a.t, err)
	return identity.Files{CA: filepath.Join(a.Dir, "ca.crt"), Cert: paths[0], Key: paths[1]}
}

// Store issues a certificate and loads it.
func (a Authority) Store(role, name string) *identity.Store {
	a.t.Helper()
	s, err := identity.Load(a.Files(role, name))
	kit.Check(a.t, err)
	return s
}
