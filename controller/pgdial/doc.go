// Package pgdial is the one way to open a PostgreSQL connection: lib/pq behind deadlines on every read and write.
//
// lib/pq 1.12 ignores a context's deadline against a frozen server: it asks for a cancel and goes on waiting. So each
// connection made here carries its own deadlines, and a probe (WithConn) opens a new connection, because a postmaster
// that hangs still serves the connections it has.
//
// It must never keep a password in memory longer than the handshake, read PG* variables of the environment, or change
// the identity of any thread but the one it locked (peer authentication needs the data owner's effective uid at
// connect). Configs enter from controller/postgres and health/probe; *sql.DB and *sql.Conn leave.
package pgdial
