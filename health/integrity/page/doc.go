// Package page reads single pages of PostgreSQL's relation files, of versions 14 to 18 on 64-bit little-endian machines: whether a page is
// what PostgreSQL wrote (Check), and whether the same page of two members is the same (Summarise, Compare).
//
// It is pure: bytes enter, answers leave, and the caller does the reading. It must never call a page clean that it has no rule for, and
// never call two pages different because of what PostgreSQL lets differ: hint bits, the hole, a standby's command ids. What it cannot
// decide is an answer of its own, and the zero value of each answer.
//
// The rules are those of PostgreSQL's storage/page/bufpage.c, storage/checksum_impl.h, access/common/bufmask.c and of each access method's
// mask for wal_consistency_checking, but for what those masks would hide (see Compare).
package page
