package decide

// Code names one reason of decide's. Its words are for people, and hold the values of a Reason in braces. The zero value is no reason.
type Code struct{ name, words string }

// String is the name, by which programs and logs tell reasons apart.
func (c Code) String() string { return c.name }

// several is what join makes.
var several = Code{"Several", "{because}"}

// A cluster without a primary.
var (
	dataUnclear   = Code{"DataUnclear", "it is not known what the data directories of {names} hold"}
	agentsAwaited = Code{"AgentsAwaited",
		"no report yet from the agents of {names}; start `mainstay agent` there"}
	severalPrimaries = Code{"SeveralPrimaries", "two primaries run: {names}; stop all but the right one"}
	noMemberMayLead  = Code{"NoMemberMayLead", "no member may lead; set may-lead on one"}
	agentRefuses     = Code{"AgentRefuses", "{member}: {detail}"}
	notAdoptable     = Code{"NotAdoptable", "{member} cannot be adopted: {detail}"}
	foreignData      = Code{"ForeignData",
		"{member}: its data directory holds files that are not PostgreSQL data; empty it or name another directory"}
	otherDatabase = Code{"OtherDatabase",
		"{member} has system identifier {is}, {other} has {want}: they are not copies of the same database"}
	onlyStandbyRuns = Code{"OnlyStandbyRuns",
		"{member} runs as a standby, but no member runs as primary; start the primary"}
	dataDoesNotRun = Code{"DataDoesNotRun",
		"{member} has data but does not run, so its settings, roles and pg_hba.conf cannot be read; start its PostgreSQL as it ran " +
			"before, or empty the directory"}
	allEmpty      = Code{"AllEmpty", "every data directory is empty; {member} is preferred"}
	initialises   = Code{"Initialises", "initialise {member}"}
	runsAsPrimary = Code{"RunsAsPrimary", "{member} runs as primary"}
	adopts        = Code{"Adopts", "adopt {member}"}
)

// Evidence against a primary, and what keeps it from counting.
var (
	primaryFails    = Code{"PrimaryFails", "{kind}: {member}, {because}"}
	hostWasFenced   = Code{"HostWasFenced", "its host was fenced by {other}: {detail}"}
	postmasterEnded = Code{"PostmasterEnded", "its agent saw the postmaster end"}
	dataLost        = Code{"DataLost", "its data directory is {detail}"}
	notOpened       = Code{"NotOpened", "it has not opened within {for}{detail}"}
	connectionsHang = Code{"ConnectionsHang", "its agent has had no answer to a new connection for {ms} ms"}
	slowNotStuck    = Code{"SlowNotStuck",
		"{because}, but it has answered {names} since then: it is slow, and slowness causes no failover"}
	restartedIfItLasts = Code{"RestartedIfItLasts", "no replica could take over, so it is restarted in place only if this lasts"}
	commitsHang        = Code{"CommitsHang", "no small commit has finished on it for {ms} ms{detail}"}
	noReplicaTakesOver = Code{"NoReplicaTakesOver", "no replica could take over"}
	appsDoNotReach     = Code{"AppsDoNotReach", "{names} of app {other} on its site are well and do not reach it"}
	noMemberReady      = Code{"NoMemberReady", "no member that may take over is ready"}
	noReportFor        = Code{"NoReportFor", "no report for {for}"}
	noReport           = Code{"NoReport", "no report"}
	doesNotRun         = Code{"DoesNotRun", "its PostgreSQL does not run"}
	doesNotStart       = Code{"DoesNotStart", "its PostgreSQL does not start: {detail}"}
	startedReadOnly    = Code{"StartedReadOnly", "it was stopped, then started by hand, and is read-only: only the agent starts a primary"}
	controllerSilent   = Code{"ControllerSilent",
		"the leader has heard nothing from it for {for}: {number} of {of} controllers answer, and a failover needs {want}"}
	clusterPaused = Code{"ClusterPaused",
		"paused by {other} since {is}{want}: {detail}. No failover begins, and the guards do not enforce the lease"}
	clusterResumes = Code{"ClusterResumes",
		"paused by {other} since {is} and being resumed: {detail}. No failover begins before the guards enforce the lease again"}
	pausedBy = Code{"PausedBy",
		"the cluster is paused by {other} ({detail}), so no member is promoted before `mainstay resume {cluster}`"}
	onlyItHasData     = Code{"OnlyItHasData", "{because}, and no other member has data: waiting for {member} to finish initialising"}
	leaderIsOddOneOut = Code{"LeaderIsOddOneOut",
		"{because} from {other}, but the controllers {names} hear its agent: only this leader does not"}
	othersHaveContact = Code{"OthersHaveContact", "{because}, but {names} still have contact with it: observing again, no failover"}
	tooFewObservers   = Code{"TooFewObservers",
		"{because}, and too few observers answer to be sure ({number} of {of}; silent: {names})"}
	receiveNothing    = Code{"ReceiveNothing", "{because}, and {names} receive nothing from it"}
	siteSilent        = Code{"SiteSilent", "no agent of site {other} has been heard for {for}"}
	noAgentOfSite     = Code{"NoAgentOfSite", "no agent of site {other} answers"}
	norItsControllers = Code{"NorItsControllers", "{because}, nor its controllers {names}"}
	soSay             = Code{"SoSay", "so say {names}"}
	recoveryBlock     = Code{"RecoveryBlock",
		"operation {other} has just failed over: the next failover that rests on inference is blocked for another {for}; " +
			"`mainstay ack {cluster}` lifts that"}
	blockEnds = Code{"BlockEnds", "the next automatic failover is no longer blocked"}
)

