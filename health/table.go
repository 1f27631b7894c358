package health

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
)

// Severity is the effect of a problem while it lasts.
type Severity string

const (
	// Critical: data may be lost, or the service has stopped, will stop soon, or waits for a decision.
	Critical Severity = "critical"
	// Warning: the service runs with less protection, so that the next failure costs more.
	Warning Severity = "warning"
	// Info: nothing is wrong; an operator chooses when to do the rest.
	Info Severity = "info"
)

// Subject is the kind of thing that a problem is about.
type Subject string

const (
	aboutCluster  Subject = "cluster"
	aboutMember   Subject = "member"
	aboutApp      Subject = "app"
	aboutInstance Subject = "instance"
	aboutSite     Subject = "site"
	aboutHost     Subject = "host"
	// AboutController is exported because such a problem concerns every cluster.
	AboutController Subject = "controller"
	// AboutBackups is exported because the list of a cluster's backups has its problems.
	AboutBackups Subject = "backups"
)

// Description is an operator's help on a kind of problem. Backticks in its texts enclose commands and settings.
type Description struct {
	Kind     Kind     `json:"kind"`
	Severity Severity `json:"severity"`
	About    Subject  `json:"about"`
	Meaning  string   `json:"meaning"`
	Remedy   string   `json:"remedy"` // what to do
	// Next is the next command to run, perhaps with a shell's comment behind it; CLUSTER, HOST and OPERATION stand for those of the
	// problem. It is "" if the problem's evidence has the statement to run, or the operator chooses the time.
	Next string `json:"next,omitempty"`
}

// The next commands of most problems.
const (
	explain = "mainstay explain CLUSTER"
	onHost  = "mainstay local HOST  # on that host"
	listed  = "mainstay controllers list"
)

