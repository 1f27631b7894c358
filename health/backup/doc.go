// Package backup makes backups of a cluster's member, proves them before they are released, and proves them again by restoring them from
// their targets.
//
// A backup is taken by pg_basebackup into staging, its manifest is verified in the same pass that packs it, and a scratch instance recovers
// the copy, answers the checks and is stopped cleanly; then its pages are read. Only after that is the packed copy put to the targets, each
// with a receipt. A restore test does the same with what a target gives back.
//
// It must never release what any check has found bad or has not come to, and never replace or remove another backup. It must never let a
// scratch instance reach anything but its own copy: see isolation. It must never write outside staging, the targets, and the directory that
// a restore was given, and it removes from staging only what it has made (Sweep). It decides nothing about a cluster: schedules, expiry and
// alarms are others'.
//
// Every step ends with its context, and is given up when nothing has moved for Limits.Stall. No process that it has started outlives a
// step, also if this process is killed.
//
// The flow enters in Engine.Make, Engine.TestRestore and Engine.Restore, and leaves through Record, Tested and Progress.
package backup