// Why a member is not promoted.
var (
	agentCannot    = Code{"AgentCannot", "its agent on {other} cannot manage it: {detail}"}
	agentNotSpoken = Code{"AgentNotSpoken", "its agent on {other} answers but has not reported it yet"}
	agentGone      = Code{"AgentGone", "its agent on {other} does not answer"}
	agentNotHeard  = Code{"AgentNotHeard", "its agent on {other} has not been heard for {for}"}
	notSealed      = Code{"NotSealed", "not sealed yet{detail}"}
	excluded       = Code{"Excluded", "{detail}"}
	leavesDamage   = Code{"LeavesDamage",
		"PrimaryCorrupt: the data of {member} is damaged, and all files of {other} were read since without a finding: {detail}"}
	freezes                = Code{"Freezes", "pause the replay of {member}, before it carries damage of {other} over: {detail}"}
	freezesForFurtherPages = Code{"FreezesForFurtherPages", "keep the replay of {member} paused for further pages of {other}: {detail}"}
	isFrozen               = Code{"IsFrozen",
		"its replay is frozen, and a promotion would replay what may carry damage over ({detail}); `mainstay integrity release {member}` " +
			"ends that"}
	onlyFrozenIsLeft = Code{"OnlyFrozenIsLeft",
		"no member is left but {names}, whose replay is frozen ({detail}). To promote it replays all WAL that it has, with what may carry the " +
			"damage over; to stop short of that would lose commits that were acknowledged, and Mainstay does not. Read the good page there first " +
			"if you need it; then `mainstay failover {cluster} --to {member} --accept-loss REASON` promotes it"}
	mendEnded       = Code{"MendEnded", "{detail}"}
	mendCompared    = Code{"MendCompared", "compared again, {detail}"}
	mendNotCompared = Code{"MendNotCompared", "it was not compared again: run `mainstay integrity check`"}
	mendOvertaken   = Code{"MendOvertaken", "nothing is known of the page: {member} has become the primary, or has other data by now"}
	mendNeedless    = Code{"MendNeedless", "nothing is known of the page: the data of {member} cannot be started, and is rebuilt: {detail}"}
	mendDiverged    = Code{"MendDiverged", "nothing is known of the page: {member} cannot follow its primary without a {detail}"}
	mendTooLong     = Code{"MendTooLong",
		"the agent of {member} has not told how it went within {for}: its log says which page is in place; an agent of an earlier build " +
			"cannot mend pages"}
	mendFrozen      = Code{"MendFrozen", "its replay is frozen, and its data is kept as it is until `mainstay integrity release {member}`"}
	mendFromDamaged = Code{"MendFromDamaged",
		"the page would come from {other}, whose data is damaged ({detail}): name another member with --from"}
	mendNotSpared        = Code{"MendNotSpared", "{member} must be stopped for it, and can be once {detail}"}
	damageFound          = Code{"DamageFound", "the data of {member} is damaged: {detail}"}
	olderCopy            = Code{"OlderCopy", "host {other} came back with an older copy of its disk, which may lack what it acknowledged"}
	hostIsFenced         = Code{"HostIsFenced", "its host is fenced"}
	powerIsOff           = Code{"PowerIsOff", "its host is fenced; `mainstay unfence {other}` restores its power"}
	corrupt              = Code{"Corrupt", "{detail}"}
	noWatchdog           = Code{"NoWatchdog", "{detail}"}
	otherSystem          = Code{"OtherSystem", "its system identifier {is} is not the cluster's {want}"}
	dataOfAnotherCluster = Code{"DataOfAnotherCluster", "its data belongs to another cluster: it has another system identifier, {is}"}
	diverged             = Code{"Diverged",
		"diverged: it is on timeline {is} at {at}, epoch {detail} has timeline {want}; it must be rewound first"}
	otherTimeline   = Code{"OtherTimeline", "it is on timeline {is}, the cluster on {want}; wait for its repair"}
	endOfWALUnknown = Code{"EndOfWALUnknown", "the end of its WAL is not known yet"}
	beingRemoved    = Code{"BeingRemoved", "it is being removed; to allow it, apply a platform file that lists it"}
	isLeaving       = Code{"IsLeaving", "it is being removed; to keep it, apply a platform file that lists it"}
	anotherAsked    = Code{"AnotherAsked", "{other} was asked for"}
	mayNotLead      = Code{"MayNotLead", "may-lead is false; set it to true to allow it"}
	mayLeadIfNamed  = Code{"MayLeadIfNamed", "may-lead is false; name it with --to, or set it to true"}
	needsApproval   = Code{"NeedsApproval",
		"it is on another site and failover.across-sites is approval: `mainstay approve {other}` allows it"}
	mayNotLeaveSite = Code{"MayNotLeaveSite",
		"it is on another site and failover.across-sites is {is}; run `mainstay failover {cluster} --to {member} --accept-loss " +
			"REASON`"}
	bestWasAsked     = Code{"BestWasAsked", "as advanced as {other}, which was asked for"}
	olderTimeline    = Code{"OlderTimeline", "on timeline {is}, behind {other} on {want}"}
	behind           = Code{"Behind", "{number} bytes behind {other}"}
	otherSite        = Code{"OtherSite", "as advanced as {other}, but on another site than the primary was"}
	otherCollations  = Code{"OtherCollations", "as advanced as {other}, but its host has another version of libc or ICU"}
	dataInDoubt      = Code{"DataInDoubt", "as advanced as {other}, but something speaks against its data"}
	cleanEarlier     = Code{"CleanEarlier", "as advanced as {other}, whose files were found clean more recently"}
	lowerPriority    = Code{"LowerPriority", "as advanced as {other}, of lower priority"}
	laterByName      = Code{"LaterByName", "as advanced as {other}, which comes first by name"}
	lessPreferred    = Code{"LessPreferred", "as advanced as {other}, which is preferred"}
	aheadOfBest      = Code{"AheadOfBest", "{because} (it is ahead, at {at})"}
	notShownComplete = Code{"NotShownComplete", "it cannot be shown to hold every acknowledged commit: {detail}"}
	notReplayed      = Code{"NotReplayed", "replayed to {at}, not past the shutdown checkpoint at {past}"}
	isReplaced       = Code{"IsReplaced", "it is the primary being replaced"}
	noLeaderLeft     = Code{"NoLeaderLeft", "site {other} has the controllers {names} of {of}: the others could elect no leader"}
	comesFirst       = Code{"ComesFirst", "it is the first choice once that wait is over"}
)

