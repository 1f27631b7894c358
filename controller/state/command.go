package state

import (
	"bytes"
	"encoding/json"
	"fmt"

	"mainstay/controller/platform"
	"mainstay/fencing"
)

// Command is one entry of the log: exactly one of its bodies is set. Tick is the empty command that serves leases (L1).
type Command struct {
	// At is the leader's wall clock when it proposed, RFC 3339 with milliseconds. It is only ever shown to people.
	At string `json:"at,omitempty"`
	// By is who asked: an operator's name, or "mainstay".
	By string `json:"by,omitempty"`
	// Cluster is the cluster meant, and Version the version of it that the decision was made on; the command is refused if
	// it has moved. Version 0 names none.
	Cluster string `json:"cluster,omitempty"`
	Version uint64 `json:"version,omitempty"`

	Tick         *Tick         `json:"tick,omitempty"`
	Init         *Init         `json:"init,omitempty"`
	Platform     *SetPlatform  `json:"platform,omitempty"`
	Birth        *BirthOf      `json:"birth,omitempty"`
	Begin        *Begin        `json:"begin,omitempty"`
	Advance      *Advance      `json:"advance,omitempty"`
	Promote      *Promote      `json:"promote,omitempty"`
	Abandon      *Abandon      `json:"abandon,omitempty"`
	Opened       *Opened       `json:"opened,omitempty"`
	Sets         *ChangeSet    `json:"sets,omitempty"`
	Settled      *Settled      `json:"settled,omitempty"`
	Reincarnate  *Reincarnate  `json:"reincarnate,omitempty"`
	Rejoined     *Rejoined     `json:"rejoined,omitempty"`
	Pause        *SetPause     `json:"pause,omitempty"`
	LeaseCounted *LeaseCounted `json:"leaseCounted,omitempty"`
	Ack          *Ack          `json:"ack,omitempty"`
	Stream       *Stream       `json:"stream,omitempty"`
	Reaffirm     *Reaffirm     `json:"reaffirm,omitempty"`
	Approve      *Approve      `json:"approve,omitempty"`
	App          *ChangeApp    `json:"app,omitempty"`
	BeginSite    *BeginSite    `json:"beginSite,omitempty"`
	StepSite     *StepSite     `json:"stepSite,omitempty"`
	Asked        *Asked        `json:"asked,omitempty"`
	Bind         *Bind         `json:"bind,omitempty"`
	Fence        *FenceHost    `json:"fence,omitempty"`
	Fenced       *HostFenced   `json:"fenced,omitempty"`
	Unfence      *UnfenceHost  `json:"unfence,omitempty"`
	Unfenced     *HostUnfenced `json:"unfenced,omitempty"`
	Left         *Left         `json:"left,omitempty"`
}

// Tick changes nothing: that it was committed in the leader's term is all that matters (L1).
type Tick struct{}

// Init mints the platform's id and generation 1, once (S3).
type Init struct {
	PlatformID string `json:"platformID"`
}

// SetPlatform stores a wanted platform. It was validated by controller/config.
type SetPlatform struct {
	Platform *platform.Platform `json:"platform"`
	// Base is the PlatformVersion it was made from; 0 for any.
	Base uint64 `json:"base"`
	// Remove names the members and clusters that may be removed by it.
	Remove []string `json:"remove,omitempty"`
}

// Left lets go of the members of a cluster that are leaving and that no durability set in force counts on any more.
type Left struct{}

// BirthOf gives an unborn cluster its first epoch: by initialising Member, or by adopting it where it runs.
type BirthOf struct {
	Member string `json:"member"`
	Adopt  bool   `json:"adopt"`
	// Guarded, SystemID, Timeline and History are what the adopted primary's agent reported.
	Guarded  bool              `json:"guarded"`
	SystemID string            `json:"systemID,omitempty"`
	Timeline platform.Timeline `json:"timeline,omitempty"`
	History  platform.History  `json:"history,omitempty"`
	Reason   string            `json:"reason"`
}

// Begin starts an attempt to change the primary.
type Begin struct {
	Kind       OperationKind `json:"kind"` // Failover or Switchover
	Reason     string        `json:"reason"`
	To         string        `json:"to,omitempty"`
	StopOld    bool          `json:"stopOld,omitempty"`
	Accepted   *Acceptance   `json:"accepted,omitempty"`
	Prediction *Prediction   `json:"prediction,omitempty"`
	// Change is the site switchover that it is a part of, "" for none.
	Change string `json:"change,omitempty"`
}

// Advance moves a running attempt to its next phase.
type Advance struct {
	Attempt platform.Epoch `json:"attempt"`
	Phase   Phase          `json:"phase"`
	StopOld bool           `json:"stopOld,omitempty"`
	// Accepted lets a policy (failover.when-incomplete: accept), or an operator for an attempt that waits (S4), stand in.
	Accepted *Acceptance `json:"accepted,omitempty"`
	// To is the member the operator names with it; "" leaves the choice as it was.
	To string `json:"to,omitempty"`
	// Feed begins a hand-over of WAL; nil ends one.
	Feed *Feed  `json:"feed,omitempty"`
	Note string `json:"note"`
}

