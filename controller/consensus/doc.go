// Package consensus is the replicated log of the controllers: hashicorp/raft with a bbolt store, behind one small
// interface. It does not know what the commands mean; a Machine does.
//
// Flow enters by Propose (commands of the leader) and by raft's streams (entries of another leader); it leaves by
// Machine.Apply, called in log order from one goroutine, by Pending, and by Leading.
//
// It must never skip a command: one that the Machine cannot understand (FatalError), or that was damaged on the way, stops
// the log. It must never go on with a store whose state is doubtful: a failed write stops the log too, for after a failed
// fsync nobody knows what is on the disk. Failed and Err say so, and a process that has lost its log should exit.
//
// S3: a folder that is new, empty or has lost its store gets a new raft id. One that was restored or copied is refused,
// because it may have forgotten votes and entries that others count on; the error says how to join anew. One whose older
// content came back in place, a volume's snapshot, looks right from inside: a file in memory, which ends with the host's boot,
// says how far it went (lately), and the other controllers remember which entries it has had (Options.Confirmed). Their silence
// keeps nobody from starting (S8). What is left is a folder put back before a boot of its host while no other controller
// remembers either, and a whole virtual machine put back with all others: for the operator to mend, by the same commands.
package consensus