// A failover: what it does, waits for, and may lose.
var (
	promotes     = Code{"Promotes", "promote {member}"}
	wellAgain    = Code{"WellAgain", "{member} reports again and is well"}
	abandons     = Code{"Abandons", "abandon"}
	sealsAwaited = Code{"SealsAwaited", "waiting for the seal of {list}"}
	proofAwaited = Code{"ProofAwaited",
		"waiting for a fence proof of {member}; its lease has surely ended in {for}"}
	neverGuarded = Code{"NeverGuarded",
		"{member} cannot be proven fenced: its epoch was granted without a complete guard. Make sure that it is off, then run " +
			"`mainstay failover {cluster} --to MEMBER --accept-loss REASON --fenced`"}
	othersMayPromise = Code{"OthersMayPromise",
		"{member} cannot be proven fenced: members that are not sealed may give it promises, and it then continues without a " +
			"leader. Bring them back, or make sure that it is off and run `mainstay failover {cluster} --to MEMBER --accept-loss " +
			"REASON --fenced`"}
	noPromotion = Code{"NoPromotion",
		"no promotion: {because}. Bring the missing member back, or run `mainstay failover {cluster} --to MEMBER --accept-loss " +
			"REASON`"}
	onlyDamaged = Code{"OnlyDamaged",
		"no promotion: {because}. The data of {names} is damaged, and no other member can lead: `mainstay integrity show {cluster}` says " +
			"what is known. Bring {member} back, restore a backup, or have the damaged data after all: `mainstay integrity clear {cluster} " +
			"MEMBER --reason REASON`"}
	notComplete      = Code{"NotComplete", "{detail}"}
	noMemberEligible = Code{"NoMemberEligible", "no member is eligible"}
	olderPrimary     = Code{"OlderPrimary",
		"{because}; and host {other} came back with an older copy of its disk, so {member} may lack commits that were acknowledged: " +
			"it leads again only if an operator accepts their loss"}
	controllersRecovered = Code{"ControllersRecovered",
		"the controllers were recovered since then, and what the lost controllers did is not known"}
	operatorMustDecide = Code{"OperatorMustDecide",
		"automatic promotion is disabled: {because}. Compare the members (`mainstay status`), then decide: `mainstay failover " +
			"{cluster} --to MEMBER --accept-loss REASON --fenced`"}
	laterEpochElsewhere = Code{"LaterEpochElsewhere",
		"{member} has obeyed epoch {is}, but this controller's log ends in epoch {want} of {other}: the lost controllers later " +
			"promoted another primary; its commits may exist on few members"}
	approvalAwaited = Code{"ApprovalAwaited",
		"{member} on site {is} could take over, which needs an operator: `mainstay approve {other}`"}
	neededAgain    = Code{"NeededAgain", "{member} answers again and is needed: stop it and restart it in place"}
	handsWALOver   = Code{"HandsWALOver", "{member} is ahead and may not lead: it hands its WAL to {other} first"}
	takesWAL       = Code{"TakesWAL", "{member} takes the WAL of {other}: {at} of {past}"}
	handedOver     = Code{"HandedOver", "{member} holds what {other} had, up to {at}"}
	handOverCutOff = Code{"HandOverCutOff",
		"the hand-over of WAL from {member} to {other} ends: an agent is silent"}
	handOverTooLong = Code{"HandOverTooLong",
		"the hand-over of WAL from {member} to {other} took longer than {for}"}
	policyAccepts      = Code{"PolicyAccepts", "accept a bounded loss by policy"}
	lossAccepted       = Code{"LossAccepted", "accepted by {other} ({detail}): {because}"}
	lossUnknown        = Code{"LossUnknown", "acks is 0: commits past {at} are lost; how many is not known"}
	lossSinceReport    = Code{"LossSinceReport", "acks is 0: no commit up to the last report ({at}) is lost; how many after it is not known"}
	lossAtLeast        = Code{"LossAtLeast", "acks is 0: at least the WAL from {at} to {past} ({number} bytes)"}
	nothingWouldBeLost = Code{"NothingWouldBeLost", "no acknowledged commit would be lost"}
	noOtherProof       = Code{"NoOtherProof",
		"attempt {detail} has no other proof that {member} is fenced; this ends everything on the host: {names}"}
	cutsPower       = Code{"CutsPower", "cut the power of {other}: {because}"}
	answersAgain    = Code{"AnswersAgain", "{member} answers again"}
	withdrawsFence  = Code{"WithdrawsFence", "withdraw the fence: {because}"}
	onlyItHoldsAll  = Code{"OnlyItHoldsAll", "{member} is needed: no other member can be shown to hold every commit"}
	powerNeededBack = Code{"PowerNeededBack", "restore the power of its host: {because}"}
	membersReplaced = Code{"MembersReplaced", "its members have been replaced"}
	givesPowerBack  = Code{"GivesPowerBack", "restore the power of {other}"}
)

