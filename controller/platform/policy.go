package platform

// Each of the operator's choices has its own type, so that the compiler distinguishes them; the values are the words of the platform file.
// controller/config checks that a value is one of them.

// AckFrom says which members' acknowledgements a commit waits for (durability.from).
type AckFrom string

// The values of durability.from.
const (
	FromAny       AckFrom = "any"
	FromOtherSite AckFrom = "other-site" // members on another site than the primary's
)

// WhenShort says what commits do while fewer replicas than durability.acks stream (durability.when-short).
type WhenShort string

// The values of durability.when-short.
const (
	BlockWhenShort   WhenShort = "block"   // they wait
	DegradeWhenShort WhenShort = "degrade" // they wait for as many replicas as stream
)

// AcrossSites says whether a failover may leave the primary's site (failover.across-sites).
type AcrossSites string

// The values of failover.across-sites.
const (
	AcrossAutomatic AcrossSites = "automatic"
	AcrossApproval  AcrossSites = "approval" // once an operator approves it
	AcrossNever     AcrossSites = "never"
)

// WhenIncomplete says what a failover does where no candidate can be shown to hold every acknowledged commit
// (failover.when-incomplete).
type WhenIncomplete string

// The values of failover.when-incomplete.
const (
	WaitWhenIncomplete   WhenIncomplete = "wait"
	AcceptWhenIncomplete WhenIncomplete = "accept" // the loss, after Failover.AcceptAfter
)

// OnCorruption says what happens once the primary's data is known to be damaged (failover.on-corruption).
type OnCorruption string

// The values of failover.on-corruption.
const (
	WaitOnCorruption      OnCorruption = "wait"      // for an operator
	AutomaticOnCorruption OnCorruption = "automatic" // a switchover to a replica whose files were all read since, without a finding
)

// FreezePolicy says whether replay of good replicas is paused once a comparison speaks against the primary (integrity.freeze).
type FreezePolicy string

// The values of integrity.freeze.
const (
	FreezeAutomatic FreezePolicy = "automatic" // where the cluster can spare a replica
	FreezeOff       FreezePolicy = "off"
)

// SlotsLeft says whether a planned change of primary may leave replication slots of the user's behind (slots-left-behind).
type SlotsLeft string

// The values of slots-left-behind.
const (
	AllowSlotsLeft  SlotsLeft = "allow"
	RefuseSlotsLeft SlotsLeft = "refuse"
)

// BaseBackups says what a planned change of primary does about a base backup that is being taken from the primary (base-backups).
type BaseBackups string

// The values of base-backups.
const (
	EndBackups   BaseBackups = "end"  // the stop of the primary ends it
	AwaitBackups BaseBackups = "wait" // no switchover begins before it has ended
)

// WatchdogMode is the mode of a host's hardware watchdog (watchdog).
type WatchdogMode string

// The modes of a watchdog.
const (
	WatchdogOff       WatchdogMode = ""          // "off" in the platform file
	WatchdogAutomatic WatchdogMode = "automatic" // used where the host has one
	WatchdogRequired  WatchdogMode = "required"  // without an armed watchdog no member of the host counts as protected
)

// AppRun says where an app's instances run (run).
type AppRun string

// The values of run.
const (
	RunEverywhere  AppRun = "everywhere"   // on every site
	RunWithPrimary AppRun = "with-primary" // only on the site of the primary of the first cluster it needs
)

// HookFailure says what a site switchover does when a hook fails (on-failure).
type HookFailure string

// The values of on-failure.
const (
	HookStop HookFailure = "stop" // it halts
	HookGoOn HookFailure = "go-on"
)