// Promote ends an attempt: Member is primary of the attempt's number. Timeline is a number never used before, or the one
// in force if Member is the old primary itself, restarted in place.
type Promote struct {
	Attempt   platform.Epoch          `json:"attempt"`
	Member    string                  `json:"member"`
	Timeline  platform.Timeline       `json:"timeline"`
	Guarded   bool                    `json:"guarded"`
	Proof     fencing.Proof           `json:"proof"`
	Sealed    []Sealed                `json:"sealed"`
	Clean     bool                    `json:"clean"` // the old primary stopped cleanly and Member holds its last record
	Positions map[string]platform.LSN `json:"positions,omitempty"`
	NotChosen map[string]string       `json:"notChosen,omitempty"`
	Loss      string                  `json:"loss,omitempty"`
}

// Abandon ends an attempt without a promotion.
type Abandon struct {
	Attempt platform.Epoch `json:"attempt"`
	Reason  string         `json:"reason"`
}

// Opened records that the primary of Epoch is writable and has checkpointed.
type Opened struct {
	Epoch    platform.Epoch    `json:"epoch"`
	SystemID string            `json:"systemID"`
	Timeline platform.Timeline `json:"timeline"`
	History  platform.History  `json:"history,omitempty"`
}

// ChangeSet records a new durability set, before the primary loads it.
type ChangeSet struct {
	Epoch  platform.Epoch `json:"epoch"`
	Acks   int            `json:"acks"`
	Names  []string       `json:"names"`
	Reason string         `json:"reason"`
}

// Settled drops every set before ID: the primary of Epoch has shown the drop rule for them.
type Settled struct {
	Epoch platform.Epoch `json:"epoch"`
	ID    uint64         `json:"id"`
}

// Reincarnate gives a member's next data a new name, because the present data must be discarded.
type Reincarnate struct {
	Member string `json:"member"`
	Reason string `json:"reason"`
}

// Rejoined records that a member streams under its incarnation, and what it had to leave behind (S9).
type Rejoined struct {
	Member  string `json:"member"`
	Note    string `json:"note"`
	Discard string `json:"discard,omitempty"`
}

// SetPause pauses or resumes a cluster (L7). Exactly one field is set.
type SetPause struct {
	Pause  *Pause `json:"pause,omitempty"`
	Resume bool   `json:"resume,omitempty"`
	// Bound ends a resume: the guard is bound again (Guarded), or out of reach (not Guarded, so its lease proves nothing).
	Bound   bool `json:"bound,omitempty"`
	Guarded bool `json:"guarded,omitempty"`
}

// LeaseCounted replaces the longest lease, after this leader has counted out the longer one (L4).
type LeaseCounted struct {
	Longest int64 `json:"longest"` // ns
}

// Ack lifts the block that an automatic failover leaves behind: by an operator who has seen it, or once it is counted out.
type Ack struct {
	Operation string `json:"operation"` // "" for whichever it is
}

// Stream has a replica stream from another of its site, or from the primary again (From "").
type Stream struct {
	Member string `json:"member"`
	From   string `json:"from,omitempty"`
	Reason string `json:"reason"`
}

// Approve is an operator's word that the failover under way may leave the primary's site.
type Approve struct {
	Operation string `json:"operation"`
}

// Bind records which run of an agent speaks for a host: the first that was heard, or one that was heard after the former
// had been silent for longer than any lease (L8).
type Bind struct {
	Host string `json:"host"`
	Run  string `json:"run"`
}

// FenceHost wants a host's power cut by its fence devices: by an operator, or for an attempt that has no other proof. From
// here on no member of the host gets a lease or a goal.
type FenceHost struct {
	Host   string `json:"host"`
	Reason string `json:"reason"`
}

// HostFenced is what the devices said to that. Fence is the number of the fence that it answers, here and in HostUnfenced; 0
// is a version's that did not number them, and answers whichever there is.
type HostFenced struct {
	Host   string `json:"host"`
	Fence  uint64 `json:"fence,omitempty"`
	Off    bool   `json:"off"` // one level of devices has confirmed it
	Detail string `json:"detail"`
}

// UnfenceHost gives a fenced host its power back.
type UnfenceHost struct {
	Host   string `json:"host"`
	Reason string `json:"reason,omitempty"`
	// Withdraw ends an automatic fence that no device has confirmed, because the host answers.
	Withdraw bool `json:"withdraw,omitempty"`
}

// HostUnfenced is what the devices said to that. Once it is on, its members get goals again.
type HostUnfenced struct {
	Host   string `json:"host"`
	Fence  uint64 `json:"fence,omitempty"`
	On     bool   `json:"on"`
	Detail string `json:"detail"`
}

// Subject is what a command is about. A leader has one decided command a subject under way.
func (c Command) Subject() string {
	switch {
	case c.App != nil:
		return "app " + c.App.App
	case c.BeginSite != nil || c.StepSite != nil || c.Asked != nil:
		return "site switchover"
	}
	return c.Cluster
}

// Encode writes a command for the log.
func (c Command) Encode() ([]byte, error) { return json.Marshal(c) }

// DecodeCommand reads a command. A command this version does not know is an error: the log must stop, never skip it.
func DecodeCommand(b []byte) (Command, error) {
	var c Command
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(&c); err != nil {
		return c, fmt.Errorf("command of the log is not known to this version: %w; upgrade this controller", err)
	}
	if c.Platform != nil && c.Platform.Platform != nil {
		c.Platform.Platform.FillDefaults() // an earlier version may have written it
	}
	return c, nil
}