// A switchover, and what speaks against one.
var (
	checkpointAwaited = Code{"CheckpointAwaited", "waiting for the CHECKPOINT on {member}"}
	checkpointTooLong = Code{"CheckpointTooLong", "the CHECKPOINT took longer than {for}"}
	cleanStopBegins   = Code{"CleanStopBegins", "CHECKPOINT done on {member}; its clean stop begins"}
	silentBeforeStop  = Code{"SilentBeforeStop", "the primary's agent fell silent before the stop"}
	crashedBeforeStop = Code{"CrashedBeforeStop", "the primary crashed before the stop"}
	nothingChanged    = Code{"NothingChanged", "nothing was changed"}
	cleanStopRuns     = Code{"CleanStopRuns", "{member} is stopping"}
	silentInStop      = Code{"SilentInStop", "the primary is silent during its stop"}
	stopTooLong       = Code{"StopTooLong", "the clean stop took longer than {for}"}
	uncleanStop       = Code{"UncleanStop", "the primary did not stop cleanly"}
	replayAwaited     = Code{"ReplayAwaited", "waiting for the target to replay the shutdown checkpoint"}
	noMemberReplayed  = Code{"NoMemberReplayed", "no member replayed the shutdown checkpoint at {at} within {for}"}
	isPrimaryAlready  = Code{"IsPrimaryAlready", "{member} is the primary already; name another member, or none for the best one"}
	primaryNotWell    = Code{"PrimaryNotWell", "the primary {member} is not well; see `mainstay explain {cluster}`"}
	about             = Code{"About", "{member}: {because}"}
	replayIsPaused    = Code{"ReplayIsPaused",
		"its replay is paused, so it would not reach the primary's last record; first run SELECT pg_wal_replay_resume() on " +
			"{member}"}
	doesNotStream    = Code{"DoesNotStream", "it does not stream"}
	noSuchMember     = Code{"NoSuchMember", "there is no member {member}"}
	noRunningStandby = Code{"NoRunningStandby", "it is no running standby{detail}"}
	settingsTooLow   = Code{"SettingsTooLow",
		"PostgreSQL would end if it were promoted: {detail}; its agent restarts it with the primary's values"}
	tooFarBehind    = Code{"TooFarBehind", "it is {number} bytes behind, more than {of}"}
	notAMember      = Code{"NotAMember", "cluster {cluster} has no member {member}; it has {names}"}
	noSuchCluster   = Code{"NoSuchCluster", "there is no cluster {cluster}"}
	noPrimaryYet    = Code{"NoPrimaryYet", "cluster {cluster} has no primary yet"}
	slotStaysBehind = Code{"SlotStaysBehind", "{detail}"}
	slotsAreRefused = Code{"SlotsAreRefused",
		"{detail} (slots-left-behind is refuse: drop the slots that are not needed, or apply a platform file that says allow)"}
)

