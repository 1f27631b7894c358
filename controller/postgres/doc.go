// Package postgres is the only one that speaks to PostgreSQL's files and programs: control data, configuration, signal
// files, initdb, pg_basebackup, pg_rewind, pg_waldump, and the statements the agent needs on its own member. It supports
// PostgreSQL 14 and newer. Control data and the end of WAL, for which a failover waits, it reads in this process (package
// ondisk), and asks pg_controldata and pg_waldump only about versions that are not known there.
//
// It obeys; it never decides. It must never promote, start a primary, or discard WAL unless that very function is called,
// never leave a data directory without standby.signal except between Start{AsPrimary} and RestoreStandbySignal (S4),
// never put a secret on a command line, and never destroy what it did not make (S9).
//
// A file in a folder that the data's owner can change is read, written and removed with that owner's rights (asowner.go), because
// the owner may have put a link in its place.
//
// Calls enter from controller/supervisor and controller/quarantine with a context that has a deadline; observations leave as values.
// External programs run as the data's owner in a process group of their own and are killed, all of them, at the deadline. Calls that only
// touch files check the context first but cannot be interrupted in a frozen filesystem: the agent runs each call apart
// from the lease path (L6).
package postgres
