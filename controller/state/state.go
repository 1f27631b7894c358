// Package state is the replicated state of the controllers and the only thing that changes it: Apply.
//
// It holds intent and the facts that must outlive a leader (the platform, epochs, durability sets, attempts, operations);
// never heartbeats, probe results or lag. It is pure and deterministic: every controller applies the same commands in the
// same order and must arrive at the same state, so there is no clock, no I/O, no randomness and no map order in here.
// Commands enter from controller/consensus; decisions about them are made in controller/decide; goals leave by GoalOf.
package state

import (
	"sort"
	"time"

	"mainstay/controller/platform"
)

// State is one version of everything replicated. It is immutable once applied: Apply returns a new one that shares the
// unchanged parts.
type State struct {
	// Index is the log index of the last command applied.
	Index uint64 `json:"index"`
	// PlatformID and Generation are minted by `controllers init` (S3).
	PlatformID string `json:"platformID"`
	Generation uint64 `json:"generation"`
	// Mark tells this generation from another of the same number: two stopped controllers may each have been recovered. It is
	// random, "" in the first generation, and has no order.
	Mark string `json:"mark,omitempty"`
	// Lost are the names of controllers that `controllers recover` gave up. A controller that returns under one of them may have
	// the log of an earlier generation, so it is never contacted again.
	Lost []string `json:"lost,omitempty"`
	// Platform is the platform that the operator applied plus the removed members that are still Leaving, with their hosts and
	// sites. It is nil before the first apply. PlatformVersion grows with each change of it.
	Platform        *platform.Platform `json:"platform,omitempty"`
	PlatformVersion uint64             `json:"platformVersion"`
	// Wanted is the platform that the operator applied, while some members are leaving; nil if that is Platform itself.
	Wanted   *platform.Platform  `json:"wanted,omitempty"`
	Clusters map[string]*Cluster `json:"clusters"`
	// RemovedClusters keeps the numbers of removed clusters, so that none is used twice if the same name is added again.
	RemovedClusters map[string]*Cluster `json:"gone,omitempty"`
	// Released are the removed members, so that their agents can be told to release them.
	Released map[string]*Release `json:"released,omitempty"`
	// Runs are the runs of the agents that speak for each host (L8). A run lasts as long as a boot of its host.
	Runs map[string]string `json:"runs,omitempty"`
	Apps map[string]*App   `json:"apps,omitempty"`
	// RemovedApps are the removed apps, so that their published topology is withdrawn.
	RemovedApps []string `json:"goneApps,omitempty"`
	// Change is the running site switchover, nil for none; Changes are the records of all, oldest first.
	Change     *SiteChange `json:"change,omitempty"`
	Changes    []Operation `json:"changes,omitempty"`
	HighChange uint64      `json:"highChange,omitempty"`
	// Fences are the hosts whose power is cut, or will be, by their fence devices. No member on them gets goals or leases.
	Fences map[string]*Fence `json:"fences,omitempty"`
	// Backups are the catalogues of backups, by cluster. A cluster's outlives its removal.
	Backups map[string]*Backups `json:"backups,omitempty"`

	changed uint64 // the log index of the last command that may have changed more than Index
}

// SameAs tells whether two states of one log certainly differ in Index at most.
func (s *State) SameAs(o *State) bool { return s.changed != 0 && s.changed == o.changed }

// Fence is the intent to keep a host without power, and its progress. It is replaced, never edited.
type Fence struct {
	// Number is the log index of its command. The devices' answers carry it, so that a late answer is not taken for one to a later
	// fence. It is 0 for a fence from a version without numbers, which accepts any answer.
	Number uint64 `json:"number,omitempty"`
	By     string `json:"by"`
	Reason string `json:"reason"`
	Since  string `json:"since"` // RFC 3339, for people
	// Off: the devices have confirmed that the power is cut. Everything that ran there has stopped, and nothing that starts there
	// since gets a lease: a proof for the epochs in force (S4).
	Off bool `json:"off"`
	// Release: the power is being restored.
	Release bool `json:"release,omitempty"`
	// Detail is the devices' last message.
	Detail string `json:"detail,omitempty"`
}

