// Package decide holds the leader's decisions: Next reads the replicated state, the view of the platform and the leader's
// own memory of leases, and returns the commands to commit, the problems it sees, and the reason for each wait.
//
// Each reason is a code with its values (Reason), which tests assert; words.go holds their texts. testdata holds scenarios:
// what happens to a cluster, what the leader decides then, and why.
//
// It is pure: no clock (now is an argument), no I/O, no goroutine. It never acts; it only proposes, and state.Apply checks
// every promotion once more at the gate. Input comes from controller/loop, commands go back to it. Predict runs the very
// same code on a copy for `explain`, so an explanation cannot differ from what would happen.
//
// # The safety argument
//
// The tests and the simulator try to break each claim below; code that upholds one names it in a comment.
//
//   - S1 At most one member of a cluster acknowledges new commits that wait for durability at any instant; epochs order them.
//   - S2 With acks k, a commit acknowledged to a client (synchronous_commit on or remote_apply, fsync on) survives the loss
//     of the primary and any k-1 further members. With acks 0 the possible loss is reported.
//   - S3 A member never acts on an epoch lower than the highest it has persisted. An epoch is (generation, number). An
//     empty, lost or restored controller joins under a new raft id; agents refuse foreign platforms and lower generations.
//   - S4 No member is made primary in a new epoch, the old primary included, without a fence proof for the previous one.
//     An operator may stand in for one, by name, with a reason, for one attempt.
//   - S5 A member of another system identifier, diverged or excluded, is never promoted.
//   - S6 Loss of all controllers never stops a healthy primary that gets promises from enough unsealed members (L5).
//   - S7 Interrupted work is finished by the next leader or agent: goals are a function of committed state, and agents
//     converge on them from any state.
//   - S8 With a majority of controllers, a proof and an eligible member, promotion follows within the bound explain states.
//   - S9 WAL that a rewind or rebuild would discard is counted, named and kept first.
//
// # Lease
//
// The agent reads CLOCK_BOOTTIME before it makes a report (member.Clocks); the leader answers after an entry of its own term, proposed
// after the report arrived, was applied (loop.Core: waiting, inBarrier). The lease ends at the agent's clock plus its length (L1). Two
// guards hold that end and kill the member's process tree when it passes (fencing/guard, L2); either's death ends the tree by the other.
// Where the platform file gives the host a watchdog, it is pinged only while no guard has a lease whose end the reset would overrun, so
// guards that hang with the whole host are answered by its reset, at end + K (fencing/watchdog); where it is required, a member without it
// is not guarded completely, gets no lease and is not promoted. The leader records the latest possible end, counted out by (L+K)·(1+ρ),
// before an answer leaves (L3); a new leader counts from its own start (L4). Once a fence of an epoch is proposed no grant of it is
// answered. No code of the agent that keeps a lease touches a disk or a database, and a leader whose own barrier is not committed within a
// fifth of a lease exits (L6). A pause unbinds the guard, so the epoch no longer yields the proof lease-expired until it enforces a lease
// again (L7). A report shows that only if its guards were asked under a goal issued after the pause (found by the simulator: an earlier
// report says that they are armed, too). Grants go to one run of an agent at a time (L8). A run gets goals only once the log names it. The
// disk of an agent remembers the last runs that had it: where it does not know the run that spoke for the host before, it is an older copy
// (a backup, a copied machine). Epochs may have opened on the disk that is lost, and commits been acknowledged by it, so the copy's members
// get new names, their seals do not count by the old ones, and no primary starts there under the epoch in force (found by the simulator,
// seed 416680; a copy from within the present boot is not told apart).
//
// # Changing the primary
//
// An attempt takes a number that is never used again. From Begin (or Advance to the seal phase) on, the old epoch gets no
// grants and its durability sets are frozen; the replicas get the goal sealed, the old primary (if its own agent saw it
// fail) stopped. The first proof wins:
//
//   - stopped: the agent saw the last process end and has recorded "epoch closed" on its disk;
//   - quorum-sealed: for every set (k, S) in force |S|-k+1 of S are sealed, so no further commit can gather its acknowledgements.
//     The old primary may still answer a client for a commit that sealed members had flushed before their seal (its senders stand
//     until wal_sender_timeout); the successor, the most advanced of the sealed, holds it, so nothing is lost (found by the
//     simulator, seed 6102241);
//   - lease-expired: the leader has counted out every lease of the epoch, and it was granted under a complete guard;
//   - powered-off: a fence device has confirmed that the host is off; nothing on it gets a lease until it is given back;
//   - operator: a person confirms it.
//
// With a proof, the most advanced eligible sealed member is promoted if final positions are known of |S|-k+1 members of
// every set in force: at least one of those holds every acknowledged commit. Otherwise a stopped old primary whose agent
// answers is restarted in place under the new number: its own disk holds all it ever acknowledged. Otherwise the attempt
// waits and gives the reason; a member that is ahead but may not lead first hands its WAL over (catchup.go); or the attempt is
// abandoned, if an unreachable primary turns out to be healthy, and the primary continues under a higher number. A promotion
// takes a timeline number that was never used in the cluster.
//
// A planned change stops the old primary cleanly under its lease; a member that has replayed past the shutdown checkpoint
// record holds everything, so nothing needs sealing.
//
// # Guards
//
// The simulator's guards run the state machine of the real ones (fencing/guard/machine); more lenient ones hid that guards and
// agent could wait for each other: guards that have killed take no lease of that epoch, and an agent without a lease does
// nothing. If no primary of that epoch has run, or the agent has lost all knowledge of it, it lets the guards idle (S8);
// a primary that has run closes its epoch instead.
//
// # Durability sets
//
// The state lists every set that may be in force; the last is the one to load. A set is recorded before the primary loads
// it, and older ones are dropped only when the primary's agent has shown (member.Settle) that (a) nothing can be
// acknowledged under them any more and (b) enough members of the newest have flushed past the position read after (a). A
// promotion must satisfy all sets listed, those of earlier epochs too until the new primary has settled them. Where an epoch begins
// and there are many, of equal sets only the last stays: a primary that ends again and again before it settles would add one each time. The
// command says so, since builds of controllers that decided it by themselves would not come to the same state. Behind a step down to
// acks 0 that no operator asked for (when-short: degrade) they all stay: no clause (b) could hold for it, and the last member might be
// promoted without commits that two members had held. If the operator asks for acks 0, they go. Names in a set are incarnations: data
// that is rewound or rebuilt gets a new one first, and never counts for an old set. A former primary that did not stop cleanly gets a
// new name at once, and stays out of the set until it streams.
//
// Each sender releases commits by the number that it has loaded, and counts every sender that has a place in its own list. So the number
// and the names change in separate steps, and, since the primary may load the last of several steps at once, a step is taken only if any
// number in force with any names in force is a rule that the log has (onlyRecorded). The second part was missing: the simulator's fresh
// seeds found commits acknowledged by one member under "1 of a", because that member stood in the list of a later set.
//
// A member that is removed stays in the platform, marked as leaving, until no set in force counts on it, so that an
// attempt in between can seal it; it is in no new set, and is never promoted.
//
// # Damage and freezes
//
// A verdict is about data, by its incarnation, and outlives a rewind, which keeps the pages that it need not replace: an agent reports the
// names that its pages had before (health.Member.Lineage), so that evidence against a former name counts, and data that descends from
// damaged data does not rejoin as other data (found by the simulator, seed 1070: a verdict by comparison came while the data was being
// rewound, and ended with the new name).
//
// The damage of a primary spreads by full-page images. A replica whose page is better than the primary's is frozen (freeze.go): its replay
// is paused, in the log, for that incarnation of its data. The log lets only an operator choose it for a promotion, which replays the
// rest, and discards its data for no repair. A comparison reports each page once it is sure, while it continues, and pages that it finds
// later are added to the freeze in force, so that a release is for all that was known. A pause ends with the server, so a start sets a
// recovery target at the least position at which the data is consistent; a resume there would promote, and nothing but a start without
// the target ends that hold (member.thaw). It is frozen only where a failover and commits do not need it: a paused standby asks for no new
// stream.
//
// Damage that a check of the structure finds excludes a member where it is that copy's own (inspected): WAL carries no unreadable page and
// no missing file, but it does carry wrong rows and index entries. Those count where a comparison has found another page in that file than
// on a member whose own check has not found them; else every member may have them, and an exclusion would leave none to promote.
//
// One page of a stopped replica may be replaced by another member's (mend.go, supervisor.fits): a server replays from its control file's
// redo position on, so the page must have all changes up to there and none behind, whatever the LSN of the page that it replaces. Old and
// new page are on the agent's disk before the first byte is written, and a start completes what was interrupted. The operation ends by what
// the agent has told under its number. A replica that cannot follow its primary, or is the primary by now, is not compared any more: an
// operation that waited for that barred its repair while commits needed it (found by the simulator, seeds 196 and 932201).
//
// # Following a new primary
//
// A standby past the fork is refused by the new primary, but not before the flush position that it names has counted as an
// acknowledgement. So it is pointed there only when its WAL is surely part of that history and no longer grows from another
// source (member.Input.follow): before the primary has reported its history, only WAL of the timeline that it left, up to
// where the promoted member's ended (state.Cluster.Ancestry, which keeps the forks before that one too); and only once
// the receiver of the previous upstream has been ended, as in a seal, since the former primary may live, fenced by
// quorum-sealed alone. After a clean stop no member on its timeline is past the fork. Both rules came from findings: the first on
// real PostgreSQL, where five commits were acknowledged that the replica listed as streaming did not hold; the
// second in a review: a planned change made the WAL of all members comparable until the primary had opened.
//
// Answers of leaders are ordered by the last log entry that the leader knew, and by the report's number (platform.Age): an
// earlier answer to a later report restores nothing (found by the simulator: an empty durability set was loaded again).
//
// # Promises
//
// Only a running primary asks for them, or a failover would wait for a promise to a dead one. They are given to members of the
// cluster alone, and for no longer than the longest lease that may be in force: both are on the agent's disk, since an
// agent that is started while all controllers are away must still be able to give promises (S6).
//
// Without a leader a primary's lease is renewed by promises (member.Promise, member.EnoughPromises): each member that gives one lets
// itself be neither sealed nor promoted for CountOut(L), kept against every request, after a restart of its agent too. Of every
// set (k, S) the primary knows k members must have promised, and where k is 0 all other members: any promotion must seal
// |S|-k+1 of each set in force, so k refusals bar it. An agent that is started again in the same boot of its host continues
// under the lease that its guards still hold (member.Resume); a primary confirms a member list and settled sets only once
// they are in the record from which it would resume. Hence the end of the granted leases alone proves nothing:
// lease-expired also requires that too few members are left to give promises (state.NoPromisesLeft).
//
// # Detection
//
// First-hand evidence of an agent is acted on at once. An inference needs a majority of the expected observers: controllers
// (reports that reach them, their own probes) and the replicas' receivers. If any of them has contact, the leader observes again. A
// controller counts against a primary only where a probe of its own failed that began after it had heard the agent last: while
// agents report, controllers hardly probe, so the lack of a recent success shows nothing (found in a review, when probes
// became rare: until then every old success counted as a failure). An agent's proof never stands in for a probe.
// A primary whose agent gets no new connection is slow, not stuck, if a controller has got one since. A leader
// whose view differs from that of the others hands over leadership. An automatic failover blocks the next inferred one for a while.
//
// # Sites and app servers
//
// A failover leaves the site of the primary as the cluster's policy says (site.go). An operator's approval counts for one
// attempt; it allows leaving the site, and waives no proof. A site switchover (sitechange.go) is data: a step is done when state
// and view say so, under any leader, and a cluster moves by its own switchover, under the rules above. It never delays a failover.
//
// A pool that runs with a primary never runs on two sites at once (apps.go). Its app servers run under permits, counted like
// leases: from the report (L1), before the answer leaves (L3), by a new leader from its own start, and for as long as the
// longest lease that may be in force (L4), because the agent of a primary that no leader has reached since may renew permits by it. No
// goal lets one run under a primary of another site, whose agent would renew its permit for as long as it leads. The pool starts
// elsewhere once each is affirmed as stopped under a goal that no late answer overtakes (neither this leader's, by the reports'
// numbers, nor a deposed one's, by the entry of the log that each answer names), its host is off, or its permit is counted out.
// So a restarted agent starts no app server before it has a permit, however long it spares those that it finds running; and a
// permit that has ended is not renewed for an app server that must stop. No guard holds an app server: while its agent is dead or
// stopped, no process ends it.
//
// # A new generation
//
// After `controllers recover` only the log of one survivor is known (state.Recovered). Every cluster is doubtful until its primary
// answers and continues under an epoch of the new generation, or until an operator's decision has replaced it: seals, leases
// and positions prove nothing, and only the old primary's own disk shows completeness (recovered.go); not even
// that if an agent reports an epoch of another primary, which the log does not know.
//
// Two controllers that are recovered separately, while both are stopped, begin two generations with one number. Each has a random mark,
// which orders nothing: an agent obeys the one that it hears first, and a leader ignores an agent that obeys the other, since the leases
// and seals of that one are not in its log. One more recovery ends this: each controller keeps the highest generation that agents report,
// and begins above it. A reaffirmed epoch yields lease-expired only once its primary has reported under it, with its guards armed for it:
// until then others may give it promises by earlier sets.
//
// # Where this build stops
//
// A verdict rests on pages that do not match their checksums, as PostgreSQL or the agent's scan has read them, on what comparisons have
// proven, and on the control file. What checks of the structure find is for people.
//
// If both guards, the launcher and the agent are killed in the same instant, the kernel ends the postmaster and the service
// manager the rest; between the two a statement in flight on an asynchronous cluster may still commit. A watchdog that is
// armed bounds that by the lease's end + K: the duty of the dead guards stands until an agent has ended PostgreSQL and disarmed
// their successors, or a new lease binds these.
package decide
