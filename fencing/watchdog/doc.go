// Package watchdog is the holder of a host's hardware watchdog: one small process beside the guards that feeds the device
// for as long as no guard of the host is overdue. It is the last resort behind guards that hang with the whole host, and so
// part of what makes lease-expired true (L2): then nobody feeds, and the host resets by lease end + K. Guards that killed in
// time owe nothing any more, and the host stays up.
//
// The holder must never feed, nor start the device (which feeds it), where the reset that this puts off would come after
// the end + K of a lease that a guard is still bound to. It never asks the agent what a guard owes: guards write that into
// memory they share with the holder (guard.Page), which needs no answer; the last word of one that hangs or died stands
// until the tree has ended by its twin's hand, an agent has disarmed the member, or a guard in its place is bound anew. The
// thread that feeds touches no filesystem but the kernel's own, and waits for nobody.
//
// If the holder dies, the device goes on counting, and resets the host unless the agent has started another in time. (The
// kernel feeds a device once more when it is closed unmeant: a holder that is killed while both guards hang and the lease has
// all but ended puts the reset off by the timeout. That takes three faults at once.) The
// device is stopped only on purpose: at once where the platform file says off, or where it cannot serve the lease; on TERM,
// as at the shutdown of the host, once no guard is bound to anything.
//
// Flow enters as Wish, from the agent by Client.Tell, and as the guards' pages. It leaves as writes to the device, and as
// Status.
package watchdog
