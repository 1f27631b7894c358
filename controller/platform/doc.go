// Package platform holds the nouns of Mainstay: what the operator declares (sites, hosts, clusters, members, apps), and
// the few values that every other package uses (epochs, goals, positions, durability).
//
// It is pure: no clock, no I/O, no goroutine. Values enter through the platform file (controller/config) and the
// replicated state (controller/state); they leave as goals to the agents.
//
// # Glossary
//
// These words are used everywhere, each for one thing: in names, messages and the guide (deploy/guide/glossary.md has the same text).
//
//   - platform: everything that one set of controllers protects: sites, clusters, apps
//   - site: a physical location. A witness site has a controller and no data
//   - cluster: one PostgreSQL replication group. Never used for the controllers
//   - member: one PostgreSQL server of a cluster, on one host, managed by the host's agent
//   - app, instance: a pool of app servers; one app server of it
//   - controllers, leader: the processes of the control plane; they elect the leader among themselves
//   - agent: the process on each host: it observes, obeys goals, and renews the leases of its members
//   - epoch: number of a primaryship; grows with each new primary; the fencing token
//   - generation: the first part of an epoch; grows when one controller is recovered after the majority was lost
//   - lease: the time until which a member may act as primary without hearing again
//   - count-out: the wait after which a lease has surely ended, with clock drift and the kill
//   - guard: one of two small processes that kill the member's PostgreSQL when its lease has lapsed
//   - reachability check: a question to an app's instances: do they reach the cluster's primary (failover.reachable-by)
//   - permit: the lease of an app server that runs with its primary
//   - goal: what the controllers want a member to be: primary, replica of X, sealed, stopped
//   - seal: a replica stops receiving from the old primary and reports its final position
//   - promise: a replica's commitment, while no leader answers, to be neither sealed nor promoted: it keeps a healthy primary running
//   - fence, proof: making sure that a member can accept no writes any more; the evidence for it: stopped, quorum-sealed, powered-off,
//     lease-expired, or an operator's word
//   - durability set: the replicas that the primary waits for, and how many of them (acks)
//   - operation: anything that changes the platform: failover, switchover, site switchover, rejoin. history keeps its reason and its
//     steps
//   - verdict, excluded: what is known against a member's data, by its incarnation; a member with damaged data is excluded from promotion
//     until a whole copy replaces that
//   - problem: one named finding about the platform with its evidence, such as PrimaryCrashed
//   - quarantine: commits and data that a repair had to leave out, kept on the member's host
//   - backup, receipt: a proven copy of a cluster's data; the evidence that a target holds it: it was read back whole
//   - target, archive: where backups and WAL are kept, outside the cluster; the cluster's WAL at a target
//   - staging, restore test: the folder of an agent in which copies are made and checked; a restore from a target that is checked and
//     removed
//   - LSN, timeline: PostgreSQL's own terms, printed as PostgreSQL prints them
package platform
