// Package structure asks a running server to check the structure of what it stores: tables, their TOAST values and visibility maps by
// verify_heapam and pg_visibility, indexes by amcheck, files by their sizes against the catalog. It finds damage behind right checksums, as
// far as PostgreSQL's own checks do.
//
// It changes nothing, but for the extensions that it creates where Options.Install asks for them. It never calls clean what no check
// covered: an extension, a function or an access method's check that is not there makes unverified, with the reason. What ends a statement
// for reasons other than the data (a conflict with recovery, a cancelled query, a lock, a deadline) is no verdict: the statement is run
// again, and then the relation is unverified. It takes no lock but AccessShareLock, and gives way to sessions that wait for that, and to a
// standby's recovery that waits for its snapshot: it never uses bt_index_parent_check.
//
// Each statement has a deadline, on the server's side too. When the context ends the connection is closed, and the server ends the
// statement within about a second.
//
// The flow enters in Checker.Run and leaves through Sink and Result.
package structure
