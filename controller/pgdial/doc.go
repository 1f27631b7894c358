// Package pgdial is the one way to open a PostgreSQL connection: lib/pq behind deadlines on every read and write.
//
// lib/pq 1.12 ignores a context's deadline against a frozen server: it requests a cancel and keeps waiting. So each connection made here
// has its own deadlines, and a probe (WithConn) opens a new connection, because a postmaster that hangs still serves its existing
// connections.
//
// It must never keep a password in memory longer than the handshake, read PG* variables of the environment, or change the identity of any
// thread but the one it locked (peer authentication needs the data owner's effective uid at connect). Configs enter from
// controller/postgres and health/probe; *sql.DB and *sql.Conn leave.
package pgdial
