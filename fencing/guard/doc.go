// Package guard holds a member's lease end where the agent cannot lose it: in two small processes, the twins, that kill
// the member's whole process tree when the end passes, whatever the agent does (L2).
//
// Each twin counts by itself on CLOCK_BOOTTIME and watches the other through a pidfd. If one dies while armed, the other
// kills the tree at once, so neither the death of a guard, nor of the agent and one guard together, leaves a primary
// that nobody guards. The deaths of both guards and the agent within one scheduling delay do; what the kernel gave
// the guards against that (locked memory, real-time priority, exemption from the OOM killer, a cgroup of their own, a
// name that `pkill mainstay` does not match) is in each Report, and what it refused is in Report.Missing.
//
// A guard must never touch a filesystem once it runs (/proc and cgroup v2 are the kernel's own), never take an earlier
// end for a later one, never believe an extension that comes after the end, never decide anything but when to kill, and
// never end by itself while armed. It holds no secret.
//
// The flow: the agent calls Start, which finds or starts the twins, then Set.Extend with each lease it was granted (L1),
// as one line of JSON over a unix socket. Signals to the member leave through fencing/process. A connection that closes
// changes nothing: the guards count on, and a restarted agent attaches again without touching PostgreSQL. The connection
// that attached last is the only one that may extend, disarm or exit, so no late word of an earlier agent counts.
package guard