// A cluster whose primary works.
var (
	longerLeaseOver     = Code{"LongerLeaseOver", "the longer lease has been counted out"}
	epochAwaited        = Code{"EpochAwaited", "waiting for {member} to take up epoch {want}"}
	stillLeads          = Code{"StillLeads", "{member} still leads: it continues under an epoch of the new generation"}
	guardsArmed         = Code{"GuardsArmed", "the guards of {member} are armed for the new epoch"}
	opens               = Code{"Opens", "{member} has opened"}
	notWritable         = Code{"NotWritable", "{member} is not writable yet{detail}"}
	earlierSetsEnd      = Code{"EarlierSetsEnd", "earlier durability sets are no longer in force"}
	memberLeaves        = Code{"MemberLeaves", "{member} has left every durability set, and the platform"}
	pauseExpired        = Code{"PauseExpired", "the pause has expired"}
	resumedOutOfReach   = Code{"ResumedOutOfReach", "resumed; the guard is out of reach"}
	resumedNotRunning   = Code{"ResumedNotRunning", "resumed; the primary does not run, so no guard is armed"}
	resumedArmed        = Code{"ResumedArmed", "resumed; the guards enforce the lease again"}
	resumedUnguarded    = Code{"ResumedUnguarded", "resumed; the guard is not complete"}
	needsRepair         = Code{"NeedsRepair", "{member} needs a {want}"}
	streamsAgain        = Code{"StreamsAgain", "{member} streams"}
	streamsFromUpstream = Code{"StreamsFromUpstream", "{member} streams from {other}, its site's upstream"}
	streamsFromPrimary  = Code{"StreamsFromPrimary", "{member} streams from {other} itself"}
	crashesAlike        = Code{"CrashesAlike",
		"its replay ends at the record at {at}, and so does the replay of {other}: the cause is not the data of one member, but " +
			"this record or something that both hosts lack; see their logs. Both are started again and again, and neither is copied " +
			"anew"}
	lineIsCut = Code{"LineIsCut",
		"it has received nothing for {for}, although {other} has the WAL that it needs ({past}) from {at} on: check what is " +
			"between them (its log, network, pg_hba.conf, certificates); its data is replaced if this lasts for {detail}"}
	recoveryStands = Code{"RecoveryStands",
		"it takes no sessions, and its recovery has not advanced for {for}{detail}: see its log; it is restarted if this lasts for " +
			"{want}, and its data is replaced after as long again"}
	neededToLeave = Code{"NeededToLeave",
		"{member} cannot be removed yet: commits still need its acknowledgement, because too few others stream from {other} and " +
			"have caught up"}
	acksCannotRise     = Code{"AcksCannotRise", "commits still wait for {number} replicas instead of {of}: only {is} stream from {member}"}
	setChanges         = Code{"SetChanges", "durability set becomes {number} of {list}"}
	setEmpty           = Code{"SetEmpty", "commits wait for no replica"}
	moreOnceTheyStream = Code{"MoreOnceTheyStream", "{because}, and {of} once that many stream"}
	degraded           = Code{"Degraded", "{because}, fewer than the {of} asked for, because when-short is degrade"}
)

