// Package identity authenticates peers: the platform's private CA, its certificates, the TLS configurations made of them, and the one
// listener of a controller for both the API and raft.
//
// A certificate carries the URI mainstay://platform/role/name; that is checked, not a host name: every connection names the role of the
// peer that it wants. Only TLS 1.3 is allowed. A date never stops a database: a controller's or an agent's certificate past its date still
// verifies (chain, role, revocation), and Store.ExpiresSoon raises an alarm from 60 days before; a person's certificate ends on its date.
//
// It must never return a connection whose peer was not verified, never log or return key material, and never decide what a role may do:
// handlers do that with IDOf.
//
// Flow enters by Load and Reload (files), Listen (connections from others) and Dial (connections to others); it leaves as *tls.Conn whose
// peer is verified. Only `mainstay cert` calls InitCA and Issue.
package identity