// Cluster is the replicated state of one cluster.
type Cluster struct {
	Name string `json:"name"`
	// Version grows with every change of this cluster; a command names the version it was decided on.
	Version  uint64 `json:"version"`
	SystemID string `json:"systemID,omitempty"`
	// Epoch is in force, or the last that was; Primary is its member. Both are zero before the cluster's bootstrap.
	Epoch   platform.Epoch `json:"epoch"`
	Primary string         `json:"primary,omitempty"`
	// HighEpoch is the highest number ever given to an attempt or an epoch: none is used twice.
	HighEpoch uint64 `json:"highEpoch"`
	// Guarded: the epoch was granted under a complete guard, so its lease's end is a proof (L2).
	Guarded bool `json:"guarded"`
	// Opened: the primary of Epoch has become writable on Timeline and has checkpointed there.
	Opened   bool              `json:"opened"`
	Timeline platform.Timeline `json:"timeline"`
	History  platform.History  `json:"history,omitempty"`
	// Ancestry is the known ancestry of Timeline. Once its primary has opened, it is the primary's report. Before that, it is the
	// ancestry of the former timeline, and the end of the promoted member's WAL when it was chosen (zero if an operator accepted
	// it without a position). After a promotion nothing else tells which members have diverged (S2, S5).
	Ancestry platform.History `json:"ancestry,omitempty"`
	// ForkGuessed: no primary that opened has reported the last fork of Ancestry; the timeline may fork there or later.
	ForkGuessed bool `json:"forkGuessed,omitempty"`
	// ForkFinal: see platform.Goal.
	ForkFinal bool `json:"forkFinal,omitempty"`
	// HighTimeline is the highest timeline number ever seen or assigned: each attempt takes a new one.
	HighTimeline platform.Timeline `json:"highTimeline"`
	// LongestLease is the longest lease that may be in force (L4); it is at least the platform's.
	LongestLease time.Duration `json:"longestLease"`
	// Sets are the durability sets in force, oldest first; the last is the one to load.
	Sets    []platform.DurabilitySet `json:"sets"`
	HighSet uint64                   `json:"highSet"`
	// FirstOwn is the first set that senders of the present primary may have loaded; those before are its predecessor's. 0: not known.
	FirstOwn uint64             `json:"firstOwn,omitempty"`
	Members  map[string]*Member `json:"members"`
	// Upstreams are the replicas that stream from another replica, their site's upstream, instead of from the primary. No durability
	// set counts on them. It is replaced, never edited, and empty after each change of primary.
	Upstreams map[string]string `json:"upstreams,omitempty"`
	// HighIncarnation numbers incarnations; none is used twice.
	HighIncarnation uint64   `json:"highIncarnation"`
	Attempt         *Attempt `json:"attempt,omitempty"`
	Pause           *Pause   `json:"pause,omitempty"`
	// Unconfirmed: the controllers were recovered since the epoch in force was granted. Until the primary has answered or was
	// replaced, no seal or end of a lease is a proof, and no position shows completeness.
	Unconfirmed bool `json:"doubtful,omitempty"`
	// AwaitsGuards: the epoch was reaffirmed after a recovery, and its primary has not yet reported under it. Until then promises under
	// other sets may extend its lease, so the end of a lease proves nothing (L5).
	AwaitsGuards bool `json:"unbound,omitempty"`
	// Recovered is the last automatic failover, while it bars the next one that rests on inference; "" afterwards.
	Recovered string `json:"recovered,omitempty"`
	// Operations is the history, oldest first, at most maxOperations.
	Operations    []Operation `json:"operations,omitempty"`
	HighOperation uint64      `json:"highOperation"`
}

// Member is the replicated state of one member.
type Member struct {
	// Incarnation is the name under which the member's present (or next) data streams and acknowledges.
	Incarnation string `json:"incarnation"`
	// HasStreamed: it has streamed under this incarnation.
	HasStreamed bool `json:"joined,omitempty"`
	// KnownToPrimary: a primary has confirmed a member list that contains it, so a primary without a leader needs its promise (L5).
	KnownToPrimary bool `json:"listed,omitempty"`
	// Older: its host has come back with an older copy of its disk, and it has not streamed since.
	Older bool `json:"older,omitempty"`
	// Excluded is the evidence that the member's data is damaged: it must not be promoted (S5). "" if nothing is known against it.
	// DamagedAs is the incarnation of that data: only a whole copy ends the exclusion, since a rewind keeps every block that it need not
	// replace.
	Excluded  string `json:"excluded,omitempty"`
	DamagedAs string `json:"damagedAs,omitempty"`
	// Cleared is evidence that an operator has looked into: it excludes the member no more, as long as it has the data of that incarnation.
	Cleared   string `json:"cleared,omitempty"`
	ClearedAs string `json:"clearedAs,omitempty"`
	// Freeze is the last one, which may be of former data, or released (Frozen); nil for none.
	Freeze *Freeze `json:"freeze,omitempty"`
	// Mend is the mending of a page that runs, nil for none.
	Mend *Mend `json:"mend,omitempty"`
}