// Apps.
var (
	followsPrimary = Code{"FollowsPrimary", "{member}, the primary of {cluster}, is on site {is}"}
	othersMustStop = Code{"OthersMustStop",
		"waiting for {member} to stop, before site {is} starts its instances"}
	othersStopped     = Code{"OthersStopped", "no instance of another site can run any more"}
	instanceDown      = Code{"InstanceDown", "{member} is down{detail}"}
	instanceWell      = Code{"InstanceWell", "{member} is well again"}
	instanceNotWanted = Code{"InstanceNotWanted", "{member} must not run, so it is out of routing already"}
	restarts          = Code{"Restarts", "restart {number} in a row"}
)

// A site switchover, and what speaks against one.
var (
	thereAlready = Code{"ThereAlready", "every primary is on site {other} already"}
	siteIsLost   = Code{"SiteIsLost", "site {other} is lost: {because}"}
	ofCluster    = Code{"OfCluster", "cluster {cluster}: {because}"}
	hasNoPrimary = Code{"HasNoPrimary",
		"it has no primary yet; `mainstay explain {cluster}` says what it waits for"}
	isBusy = Code{"IsBusy",
		"operation {other} is running; wait for its end, or see `mainstay explain {cluster}`"}
	isPaused       = Code{"IsPaused", "it is paused by {other} ({detail}); `mainstay resume {cluster}` ends that"}
	backupAwaited  = Code{"BackupAwaited", "base-backups is wait, and a base backup is being taken from {member}: {names}"}
	noMemberOnSite = Code{"NoMemberOnSite", "no member on site {other} can take over"}
	explainSaysWhy = Code{"ExplainSaysWhy", "`mainstay explain {cluster}` says why"}
	appNotOnSite   = Code{"AppNotOnSite",
		"app {member} has no instance on site {other}; give it one in the platform file"}
	appAgentsSilent = Code{"AppAgentsSilent",
		"app {member}: the agents of {number} of its {of} instances on site {other} answer, and {want} are needed; run `mainstay " +
			"local` on host {names}"}
	notBegun          = Code{"NotBegun", "nothing was changed: {because}"}
	notInTime         = Code{"NotInTime", "{because}: not within {for}"}
	checksPassed      = Code{"ChecksPassed", "all checks passed"}
	appsQuiet         = Code{"AppsQuiet", "the apps are quiet"}
	clustersArrived   = Code{"ClustersArrived", "every cluster's primary is where it should be"}
	appsWell          = Code{"AppsWell", "the apps are well"}
	topologyPublished = Code{"TopologyPublished", "the topology is published"}
	stepBegins        = Code{"StepBegins", "{detail} begins"}
	hooksMayRun       = Code{"HooksMayRun", "the hooks after {detail} may run"}
	hookRuns          = Code{"HookRuns", "{detail}"}
	hookFailed        = Code{"HookFailed", "{detail}"}
	hookSilent        = Code{"HookSilent", "{detail}: it has not answered"}
	appsGoOn          = Code{"AppsGoOn", "the apps resume where they were: {because}"}
	stopAwaited       = Code{"StopAwaited", "waiting for {member} to stop"}
	clusterAwaited    = Code{"ClusterAwaited", "waiting for cluster {cluster}"}
	clusterBlocked    = Code{"ClusterBlocked", "waiting for cluster {cluster}: {because}"}
	operationEnded    = Code{"OperationEnded", "cluster {cluster}: {other} {is}: {detail}"}
	arrivedAndBusy    = Code{"ArrivedAndBusy",
		"waiting for the operation that runs in cluster {cluster}, which had already moved"}
	leftSite = Code{"LeftSite",
		"cluster {cluster} has left site {other} since: its primary is {member}{detail}; `retry` moves it again"}
	appAwaited         = Code{"AppAwaited", "waiting for app {member}: {number} of at least {of} instances are well"}
	noInstanceVerifies = Code{"NoInstanceVerifies",
		"waiting for an instance of app {member} on site {other} that takes requests"}
	answerAwaited        = Code{"AnswerAwaited", "waiting for {member} to {want}{detail}"}
	undone               = Code{"Undone", "undone: clusters and apps are back where they were"}
	undoneInPart         = Code{"UndoneInPart", "undone, except for what a failover or an operator's decision has left where it is: {names}"}
	runsOnSite           = Code{"RunsOnSite", "the platform runs on site {other}"}
	partOfSiteSwitchover = Code{"PartOfSiteSwitchover", "part of site switchover {other}, {detail}"}
)