// table lists every kind, the worst first: two primaries may lose data; a pending decision or a lost primary stops the service; a lack of
// replicas stops it soon; the others reduce protection.
var table = []Description{
	{TwoPrimaries, Critical, aboutMember,
		"A second member of the cluster runs writable, and its agent has the order to stop it. With `acks` of 1 or more it acknowledges " +
			"no commit.",
		"Look at its host, and find out why its agent has not stopped it.", explain},
	{TwoRecoveries, Critical, AboutController,
		"Two controllers were each recovered alone, as the same generation, and agents obey the other one.",
		"Stop the other controller for good. Then stop this one and recover it once more with `mainstay controllers recover`: " +
			"a later generation ends both.", listed},
	{PrimaryCorrupt, Critical, aboutMember,
		"The primary's data is damaged: PostgreSQL or the agent's scan has read pages that do not match their checksums, or its control " +
			"file does not match, and then PostgreSQL keeps running but cannot be started again. No replica is rebuilt from it.",
		"Do not restart it. `mainstay integrity check CLUSTER --depth pages` reads the pages of all members now. " +
			"`mainstay switchover CLUSTER --dry-run` says which replica can take over; look at the primary's disk. With " +
			"`failover: {on-corruption: automatic}` in the platform file its role moves automatically, once all files of a replica have been " +
			"read since without a finding.", explain},
	{ApprovalNeeded, Critical, aboutCluster,
		"A failover would leave the site, and the cluster's policy (`across-sites: approval`) asks you first.",
		"Approve it with `mainstay approve OPERATION`, as the last line of `mainstay status` says, or bring the site back.",
		"mainstay approve OPERATION"},
	{SiteChangeHalted, Critical, aboutSite,
		"A site switchover waits at a step that failed. The line says which step and why.",
		"Run `mainstay site retry`, `mainstay site undo` or `mainstay site continue`.", "mainstay site retry  # or undo, or continue"},
	{PrimaryCrashed, Critical, aboutMember,
		"The primary's PostgreSQL ended, or its data is gone. A failover begins automatically, or the line says why not.",
		"Wait, and see what the leader does with `mainstay explain CLUSTER`.", explain},
	{PrimaryUnreachable, Critical, aboutMember,
		"The primary's agent is silent, and no observer has contact with the primary. A failover begins automatically, or the line says " +
			"why not.",
		"Wait, and see what the leader does with `mainstay explain CLUSTER`.", explain},
	{PrimaryStuck, Critical, aboutMember,
		"The primary runs, but new connections or small commits hang or fail. Its agent kills it and a replica takes over, or the line says " +
			"why not.",
		"Look at its host: a full or frozen disk, a stopped process.", explain},
	{FailoverWaits, Critical, aboutCluster,
		"No member can be shown to hold every acknowledged commit, or nothing proves that the old primary is fenced.",
		"Bring the named members back, or decide with `mainstay failover CLUSTER --to MEMBER --accept-loss REASON`; " +
			"`mainstay help runbook` says how, under \"A failover waits\".", explain},
	{SiteLost, Critical, aboutSite,
		"No agent, controller or app server of the site answers. Its clusters fail over to another site as their `across-sites` says.",
		"Look at the site's power and links, and at each cluster with `mainstay explain CLUSTER`.", explain},
	{AppsCutOff, Critical, aboutMember,
		"The app servers of the primary's site are well and do not reach the primary. It is handed over automatically, or the line " +
			"says why not.",
		"Look at the network of the site.", explain},
	{AppPoolShort, Critical, aboutApp,
		"Fewer instances are well on a site than the app's `minimum`.",
		"Bring instances back.", onHost},
	{SyncBlocked, Critical, aboutCluster,
		"Commits wait, because too few replicas acknowledge them.",
		"Bring a replica back; `mainstay explain CLUSTER` says which replicas count.", explain},
	{PrimarySaturated, Critical, aboutMember,
		"Every connection slot of the primary is taken, and new connections are refused. A failover follows only if the primary's small " +
			"commits hung before, as on a hung disk.",
		"Find out who holds them (`pg_stat_activity`), or raise `max_connections`.", explain},
	{DiskFull, Critical, aboutMember,
		"A disk of a member has less than 32 MB free. PostgreSQL ends there, or hangs, once a primary needs more; a replica receives nothing.",
		"Give it room: the line names the folder. Remove nothing from `pg_wal` by hand: see what keeps it (`pg_replication_slots`, the archive).",
		explain},
	{StorageErrors, Critical, aboutMember,
		"PostgreSQL's log of a member has reported errors of its disk within 24 h: reads, writes or syncs that failed (SQLSTATE 58030), or " +
			"a checkpoint that did. After a failed sync PostgreSQL ends itself. What it wrote last may be lost on that disk.",
		"Look at the disk (`dmesg`, SMART), and move the member away from it: `mainstay switchover CLUSTER` for a primary. Then " +
			"`mainstay integrity check CLUSTER` compares its pages.", explain},
	{IOWorkersStuck, Critical, aboutMember,
		"I/O workers of a member (PostgreSQL 18 and later) are stopped or wait for one read of a disk. Queries that must read from disk " +
			"hang, while connections, commits and probes continue. No failover follows.",
		"Continue the processes that the line names (`kill -CONT`), or look at the disk. Otherwise switch over and restart the member.",
		explain},
	{TablespaceShared, Critical, aboutMember,
		"Two members on one machine share the folder of a tablespace, for example after a `CREATE TABLESPACE` on a path that both can write: " +
			"PostgreSQL's replay does not refuse a folder that another server uses. Each overwrites the other's files.",
		"Stop using the tablespace: the line says how. Then compare the members, because pages may be lost already.",
		"mainstay integrity check CLUSTER  # once the tablespace is dropped"},

	{ReplicaFrozen, Warning, aboutMember,
		"A comparison spoke against a page of the primary, so the replay of a good replica was paused: the next full-page image of that " +
			"block would carry the damage over. The replica receives WAL and acknowledges commits, shows none of them, and is not promoted " +
			"automatically. The line says how much WAL waits for it, and how long that can last.",
		"Read the good page there, and mend the primary or switch over to another replica. Then run `mainstay integrity release MEMBER`. Do " +
			"not resume its replay by SQL: one that was started again since would promote itself.", explain},
	{ReplayNotFrozen, Warning, aboutMember,
		"A comparison spoke against a page of the primary, and no replica that has a better one is frozen: the policy is `integrity: " +
			"{freeze: off}`, or the cluster can spare none. The line says which. The next full-page image of the block replaces the good page.",
		"Keep the good page at once: stop the application, add a replica, or switch over. `mainstay integrity show` has the pages.", explain},
	{DataSuspect, Warning, aboutMember,
		"A deep check found damage that excludes no member: a page with another content than on other members, or a relation whose structure " +
			"is wrong. The member may be promoted. The line says what was found.",
		"See what it is with `mainstay integrity show CLUSTER`. On a replica, have the page replaced with `mainstay integrity repair`, or make " +
			"an index anew with `REINDEX` on the primary. On the primary, switch over to a member without the damage. A further check of the same " +
			"depth that finds nothing ends it.", "mainstay integrity show CLUSTER"},
	{BackupBad, Warning, AboutBackups,
		"A backup is damaged, or a copy that was restored from it has failed a check. The line says which. It was not released, or is restored " +
			"only by an operator's word. The last good one is never removed.",
		"See the check that failed with `mainstay backup show CLUSTER BACKUP`. If the data itself is wrong, compare the members with " +
			"`mainstay integrity check CLUSTER`; if a target has damaged it, look at that target, then run `mainstay backup run CLUSTER`.",
		"mainstay backup list CLUSTER"},
	{BackupOverdue, Warning, AboutBackups,
		"No good backup was made for one and a half times as long as the platform file asks for. The line says why the last attempt failed, or " +
			"why none begins.",
		"Mend what the line names: a target, the staging folder's disk, a check. Then run `mainstay backup run CLUSTER`.",
		"mainstay backup list CLUSTER"},
	{ArchiveGap, Warning, AboutBackups,
		"WAL is missing from the archive, and no member has it any more: a restore reaches no point behind the gap, until the next backup.",
		"Make a backup now, from which restores begin behind the gap. If a restore test found it, run `mainstay backup verify CLUSTER` then.",
		"mainstay backup run CLUSTER"},
	{ArchiveBehind, Warning, AboutBackups,
		"WAL waits for the archive for more than 5 minutes: a restore would lose what came since. Members keep that WAL for it, up to their " +
			"`max_slot_wal_keep_size`.",
		"Mend the target that the line names, or the agent's file on that host.", "mainstay backup list CLUSTER"},
	{RestoreUntested, Warning, AboutBackups,
		"No restore from a target has succeeded for one and a half times as long as the platform file asks for (`restore-test`).",
		"Run one with `mainstay backup verify CLUSTER`, and mend what it names.", "mainstay backup verify CLUSTER"},
	{ClusterPaused, Warning, aboutCluster,
		"An operator has paused the cluster: no failover begins, whatever happens to the primary, and the guards do not enforce its lease. " +
			"The line says who paused it, since when and why.",
		"Ask whether the work is over, then run `mainstay resume CLUSTER`.", explain},
	{ClonedMachine, Warning, aboutHost,
		"A second agent reports as the same host, for example from a copied virtual machine. The controllers ignore it.",
		"Stop the copy.", onHost},
	{OlderDisk, Warning, aboutMember,
		"The host came back with an older copy of its disk: it was restored from a backup or a snapshot, or a copy of it was started while " +
			"it was away. Earlier acknowledgements of the member do not count, and its agent starts no primary of the epoch in force. It rejoins " +
			"automatically from another primary.",
		"Make sure that the other machine of that name stays off. If no other member can lead, `mainstay explain` says how to accept the " +
			"loss of what this copy lacks.", explain},
	{ReplicaCorrupt, Warning, aboutMember,
		"The replica's data is damaged: PostgreSQL or the agent's scan has read pages that do not match their checksums, or its control " +
			"file does not match. It is not promoted, and is rebuilt automatically, unless the primary's data is damaged too, or commits " +
			"cannot spare it for the time of a copy; the damaged copy is kept in quarantine.",
		"Look at its disk. Where commits cannot spare it, add a replica or lower `acks`. `mainstay integrity clear` sets evidence aside that " +
			"is about other data by now.", explain},
	{PrimaryAgentSilent, Warning, aboutMember,
		"The primary's agent is silent, but other observers still have contact with the primary. No failover begins.",
		"Look at the agent on its host: `systemctl status mainstay-agent`.", onHost},
	{ObserverIsolated, Warning, AboutController,
		"The leader alone does not hear the primary. It hands leadership over automatically.",
		"Look at the network of the leader's host.", explain},
	{ControllerSilent, Warning, AboutController,
		"The leader hears nothing from another controller. Every failover and every change needs a majority of the controllers; the line " +
			"says how many answer.",
		"Look at its host: `systemctl status mainstay-controller`. If it is lost for good, add another one with `mainstay controllers add`, " +
			"then remove it with `mainstay controllers remove`.", listed},
	{RecoveryBlocked, Warning, aboutCluster,
		"A failover happened within the last minute, so the next one that rests on inference waits.",
		"Read why with `mainstay history CLUSTER`, then lift the block with `mainstay ack CLUSTER`.", explain},
	{DurabilityReduced, Warning, aboutCluster,
		"Commits wait for fewer replicas than the platform file asks for.",
		"Bring replicas back; `mainstay explain CLUSTER` says which ones count.", explain},
	{NotProtected, Warning, aboutMember,
		"The member's guard is incomplete. Until it is complete, the end of a lease may prove nothing.",
		"Repair what `missing:` names.", explain},
	{HostFenced, Warning, aboutHost,
		"The host's power was cut, by an operator or for a failover.",
		"Give it back with `mainstay unfence HOST` when it is sound.", explain},
	{NotAdoptable, Warning, aboutCluster,
		"Mainstay cannot take over existing data: a member lacks a requirement, does not run, or has the data of another " +
			"cluster. Mainstay changes nothing until every requirement is met.",
		"Add the lines and statements that the evidence names; each agent checks again.", explain},
	{ProgramNotAllowed, Warning, AboutController,
		"A controller's own file does not allow a program that the platform file names.",
		"Write the line that is shown into that file, and restart that controller.", listed},
	{ReplicaDiverged, Warning, aboutMember,
		"The replica's history left the primary's, or its data cannot follow. It is rewound or rebuilt automatically; the line says which.",
		"Wait. If it lasts, `mainstay explain CLUSTER` says what the repair waits for; `mainstay member quarantine list CLUSTER` lists what " +
			"was kept.", explain},
	{AppDown, Warning, aboutInstance,
		"An app server fails its checks, or its agent cannot run it. The line says why.",
		"Run `mainstay local` on its host.", onHost},
	{ReplicaMissing, Warning, aboutMember,
		"The cluster lacks a replica: its agent is silent or cannot manage it. It returns automatically once its agent reports " +
			"it, unless the line names a cause.",
		"Look at its host, and repair what the line names.", onHost},
	{ReplicaNotStreaming, Warning, aboutMember,
		"The cluster lacks a replica: it receives nothing from its upstream. It returns automatically, also by rewind or clone, " +
			"unless the line says that PostgreSQL does not start there or that the primary has the WAL it needs.",
		"Look at its host, and repair what the line names; `mainstay help runbook` says what is tried, under \"A replica does not come " +
			"back\".", explain},
	{SettingsTooLow, Warning, aboutMember,
		"A replica has less of `max_connections`, `max_worker_processes`, `max_wal_senders`, `max_prepared_transactions` or " +
			"`max_locks_per_transaction` than its primary. It acknowledges commits, replays nothing, and would end when promoted.",
		"Its agent restarts it with the primary's value. Raise the setting in that host's own configuration " +
			"before you raise it on the primary.", ""},
	{ReplayPaused, Warning, aboutMember,
		"Replay is paused on a replica (`pg_wal_replay_pause`). It acknowledges commits, shows none of them, and cannot take over in a " +
			"switchover; a failover may still promote it, which ends the pause.",
		"Run `SELECT pg_wal_replay_resume()` there.", ""},
	{AgentError, Warning, aboutMember,
		"A task of the agent fails repeatedly, PostgreSQL runs but refuses the agent (the text is PostgreSQL's own), or a setting keeps " +
			"an adopted member from being sealed.",
		"Read the text, then the agent's log: `journalctl -u mainstay-agent`.", onHost},
	{HostBusy, Warning, aboutHost,
		"Some task of the host waited for a CPU in at least " + percent(busyCPU) + " of the last minute, or every task with work waited for " +
			"a disk in at least " + percent(busyIO) + ". This extends no lease. " +
			"Where CPUs are short, a primary that hangs is given up to three times as long.",
		"Find the cause of the load before a lease lapses.", explain},
	{WALSendersTaken, Warning, aboutMember,
		"All WAL senders of the primary are in use, some by your own clients, and a replica waits for one. Mainstay ends none of them.",
		"End a client that the line names, or raise `max_wal_senders`, on replicas first.", explain},
	{TablespaceMissing, Warning, aboutMember,
		"A replica's host lacks the folder of a tablespace that its primary has. Replay there stops at the record that created the tablespace: " +
			"at once, or later if replay is delayed or paused.",
		"Make the folder there, empty, and give it to PostgreSQL's user. The replica then continues automatically.", onHost},
	{SettingOverridden, Warning, aboutMember,
		"The user's files override a setting that Mainstay manages: `ALTER SYSTEM` (`postgresql.auto.conf`), or a file that is read after " +
			"Mainstay's. The line names the value, and the one that Mainstay needs. The next start by the agent takes it out of " +
			"`postgresql.auto.conf`.",
		"Run the statements in the line there.", ""},
	{HostFilesReplaced, Warning, aboutMember,
		"A replica's data was copied anew, and some of its host's own files could not be read then: settings, access rules or keys. " +
			"It has the primary's in their place, or none. The problem ends for a file that is changed, or equals the former one again.",
		"Put the host's own files there, or edit them: the line names the files and the former data. If they are right as they are, remove " +
			"the file that the line names last.", onHost},
	{DamageReported, Warning, aboutMember,
		"Something speaks against a member's data and proves nothing. PostgreSQL's log has reported damage within 24 h (SQLSTATE XX001, XX002, " +
			"a file that is not there), which any session can raise. A relation's file is missing or has fewer pages than the catalog counted, " +
			"which an interrupted `VACUUM` may leave. Or a primary has ended, and its WAL is valid less far than it had been synced. The " +
			"member is not excluded.",
		"Run `mainstay integrity check MEMBER --depth structure`, which tests what the message is about, and compare the members with " +
			"`mainstay integrity check CLUSTER`. `REINDEX` an index that alone is wrong.", "mainstay integrity show CLUSTER"},
	{CollationsDiffer, Warning, aboutMember,
		"A member's host orders text by another version of libc or ICU than the one that the databases were made with. Indexes on text may " +
			"miss rows or admit duplicates there once it is the primary, and queries on it may already. Among equal candidates it is promoted last.",
		"Bring the host to the primary's version of the library. If all hosts have the new one, run `REINDEX DATABASE` and " +
			"`ALTER DATABASE ... REFRESH COLLATION VERSION`, for collations of columns `ALTER COLLATION ... REFRESH VERSION`.", ""},
	{ArchivingFails, Warning, aboutMember,
		"The archiver of a member fails, hangs or falls behind. Nothing in `pg_wal` is removed before it is archived, so its disk fills up, " +
			"and the archive lacks what the member writes.",
		"Run `archive_command` by hand for the file that the line names, and read the reason in PostgreSQL's log. Give the archive " +
			"room, or repair the command.", ""},
	{ConfigurationBroken, Warning, aboutMember,
		"A configuration file of a member has a line that PostgreSQL cannot use. The member runs with what it had loaded, and would not start " +
			"again. After a syntax error or an unknown name no reload applies anything: the member cannot be sealed for a failover, and a " +
			"primary loads no durability set.",
		"Correct the line that is named there. `SELECT * FROM pg_file_settings WHERE error IS NOT NULL` lists all.", ""},
	{SlotNotSynchronised, Warning, aboutMember,
		"A replica that may lead has had no good copy of a failover slot for 2 min, so the slot's consumer would not follow a promotion.",
		"Set `sync_replication_slots = on` and `hot_standby_feedback = on` there, then read its PostgreSQL's log.", ""},
	{SlotLeftBehind, Warning, aboutMember,
		"A replica keeps WAL (for a logical slot also dead rows of the catalogs) for replication slots of yours that are unused there, " +
			"as after a change of primary.",
		"Bring the consumer back if it belongs there. Otherwise set it up on the primary, and drop the slot with the statement in the line.", ""},
	{CertificateExpires, Warning, aboutHost,
		"The certificate of the host's agent expires within 60 days, or has expired. An expired certificate stops nothing.",
		"Run `mainstay cert issue --role agent --name HOST`, install the files and reload the agent with `systemctl reload mainstay-agent`.",
		"mainstay cert issue --role agent --name HOST"},

	{PendingRestart, Info, aboutMember,
		"Some settings wait for the member's next start. The line says which values that start removes, because Mainstay manages them.",
		"Nothing is wrong. They take effect when its agent starts it again, as in a switchover away from it; choose a quiet hour. " +
			"A restart applies no value that it removes.", ""},
}

