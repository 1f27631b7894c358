// Package decide is what the leader thinks: Next looks at the replicated state, the view of the platform and the leader's
// own memory of leases, and returns the commands to commit, the problems it sees, and why it waits where it waits.
//
// Each reason is a code with its values (Reason), which tests assert; words.go words them all. testdata holds scenarios that read
// like a story: what happens to a cluster, what the leader decides then, and why.
//
// It is pure: no clock (now is an argument), no I/O, no goroutine. It never acts; it only proposes, and state.Apply checks
// every promotion once more at the gate. Input comes from controller/loop, commands go back to it. Predict runs the very
// same code on a copy for `explain`, so an explanation cannot differ from what would happen.
//
// # The safety argument
//
// Each claim below is what the tests and the simulator try to break; code that holds one up names it in a comment.
//
//   - S1 At most one member of a cluster acknowledges commits that wait for durability at any instant; epochs order them.
//   - S2 With acks k, a commit acknowledged to a client (synchronous_commit on or remote_apply, fsync on) survives the loss
//     of the primary and any k-1 further members. With acks 0 the possible loss is reported.
//   - S3 A member never acts on an epoch lower than the highest it has persisted. An epoch is (generation, number). An
//     empty, lost or restored controller joins under a new raft id; agents refuse foreign platforms and lower generations.
//   - S4 No member is made primary in a new epoch, the old primary included, without a fence proof for the previous one.
//     An operator may stand in for one, by name, with a reason, for one attempt.
//   - S5 A member of another system identifier, diverged or excluded, is never promoted.
//   - S6 Loss of all controllers never stops a healthy primary that enough unsealed members vouch for (L5).
//   - S7 Whatever is interrupted is finished by whoever comes next: goals are a function of committed state, and agents
//     converge on them from wherever they are.
//   - S8 With a majority of controllers, a proof and an eligible member, promotion follows within the bound explain states.
//   - S9 WAL that a rewind or rebuild would discard is counted, named and kept first.
//
// # Lease
//
// The agent reads CLOCK_BOOTTIME before it makes a report (member.Clocks); the leader answers after an entry of its own
// term, proposed after the report arrived, was applied (loop.Core: waiting, inTick). The lease ends at the agent's clock
// plus its length (L1). Two guards hold that end and kill the member's whole process tree when it passes (fencing/guard,
// L2); either's death ends the tree by the other. Where the platform file gives the host a watchdog, it is pinged only while no
// guard is bound to an end that the reset would overrun, so guards that hang with the whole host are answered by its reset, at
// end + K (fencing/watchdog); where it is required, a member without it is not guarded completely, gets no lease and is not
// promoted. The leader records the latest possible end, counted out by
// (L+K)·(1+ρ), before an answer leaves (L3); a new leader counts from its own start (L4). Once a fence of an epoch is
// proposed no grant of it is answered. Nothing of the agent's that keeps a lease touches a disk or a database, and a
// leader whose own barrier is not committed within a fifth of a lease exits (L6). A pause unbinds the guard, so the epoch no
// longer yields the proof lease-expired until it is bound again (L7), as a report says whose guards were asked under a goal of after the
// pause (found by the simulator: one of before it says that they are bound, too). Grants go to one run of an agent at a time (L8).
//
// # Changing the primary
//
// An attempt takes a number that is never used again. From Begin (or Advance to the seal phase) on, the old epoch gets no
// grants and its durability sets are frozen; the replicas get the goal sealed, the old primary (if its own agent saw it
// fail) stopped. The first proof wins:
//
//   - stopped: the agent saw the last process end and has "epoch closed" on its disk;
//   - quorum-sealed: for every set (k, S) in force |S|-k+1 of S are sealed, so nothing that waits can be acknowledged;
//   - lease-expired: the leader has counted out every lease of the epoch, and it was granted under a complete guard;
//   - powered-off: a fence device has confirmed that the host is off; nothing on it gets a lease until it is given back;
//   - operator: a person's word.
//
// With a proof, the most advanced eligible sealed member is promoted if final positions are known of |S|-k+1 members of
// every set in force: among those is one that holds every acknowledged commit. Otherwise a stopped old primary whose agent
// answers is restarted in place under the new number: its own disk holds all it ever acknowledged. Otherwise the attempt
// waits, and says for what; a member that is ahead but may not lead first hands its WAL over (catchup.go); or it is
// abandoned, if an unreachable primary turns out well, which then goes on under a higher number. A promotion takes a
// timeline number that was never used in the cluster.
//
// A planned change stops the old primary cleanly under its lease; a member that has replayed past the shutdown checkpoint
// record holds everything, so nothing needs sealing.
//
// # Guards
//
// The guards of the simulator run the machine of the real ones (fencing/guard/machine); while they were kinder they hid that guards and
// agent could wait for each other: guards that have killed take no lease of that epoch, and an agent that has none does
// nothing. Where nothing has run as a primary of it, or the agent has lost all knowledge of that, it lets them idle (S8);
// a primary that has run closes its epoch instead.
//
// # Durability sets
//
// The state lists every set that may be in force; the last is the one to load. A set is recorded before the primary loads
// it, and older ones are dropped only when the primary's agent has shown (member.Settle) that (a) nothing can be
// acknowledged under them any more and (b) enough members of the newest have flushed past the position read after (a). A
// promotion must satisfy all sets listed, those of earlier epochs too until the new primary has settled them. Behind a step
// down to acks 0 that nobody asked for (when-short: degrade) they all stay: no clause (b) could hold for it, and whoever is
// left might be promoted without what two members had held. Where the operator asks for acks 0, they go. Names in a
// set are incarnations: data that is rewound or rebuilt gets a new one first, and never counts for an old set. A former
// primary that did not stop cleanly gets a new name at once, and stays out of the set until it streams.
//
// A member that is removed stays in the platform, as one that is leaving, until no set in force counts on it, so that an
// attempt in between can seal it; it is in no new set, and is never promoted.
//
// # Following a new primary
//
// A standby past the fork is refused by the new primary, but not before the flush position that it names has counted as an
// acknowledgement. So it is pointed there only when its WAL is surely part of that history and grows no more by what it takes
// from elsewhere (member.Input.follow): before the primary has told its history, only WAL of the timeline that it left, up to
// where the promoted member's ended (state.Cluster.Ancestry, which keeps the forks before that one too); and only once
// the receiver of whatever upstream came before has been ended, as in a seal, since the primary of before may live, fenced by
// quorum-sealed alone. After a clean stop nobody on its timeline is past the fork. Both were found from outside: the first on
// real PostgreSQL, where five commits were acknowledged that the replica listed as streaming did not hold; the
// second by reading: a planned change made everybody's WAL comparable until the primary had opened.
//
// What leaders say is ordered by the entry of the log up to which they knew it, and by the report's number (platform.Age): an
// earlier answer to a later report brings nothing back (found by the simulator: an empty durability set was loaded again).
//
// # Promises
//
// Only a primary that runs asks for them, or a failover would wait for a promise to the dead. They are given to members of the
// cluster alone, and for no longer than the longest lease that may be in force: both are on the agent's disk, since an
// agent that is started while all controllers are away must still be able to vouch (S6).
//
// Without a leader a primary's lease is renewed by promises (member.Promise, member.EnoughPromises): each member that gives one lets
// itself be neither sealed nor promoted for CountOut(L), kept against everybody, after a restart of its agent too. Of every
// set (k, S) the primary knows k members must have promised, and where k is 0 all other members: any promotion must seal
// |S|-k+1 of each set in force, so k refusals bar it. An agent that is started again in the same boot of its host goes on
// under the lease that its guards still hold (member.Resume); a primary confirms a member list and settled sets only once
// they are in what it would go on from. Hence the end of the granted leases proves nothing by itself:
// lease-expired also needs that too few are left to vouch (state.NoPromisesLeft).
//
// # Detection
//
// What an agent saw itself is acted on at once. What is inferred needs a majority of the expected observers: controllers
// (reports that reach them, their own probes) and the replicas' receivers. A contact that any of them has means: look again. A
// controller counts against a primary only where a probe of its own failed that began after it had heard the agent last: while
// agents report, controllers hardly probe, so that none has succeeded of late says nothing (found by reading, when probes
// became rare: until then every old success counted as a failure). What an agent proves is never taken for what a probe saw.
// A primary whose agent gets no new connection is slow, not stuck, where a controller has got one since. A leader
// whose view is the odd one out hands its place over. An automatic failover bars the next inferred one for a while.
//
// # Sites and app servers
//
// A failover leaves the site of the primary as the cluster's policy says (site.go). An operator's approval counts for one
// attempt; it lets go of the site, and waives no proof. A site switchover (sitechange.go) is data: a step is done when state
// and view say so, whoever leads, and a cluster moves by its own switchover, under the rules above. It never holds up a failover.
//
// A pool that lives with a primary never runs on two sites at once (apps.go). Its app servers run under permits, counted like
// leases: from the report (L1), before the answer leaves (L3), by a new leader from its own start, and for as long as the
// longest lease that may be in force (L4), because the agent of a primary that no leader has reached since may vouch by it. No
// goal lets one run under a primary of another site, whose agent would vouch for it for as long as it leads. The pool starts
// elsewhere once each is affirmed as stopped under a goal that no late answer overtakes (neither this leader's, by the reports'
// numbers, nor a deposed one's, by the entry of the log that each answer names), its host is off, or its permit is counted out.
// So an agent that is started anew starts nothing before it has a permit, however long it spares what it finds running; and a
// permit that has ended is not renewed for what is to stop. No guard holds an app server: while its agent is dead or stopped
// nobody ends it.
//
// # A new generation
//
// After `controllers recover` the log of one survivor is all that is known (state.Recovered). Every cluster is doubtful until
// its primary answers, and goes on under an epoch of the new generation, or an operator's word has replaced it: seals, leases
// and positions prove nothing, and only the old primary's own disk shows that something is complete (recovered.go); not even
// that where an agent tells of another primary's epoch, which the log does not know.
//
// Two controllers that are recovered by themselves, while both are stopped, begin two generations of one number. Each has a random
// mark, which orders nothing: an agent obeys the one that it hears first, and a leader takes nothing in from one that obeys the
// other, since that one's leases and seals are not in its log. What ends it is one more recovery: each controller keeps the
// highest generation that agents tell of, and begins above it. A reaffirmed epoch yields lease-expired only once its
// primary has reported under it, with its guards bound to it: until then others may vouch for it by sets of before.
//
// # Where this build stops
//
// Verdicts on corruption beyond the control file are not built.
//
// If both guards, the launcher and the agent are killed in the same instant, the kernel ends the postmaster and the service
// manager the rest; between the two a statement in flight on an asynchronous cluster may still commit. A watchdog that is
// armed bounds that by the lease's end + K: what the dead guards owed stands until an agent has ended PostgreSQL and disarmed
// their successors, or these are bound by a lease anew.
package decide
