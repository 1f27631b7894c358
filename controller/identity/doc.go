// Package identity says who speaks: the platform's private CA, its certificates, the TLS configurations made of them, and
// the one listener on which controllers hear both the API and raft.
//
// A certificate carries the URI mainstay://platform/role/name, and that, not a host name, is what is checked: every
// connection names the role it wants to speak to. Only TLS 1.3 is spoken. A date never stops a database: a controller's or
// an agent's certificate past its date still verifies (chain, role, revocation), and Store.ExpiresSoon raises an alarm from
// 60 days before; a person's certificate ends on its date.
//
// It must never hand out a connection whose peer has not been verified, never log or return key material, and never decide
// what a role may do: handlers do that with IDOf.
//
// Flow enters by Load and Reload (files), Listen (connections from others) and Dial (ours to others); it leaves as
// *tls.Conn whose peer is known. InitCA and Issue are called by `mainstay cert` only.
package identity
