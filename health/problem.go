package health

// Kind names a problem, as the operator's documentation does.
type Kind string

const (
	PrimaryCrashed      Kind = "PrimaryCrashed"
	PrimaryUnreachable  Kind = "PrimaryUnreachable"
	PrimaryAgentSilent  Kind = "PrimaryAgentSilent"
	PrimaryStuck        Kind = "PrimaryStuck"
	PrimarySaturated    Kind = "PrimarySaturated"
	ObserverIsolated    Kind = "ObserverIsolated"
	RecoveryBlocked     Kind = "RecoveryBlocked"
	DurabilityReduced   Kind = "DurabilityReduced"
	HostFenced          Kind = "HostFenced"
	CertificateExpires  Kind = "CertificateExpires"
	TwoPrimaries        Kind = "TwoPrimaries"
	SyncBlocked         Kind = "SyncBlocked"
	ReplicaMissing      Kind = "ReplicaMissing"
	ReplicaNotStreaming Kind = "ReplicaNotStreaming"
	ReplicaDiverged     Kind = "ReplicaDiverged"
	NotAdoptable        Kind = "NotAdoptable"
	NotProtected        Kind = "NotProtected"
	FailoverWaits       Kind = "FailoverWaits"
	ReplicaCorrupt      Kind = "ReplicaCorrupt"
	PrimaryCorrupt      Kind = "PrimaryCorrupt"
	AgentError          Kind = "AgentError"
	ClonedMachine       Kind = "ClonedMachine"
	OlderDisk           Kind = "OlderDisk"
	PendingRestart      Kind = "PendingRestart"
	SettingsTooLow      Kind = "SettingsTooLow"
	ReplayPaused        Kind = "ReplayPaused"
	SlotLeftBehind      Kind = "SlotLeftBehind"
	SlotNotSynchronised Kind = "SlotNotSynchronised"
	ArchivingFails      Kind = "ArchivingFails"
	CollationsDiffer    Kind = "CollationsDiffer"
	WALSendersTaken     Kind = "WALSendersTaken"
	DiskFull            Kind = "DiskFull"
	TablespaceMissing   Kind = "TablespaceMissing"
	TablespaceShared    Kind = "TablespaceShared"
	SettingOverridden   Kind = "SettingOverridden"
	HostFilesReplaced   Kind = "HostFilesReplaced"
	IOWorkersStuck      Kind = "IOWorkersStuck"
	SiteLost            Kind = "SiteLost"
	ApprovalNeeded      Kind = "ApprovalNeeded"
	AppDown             Kind = "AppDown"
	AppPoolShort        Kind = "AppPoolShort"
	AppsCutOff          Kind = "AppsCutOff"
	SiteChangeHalted    Kind = "SiteChangeHalted"
	HostBusy            Kind = "HostBusy"
	TwoRecoveries       Kind = "TwoRecoveries"
	ProgramNotAllowed   Kind = "ProgramNotAllowed"
	ControllerSilent    Kind = "ControllerSilent"
	ClusterPaused       Kind = "ClusterPaused"
	ConfigurationBroken Kind = "ConfigurationBroken"
	DamageReported      Kind = "DamageReported"
	StorageErrors       Kind = "StorageErrors"
	ReplicaFrozen       Kind = "ReplicaFrozen"
	ReplayNotFrozen     Kind = "ReplayNotFrozen"
	DataSuspect         Kind = "DataSuspect"
	BackupBad           Kind = "BackupBad"
	BackupOverdue       Kind = "BackupOverdue"
	ArchiveGap          Kind = "ArchiveGap"
	ArchiveBehind       Kind = "ArchiveBehind"
	RestoreUntested     Kind = "RestoreUntested"
)

// Problem is one named verdict about the platform with its evidence. It is about a cluster or one of its members, an app or one of
// its instances, a site, or a controller.
type Problem struct {
	Kind     Kind   `json:"kind"`
	Cluster  string `json:"cluster,omitempty"`
	Site     string `json:"site,omitempty"`
	App      string `json:"app,omitempty"`
	Instance string `json:"instance,omitempty"`
	Member   string `json:"member,omitempty"`
	// Controller is the name of a controller, "" if the problem is about none, or about all of them.
	Controller string `json:"controller,omitempty"`
	Evidence   string `json:"evidence"`
	// Actionable: the next automatic step responds to it. The others are for an operator.
	Actionable bool `json:"actionable"`
}
