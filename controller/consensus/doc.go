// Package consensus is the replicated log of the controllers: hashicorp/raft with a bbolt store, behind one small interface. It does not
// know the meaning of commands; a Machine does.
//
// Flow enters by Propose (commands of the leader) and by raft's streams (entries of another leader); it leaves by Machine.Apply, called
// in log order from one goroutine, by Pending, and by Leading.
//
// It must never skip a command: a command that the Machine does not know (FatalError), or that was damaged on the way, stops the log. It
// must never continue with a store in doubt: a failed write stops the log too, because after a failed fsync the content of the disk is
// not known. Failed and Err report it, and a process that has lost its log should exit.
//
// S3: a folder that is new, empty or has lost its store gets a new raft id. A restored or copied folder is refused, because it may have
// forgotten votes and entries that others count on; the error says how to join again. A folder whose older content was restored in place,
// by a volume's snapshot, is consistent in itself: a file in memory, which ends with the host's boot, records its last entry (lately),
// and the other controllers remember which entries it has had (Options.Confirmed). Their silence does not keep a controller from starting
// (S8). Two cases remain, which an operator repairs by the same commands: a folder restored before a boot of its host while no other
// controller remembers it, and a whole virtual machine restored together with all others.
package consensus
