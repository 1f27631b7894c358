// Package process knows which processes of this host belong to a member, and ends all of them: killing the postmaster alone is not
// a fence, because a busy backend continues and commits (L2).
//
// It must never signal a process that it has not just identified again behind a pidfd (pids are reused), itself, an ancestor, or a
// process that merely has its working directory in the data directory, such as an operator's shell. Except for NewTree it
// touches only the kernel's own filesystems (/proc and cgroup v2), since a frozen disk must not stop a kill.
//
// Data directories and cgroups enter from the agent and from the guard's configuration; signals leave to the kernel.
// It names the processes that it cannot end (SurvivorsError), and never reports an ended tree on a guess.
package process
