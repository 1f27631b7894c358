// Package compare compares the files of a cluster's members, block by block, while their servers run. Nothing is paused: members summarise
// their pages (package page), the comparison reads those summaries in ranges, and what it cannot decide it looks at again once the members
// have written out what they were writing.
//
// It must never call equal what it could not decide: all that never settled is counted with its reason. It must never call a page damaged
// by one look: a difference counts once the same pages have outlasted a checkpoint of every member. It must name a culprit only where the
// page itself tells, or a majority of the members agrees; otherwise it names all that may be wrong.
//
// The flow enters in Run, asks through Member, and leaves in a health.Comparison.
package compare
