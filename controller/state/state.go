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

// State is one version of everything replicated. It is immutable once applied: Apply returns a new one that shares what
// did not change.
type State struct {
	// Index is the log index of the last command applied.
	Index uint64 `json:"index"`
	// PlatformID and Generation are minted by `controllers init` (S3).
	PlatformID string `json:"platformID"`
	Generation uint64 `json:"generation"`
	// Mark tells this generation from another of the same number: two controllers may each have been recovered while both were
	// stopped. It is random, "" in the first generation, and never part of any order.
	Mark string `json:"mark,omitempty"`
	// Lost are the names of controllers that were given up by `controllers recover`. What comes back under one of them may
	// have the log of an earlier generation: nobody of that name is spoken to again.
	Lost []string `json:"lost,omitempty"`
	// Platform is what is protected: what the operator applied and, with their hosts and sites, the members that were removed
	// but are still Leaving. nil before the first apply. PlatformVersion grows with each change of it.
	Platform        *platform.Platform `json:"platform,omitempty"`
	PlatformVersion uint64             `json:"platformVersion"`
	// Wanted is what the operator applied, where some members are still leaving; nil where that is Platform itself.
	Wanted   *platform.Platform  `json:"wanted,omitempty"`
	Clusters map[string]*Cluster `json:"clusters"`
	// Gone keeps the numbers of removed clusters, so that none is used twice if the same name comes back.
	Gone map[string]*Cluster `json:"gone,omitempty"`
	// Released are the removed members, so that their agents can be told to let go of them.
	Released map[string]*Release `json:"released,omitempty"`
	// Runs are the runs of the agents that speak for each host (L8). A run lasts as long as a boot of its host.
	Runs map[string]string `json:"runs,omitempty"`
	Apps map[string]*App   `json:"apps,omitempty"`
	// GoneApps are the removed apps, so that what was published of them is withdrawn.
	GoneApps []string `json:"goneApps,omitempty"`
	// Change is the site switchover under way, nil for none; Changes are the records of all, oldest first.
	Change     *SiteChange `json:"change,omitempty"`
	Changes    []Operation `json:"changes,omitempty"`
	HighChange uint64      `json:"highChange,omitempty"`
	// Fences are the hosts whose power is, or is to be, cut by their fence devices. No member on them gets goals or leases.
	Fences map[string]*Fence `json:"fences,omitempty"`
}

// Fence is the intent to keep a host without power, and how far that has come. It is replaced, never edited.
type Fence struct {
	// Number is the log index of the command that wanted it. The devices' answers name it, so that a late one is not taken for an
	// answer to a later fence. It is 0 for one from a version without numbers, and then any answer is to it.
	Number uint64 `json:"number,omitempty"`
	By     string `json:"by"`
	Reason string `json:"reason"`
	Since  string `json:"since"` // RFC 3339, for people
	// Off: the devices have confirmed that the power is cut. Whatever ran there then had been stopped, and nothing that
	// starts there since gets a lease: a proof for the epochs in force (S4).
	Off bool `json:"off"`
	// Release: the power is to come back.
	Release bool `json:"release,omitempty"`
	// Detail is what the devices said last.
	Detail string `json:"detail,omitempty"`
}

// Cluster is the replicated state of one cluster.
type Cluster struct {
	Name string `json:"name"`
	// Version grows with every change of this cluster; a command names the one it was decided on.
	Version  uint64 `json:"version"`
	SystemID string `json:"systemID,omitempty"`
	// Epoch is in force, or the last that was; Primary is its member. Both are zero before the cluster is born.
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
	// Ancestry is the way to Timeline as far as it is known: what its primary reported when it last opened; before that, the
	// way to the timeline before, and where the WAL of the promoted member ended when it was chosen (zero where an operator
	// took it without a position). Past a promotion it is all that tells who has diverged (S2, S5).
	Ancestry platform.History `json:"ancestry,omitempty"`
	// ForkGuessed: the last of Ancestry was not reported by a primary that opened; its timeline may fork there or later.
	ForkGuessed bool `json:"forkGuessed,omitempty"`
	// ForkFinal: see platform.Goal.
	ForkFinal bool `json:"forkFinal,omitempty"`
	// HighTimeline is the highest timeline number ever seen or assigned: each attempt takes a new one.
	HighTimeline platform.Timeline `json:"highTimeline"`
	// LongestLease is the longest lease that may be in force (L4); it is at least the platform's.
	LongestLease time.Duration `json:"longestLease"`
	// Sets are the durability sets in force, oldest first; the last is the one to load.
	Sets    []platform.Set     `json:"sets"`
	HighSet uint64             `json:"highSet"`
	Members map[string]*Member `json:"members"`
	// Upstreams are the replicas that stream from another replica, their site's relay, instead of from the primary: those
	// whose acknowledgements nothing counts on. It is replaced, never edited, and empty after each change of primary.
	Upstreams map[string]string `json:"upstreams,omitempty"`
	// HighIncarnation numbers incarnations; none is used twice.
	HighIncarnation uint64   `json:"highIncarnation"`
	Attempt         *Attempt `json:"attempt,omitempty"`
	Pause           *Pause   `json:"pause,omitempty"`
	// Doubtful: the controllers were recovered since the epoch in force was granted. No seal and no lease's end proves
	// anything about it, and no position that anything is complete, until the primary has answered or was replaced.
	Doubtful bool `json:"doubtful,omitempty"`
	// Unbound: the epoch was reaffirmed after that, and its primary has not reported under it yet. Until then others may vouch for
	// it by sets that are not these, so the end of a lease proves nothing (L5).
	Unbound bool `json:"unbound,omitempty"`
	// Recovered is the last automatic failover, while it bars the next one that rests on inference; "" after that.
	Recovered string `json:"recovered,omitempty"`
	// Operations is the history, oldest first, at most maxOperations.
	Operations    []Operation `json:"operations,omitempty"`
	HighOperation uint64      `json:"highOperation"`
}