// Phase is the progress of an attempt.
type Phase string

const (
	// PhaseCheckpoint: a switchover waits for the primary's CHECKPOINT; nothing has been taken from it yet.
	PhaseCheckpoint Phase = "checkpoint"
	// PhaseStop: a switchover waits for the clean stop; the lease is renewed meanwhile.
	PhaseStop Phase = "stop"
	// PhaseSeal: the epoch gets no more grants; replicas are sealed and proofs of the fence are collected.
	PhaseSeal Phase = "seal"
)

func (p Phase) order() int {
	switch p {
	case PhaseCheckpoint:
		return 1
	case PhaseStop:
		return 2
	}
	return 3
}

// Attempt is a running change of primary. It ends by promotion, by abandonment, or (before anything was taken from the primary)
// by cancellation.
type Attempt struct {
	// Number is the epoch the promotion would have; seals belong to it.
	Number    platform.Epoch `json:"number"`
	Phase     Phase          `json:"phase"`
	Operation string         `json:"operation"`
	// To is the member that an operator asked for; "" for the best.
	To string `json:"to,omitempty"`
	// StopOld asks the old primary's agent for the proof `stopped`. It is not set while an unreachable primary may recover: then
	// the attempt is abandoned instead.
	StopOld bool `json:"stopOld,omitempty"`
	// Accepted is an operator's acceptance for this attempt (S4).
	Accepted *Acceptance `json:"accepted,omitempty"`
	// Approved is the operator who lets the primary move to another site, where failover.across-sites asks for that.
	Approved string `json:"approved,omitempty"`
	// CatchUp is a running hand-over of WAL; CaughtUp: one was begun, and there is no second.
	CatchUp  *CatchUp `json:"feed,omitempty"`
	CaughtUp bool     `json:"fed,omitempty"`
}

// CatchUp lets a sealed member that is ahead, but may not lead, hand its WAL to one that may: To receives from From, which itself
// receives nothing, and is sealed again afterwards.
type CatchUp struct {
	From string `json:"from"`
	To   string `json:"to"`
}

// Acceptance is an operator standing in for a proof, by name and with a reason, for one attempt (S4).
type Acceptance struct {
	By           string `json:"by"`
	Reason       string `json:"reason"`
	Fence        bool   `json:"fence"`        // it replaces the fence proof
	Completeness bool   `json:"completeness"` // it accepts the loss of acknowledged commits
}

// Pause bars promotion of a cluster (L7).
type Pause struct {
	By     string `json:"by"`
	Reason string `json:"reason"`
	Since  string `json:"since"`           // RFC 3339, for people
	Until  string `json:"until,omitempty"` // RFC 3339; "": until resumed. No safety depends on it
	// Resuming: the guards take up the lease again, and promotion is barred until they have (L7). Resumed is the log index of the
	// resume.
	Resuming bool   `json:"resuming,omitempty"`
	Resumed  uint64 `json:"resumed,omitempty"`
}

// Set returns the durability set to load, or nil.
func (c *Cluster) Set() *platform.DurabilitySet {
	if len(c.Sets) == 0 {
		return nil
	}
	return &c.Sets[len(c.Sets)-1]
}

// Fencing tells whether the epoch in force is being fenced: it then gets no more grants (L3).
func (c *Cluster) Fencing() bool { return c.Attempt != nil && c.Attempt.Phase == PhaseSeal }

// ClusterConfig returns the operator's configuration of a cluster, or nil.
func (s *State) ClusterConfig(name string) *platform.Cluster {
	if s.Platform == nil {
		return nil
	}
	return s.Platform.Cluster(name)
}

// PrimarySite is the site of a cluster's primary; "" before it has one.
func (s *State) PrimarySite(cluster string) string {
	if conf := s.ClusterConfig(cluster); conf != nil {
		if m := conf.Member(s.Clusters[cluster].Primary); m != nil {
			return s.Platform.SiteOf(m.Host)
		}
	}
	return ""
}

// ClusterNames lists the clusters in a fixed order.
func (s *State) ClusterNames() []string { return sortedKeys(s.Clusters) }

func sortedKeys[V any](m map[string]V) []string {
	names := make([]string, 0, len(m))
	for n := range m {
		names = append(names, n)
	}
	sort.Strings(names)
	return names
}
