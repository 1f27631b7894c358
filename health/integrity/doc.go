// Package integrity reads the files of a PostgreSQL data directory, of a server that runs or not, and finds what PostgreSQL did not write:
// pages with a wrong checksum or header, missing and short segments, files that cannot be read. It also summarises pages, for a comparison
// with those of another member (package page).
//
// It only reads. It must never call clean what it did not look at: everything that is left out is counted with its reason. It must never
// take for damage what a running server changes meanwhile: a finding is what several reads show alike, and Settled is one that also
// outlasted a checkpoint. It never waits for a disk longer than its deadline: a call that hangs is left to its goroutine, which the Scanner
// counts, and no further check begins until it has returned.
//
// The files belong to PostgreSQL's user, and the agent may be root: nothing is followed out of the data directory but the links of
// pg_tblspc, and nothing is opened that is no regular file of the data directory's owner.
//
// The flow enters in Scanner.Scan and leaves through a Sink.
package integrity