// Member is what is replicated of one member.
type Member struct {
	// Incarnation is the name under which the member's present (or next) data streams and acknowledges.
	Incarnation string `json:"incarnation"`
	// Joined: it has streamed under this incarnation.
	Joined bool `json:"joined,omitempty"`
	// Listed: a primary has confirmed a member list that contains it, so it counts among those who must vouch for a primary
	// without a leader (L5).
	Listed bool `json:"listed,omitempty"`
	// Excluded says why the member must not be promoted (S5); "" if nothing speaks against it.
	Excluded string `json:"excluded,omitempty"`
}

// Phase is where an attempt stands.
type Phase string

const (
	// PhaseCheckpoint: a switchover waits for the primary's CHECKPOINT; nothing has been taken from it yet.
	PhaseCheckpoint Phase = "checkpoint"
	// PhaseStop: a switchover waits for the clean stop; the lease is renewed meanwhile.
	PhaseStop Phase = "stop"
	// PhaseSeal: the epoch gets no more grants; replicas are sealed, the fence's proofs are collected.
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

// Attempt is a change of primary under way. It ends by a promotion, by abandonment, or (before anything was taken from the
// primary) by cancelling.
type Attempt struct {
	// Number is the epoch the promotion would have; seals belong to it.
	Number    platform.Epoch `json:"number"`
	Phase     Phase          `json:"phase"`
	Operation string         `json:"operation"`
	// To is the member an operator asked for, "" for the best.
	To string `json:"to,omitempty"`
	// StopOld asks the old primary's agent for the proof `stopped`. It is not set while an unreachable primary may turn
	// out well: then the attempt is abandoned instead.
	StopOld bool `json:"stopOld,omitempty"`
	// Accepted is an operator's word for this attempt (S4).
	Accepted *Acceptance `json:"accepted,omitempty"`
	// Approved is the operator who lets the primary move to another site, where failover.across-sites asks for that.
	Approved string `json:"approved,omitempty"`
	// Feed is a hand-over of WAL under way; Fed says that one was begun: there is no second.
	Feed *Feed `json:"feed,omitempty"`
	Fed  bool  `json:"fed,omitempty"`
}

// Feed lets a sealed member that is ahead, but may not lead, hand its WAL to the one that may: To receives from From, which
// receives from nobody, and is sealed again afterwards.
type Feed struct {
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
	Until  string `json:"until,omitempty"` // RFC 3339; "" for until resumed. No safety depends on it
	// Resuming: the guard is being bound again; promotion is barred until it is (L7). Resumed is the entry of the log since when.
	Resuming bool   `json:"resuming,omitempty"`
	Resumed  uint64 `json:"resumed,omitempty"`
}

// Set returns the durability set to load, or nil.
func (c *Cluster) Set() *platform.Set {
	if len(c.Sets) == 0 {
		return nil
	}
	return &c.Sets[len(c.Sets)-1]
}

// Fencing tells whether the epoch in force is being fenced: it then gets no more grants (L3).
func (c *Cluster) Fencing() bool { return c.Attempt != nil && c.Attempt.Phase == PhaseSeal }

// ClusterConfig returns the operator's words about a cluster, or nil.
func (s *State) ClusterConfig(name string) *platform.Cluster {
	if s.Platform == nil {
		return nil
	}
	return s.Platform.Cluster(name)
}

// PrimarySite is the site of a cluster's primary, "" before it has one.
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
