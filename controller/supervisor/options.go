package supervisor

import (
	"context"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	"mainstay/controller/config"
	"mainstay/controller/member"
	"mainstay/controller/platform"
	"mainstay/controller/postgres"
	"mainstay/controller/quarantine"
	"mainstay/health"
	"mainstay/health/integrity"
	"mainstay/health/integrity/compare"
)

// Host is the process that supervisors run in. Its methods touch memory only and never block.
type Host interface {
	// Report asks for a report at once.
	Report()
	// Fair is the CLOCK_BOOTTIME since which this process has had its turns: what happened before counts against no member.
	Fair() time.Duration
	// LeaseEnd is the end of a lease of that length that counts from the report of that number; ours is false if this run sent none.
	LeaseEnd(number uint64, length time.Duration) (end time.Duration, ours bool)
	// Hasten makes the interval of reports no longer than heartbeat.
	Hasten(heartbeat time.Duration)
	// Others are the agents of other members to a comparison of a member, which reads rate MB a second on each (0: as their files say): of
	// all these peers, or of those that are named. done closes the connections.
	Others(member string, peers map[string]platform.Peer, names []string, rate int) (others []compare.Member, done func())
	// Watchdog is the state of the host's watchdog for a member whose guards are these processes; nil if asked is nil.
	Watchdog(asked *platform.Watchdog, member string, guards [2]int) *health.Watchdog
}

// Home is the agent's folder, as far as a member's files are concerned. It reads and writes the disk: never on the lease path.
type Home interface {
	Durable(member string) (member.Durable, error) // the zero value for a member that is not known
	KeepDurable(member string, d member.Durable) error
	Resume(member string) member.Resume // the zero value for none, or an unreadable one
	KeepResume(member string, r member.Resume) error
	// Forget removes the files of a member, its promises last.
	Forget(member string) error
}

// Quarantine keeps what repairs discard (S9). See controller/quarantine, which implements it.
type Quarantine interface {
	KeepWAL(ctx context.Context, pg *postgres.Server, r quarantine.Repair) (*health.Discard, error)
	RoomFor(ctx context.Context, pg *postgres.Server, r quarantine.Repair) error
	SetAside(ctx context.Context, pg *postgres.Server, r quarantine.Repair) (*health.Discard, error)
	SetAsideBefore(ctx context.Context, pg *postgres.Server, r quarantine.Repair) (*health.Discard, error)
	Answered(member string)
	KeepPages(r quarantine.Repair, m health.Mended, files map[string][]byte) (id string, err error)
}

// Donor is another member whose page may take the place of a damaged one.
type Donor interface {
	Page(ctx context.Context, b integrity.Block) (compare.PageAnswer, error)
}

// Options are what a supervisor gets from the agent. They never change.
type Options struct {
	Name       string        // the member's
	Config     config.Agent  // the agent's file
	Executable string        // the mainstay binary, to start guards from
	Run        string        // the ID of the agent's run: the same for all its processes in one boot
	Begun      time.Duration // CLOCK_BOOTTIME when this process began
	Log        *zap.Logger
	Context    context.Context // of the agent's run
	Group      *errgroup.Group // of the agent's run: it owns every goroutine
	Host       Host
	Home       Home
	Quarantine Quarantine
	// ScanTurn is of the agent's run and has a capacity of 1: who has filled it may scan. Nil: no member is scanned.
	ScanTurn chan struct{}
}
