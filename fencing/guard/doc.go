// Package guard holds a member's lease end where the agent cannot lose it: in two small processes, the twins, that kill
// the member's whole process tree when the end passes, whatever the agent does (L2).
//
// Each twin counts by itself on CLOCK_BOOTTIME and watches the other through a pidfd. If one dies while armed, the other
// kills the tree at once, so neither the death of a guard, nor of the agent and one guard together, leaves a primary
// that nobody guards. What the kernel gave the guards against dying together (locked memory, real-time priority,
// exemption from the OOM killer, a cgroup of their own, a name that `pkill mainstay` does not match) is in each Report,
// and what it refused is in Report.Missing.
//
// The deaths of both guards and the agent at once are answered by the kernel. PostgreSQL is started by Set.Launch as a
// child of the keeper, a third small process, which is a child of guard A; both links bear PDEATHSIG, so the kernel kills
// keeper and postmaster when guard A ends, however it ends, also while idle. PostgreSQL's other processes see the
// postmaster's end when they next wait: idle sessions, WAL senders and waits for a replica's ack at once. What goes on is
// a statement in flight that waits for nothing (one that commits by itself, such as a procedure, commits on): with acks of
// 1 or more it can acknowledge nothing, with acks 0 it may until it ends, or until the agent's restart or the service
// manager (`mainstay guard sweep`) ends the tree. A postmaster that others started is no keeper's child before its next
// start, nor is one whose security label changes at its start; Status.Kept tells.
//
// The keeper is a process of its own because to start PostgreSQL is to touch a filesystem, which may hang, and because a
// child inherits: guard A forks it before it hardens itself, so PostgreSQL gets the agent's OOM score, limits and umask, and
// the ordinary priority (the kernel takes the agent's from guard A), without anything to undo. The keeper is not hardened
// either: its death ends PostgreSQL, never a fence.
//
// What a guard owes stands in its Page, memory that the holder of the host's watchdog reads (fencing/watchdog): it answers
// guards that hang together with the whole host, and needs nothing of theirs for it.
//
// A guard must never touch a filesystem once it runs (/proc and cgroup v2 are the kernel's own), never take an earlier
// end for a later one, never believe an extension that comes after the end, never decide anything but when to kill, and
// never end by itself while armed. It holds no secret.
//
// The flow: the agent calls Start, which finds or starts the twins, then Set.Extend with each lease it was granted (L1),
// as one line of JSON over a unix socket. Signals to the member leave through fencing/process. A connection that closes
// changes nothing: the guards count on, and a restarted agent attaches again without touching PostgreSQL. The connection
// that attached last is the only one that may extend, disarm or exit, so no late word of an earlier agent counts. Programs
// to start enter by the keeper's own socket, as one packet with their files, and their end leaves by it.
package guard
