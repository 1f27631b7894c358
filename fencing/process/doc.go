// Package process knows which processes of this host are a member's, and ends all of them: killing the postmaster
// alone is no fence, a busy backend goes on and commits (L2).
//
// It must never signal a process it has not just identified again behind a pidfd (pids are reused), never itself or an
// ancestor, and never a process that merely stands in the data directory, such as an operator's shell. Apart from
// NewTree it touches no filesystem but the kernel's own (/proc and cgroup v2), since a frozen disk must not stop a kill.
//
// Data directories and cgroups enter from the agent and from the guard's configuration; signals leave to the kernel.
// What it cannot end it names (SurvivorsError); it never reports an ended tree on a guess.
package process