// Whether a proof that the primary is fenced could be had.
var (
	epochClosed    = Code{"EpochClosed", "its agent has already closed the epoch"}
	getsNoGoals    = Code{"GetsNoGoals", "host {other} is fenced, so its agent gets no goals"}
	agentWouldStop = Code{"AgentWouldStop",
		"its agent on {other} answers: it ends the member and closes the epoch; not if the host is lost"}
	commitsNeedNoReplica = Code{"CommitsNeedNoReplica",
		"impossible, acks is 0 in a durability set in force: commits need no replica"}
	canBeSealed       = Code{"CanBeSealed", "{names} can be sealed"}
	tooFewSealed      = Code{"TooFewSealed", "{of} of ({names}) must be sealed, {number} can be"}
	tooFewCanBeSealed = Code{"TooFewCanBeSealed", "{of} of ({names}) must be sealed, {number} can be ({because})"}
	guardsPaused      = Code{"GuardsPaused",
		"the cluster is paused, so no guard counts; `mainstay resume {cluster}` ends that"}
	guardsNotArmed   = Code{"GuardsNotArmed", "the controllers were recovered, and its guards have not been armed for the epoch since then"}
	grantedUnguarded = Code{"GrantedUnguarded",
		"the epoch was granted without a complete guard; a switchover to a member with one ends that"}
	unsealedMayPromise = Code{"UnsealedMayPromise",
		"members that cannot be sealed may give it promises, and it then continues without a leader"}
	tooFewForPromises = Code{"TooFewForPromises",
		"members that cannot be sealed may give it promises, and it then continues without a leader: {because}"}
	guardsEndIt   = Code{"GuardsEndIt", "its guards end it when the lease does"}
	hostIsOff     = Code{"HostIsOff", "the power of {other} is off"}
	noFenceDevice = Code{"NoFenceDevice",
		"{other} has no fence device; name one under `fence` of the host in the platform file"}
	deviceWouldCut = Code{"DeviceWouldCut",
		"by {detail}, if it answers (given up after {want}); this ends everything on {other}: {names}"}
	operatorMaySay = Code{"OperatorMaySay",
		"after you have made sure that it is off: `mainstay failover {cluster} --to MEMBER --accept-loss REASON --fenced`"}
)