func percent(n int) string { return strconv.Itoa(n) + "%" }

// Descriptions returns the descriptions of all kinds, the worst first.
func Descriptions() []Description { return slices.Clone(table) }

// Describe returns the description of a kind; false for one that this version does not know.
func Describe(k Kind) (Description, bool) {
	if i := place(k); i >= 0 {
		return table[i], true
	}
	return Description{}, false
}

func place(k Kind) int {
	return slices.IndexFunc(table, func(d Description) bool { return d.Kind == k })
}

// Severity is a kind's severity. A kind that this version does not know, as from a newer controller, is a warning.
func (k Kind) Severity() Severity {
	if d, ok := Describe(k); ok {
		return d.Severity
	}
	return Warning
}

// Worse compares kinds for a sort that puts the worst first. A kind that this version does not know is the worst of the warnings.
func Worse(a, b Kind) int { return cmp.Compare(rank(a), rank(b)) }

// rank is twice a kind's place in the table, so that unknown kinds have a rank between two known ones.
func rank(k Kind) int {
	if i := place(k); i >= 0 {
		return 2 * i
	}
	return 2*slices.IndexFunc(table, func(d Description) bool { return d.Severity == Warning }) - 1
}

// Runbook is the table as Markdown, for the guide.
func Runbook() string {
	var b strings.Builder
	b.WriteString("| problem | severity | about | what it means | what to do |\n|---|---|---|---|---|\n")
	for _, d := range table {
		cells := []string{"`" + string(d.Kind) + "`", string(d.Severity), string(d.About), d.Meaning, d.Remedy}
		b.WriteString("| " + strings.Join(cells, " | ") + " |\n")
	}
	return b.String()
}
