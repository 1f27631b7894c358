// Package watchdog is the holder of a host's hardware watchdog: one small process beside the guards that pings the device as long
// as no guard of the host is overdue. It is the last resort against guards that hang with the whole host, and so part of the proof
// lease-expired (L2): without a ping the host resets by lease end + K. Guards that killed in time have no duty any more, and the
// host stays up.
//
// The holder must never ping the device, nor start it (which pings it), if the delayed reset would come after the end + K of a lease
// that a guard must still enforce. It never asks the agent for a guard's duty: guards write it into memory shared with the holder
// (guard.DutyPage), which needs no answer. The duty of a guard that hangs or died remains until its peer has ended the tree, an agent
// has disarmed the member, or a new guard in its place takes a lease. The thread that pings touches only the kernel's own
// filesystems and waits for no other thread or process.
//
// If the holder dies, the device continues to count down, and resets the host unless the agent has started another holder in time.
// (The kernel pings a device once more when it is closed without a stop: a holder that is killed while both guards hang and the
// lease has nearly ended delays the reset by the timeout. That takes three faults at once.) The device is stopped only
// intentionally: at once if the platform file says off or the lease is too short; on TERM, as at the shutdown of the host, once no
// guard has a duty.
//
// Flow enters as Wish, from the agent by Client.Tell, and as the guards' pages. It leaves as writes to the device, and as
// Status.
package watchdog
