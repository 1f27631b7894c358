// Package guard keeps the end of a member's lease in two small processes, the guards, which kill the member's whole process tree when
// the end passes, whatever the agent does (L2).
//
// Each guard counts independently on CLOCK_BOOTTIME and watches the other through a pidfd. If one dies while armed, the other
// kills the tree at once, so neither the death of a guard, nor of the agent and one guard together, leaves an unguarded primary.
// Each Report has the protections against a common death that the kernel granted (locked memory, real-time priority, exemption
// from the OOM killer, a cgroup of their own, a name that `pkill mainstay` does not match); Report.Missing has those it refused.
//
// If both guards and the agent die at once, the kernel ends PostgreSQL. Set.Launch starts PostgreSQL as a child of the launcher, a
// third small process, which is a child of guard A. Both have PDEATHSIG, so the kernel kills launcher and postmaster when guard A
// ends, however it ends, also while idle. PostgreSQL's other processes notice the postmaster's end when they next wait: idle
// sessions, WAL senders and waits for a replica's acknowledgement at once. A statement in flight that does not wait continues, and
// commits if it commits on its own, as in a procedure. With acks of 1 or more it can acknowledge nothing; with acks 0 it can,
// until it ends or until the restarted agent or the service manager (`mainstay guard sweep`) ends the tree. A postmaster that
// another process started is not the launcher's child before its next start, nor is one whose security label changes at its start;
// see Status.Kept.
//
// The launcher is a separate process because starting PostgreSQL touches a filesystem, which may hang, and because a child inherits:
// guard A forks it before it hardens itself, so PostgreSQL gets the agent's OOM score, limits and umask, and the ordinary priority
// (the kernel takes the agent's from guard A). The launcher is not hardened either: its death ends PostgreSQL, never a fence.
//
// A guard's duty is in its Page, memory that the holder of the host's watchdog reads (fencing/watchdog): the watchdog protects
// against guards that hang with the whole host, and needs no answer of theirs.
//
// Once it runs, a guard must never touch a filesystem (/proc and cgroup v2 are the kernel's own), move an end backwards, accept an
// extension after the end, decide anything except when to kill, or exit while armed. It holds no secret.
//
// The flow: the agent calls Start, which finds or starts the guards, then Set.Extend with each granted lease (L1), as one line of
// JSON over a unix socket. Signals to the member leave through fencing/process. A closed connection changes nothing: the guards
// keep counting, and a restarted agent attaches again without touching PostgreSQL. Only the connection that attached last may
// extend, disarm or exit, so no late request of an earlier agent counts. Programs to start enter by the launcher's own socket, as one
// packet with their files, and their exit leaves by it.
package guard
