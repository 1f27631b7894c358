// Package ondisk reads what PostgreSQL writes on disk: the control file and the write-ahead log of versions 13 to 18, in the
// layout of 64-bit little-endian machines. It replaces pg_controldata and pg_waldump where a failover would wait for them.
//
// It is pure: bytes enter, answers leave, and the caller does the reading. It must never believe bytes that their checksum
// does not cover, and never place the end of WAL past what PostgreSQL's own recovery would replay from the same files. A
// layout or version that it does not know is an error of its own, for which the caller asks PostgreSQL's programs.
package ondisk
