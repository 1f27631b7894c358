package state

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
)

// Command is one entry of the log: exactly one of its bodies is set. Barrier is the empty command that serves leases (L1).
type Command struct {
	// At is the leader's wall clock when it proposed, RFC 3339 with milliseconds. It is only ever shown to people.
	At string `json:"at,omitempty"`
	// By is the operator's name, or "mainstay" for an automatic decision.
	By string `json:"by,omitempty"`
	// Cluster is the cluster meant, and Version its version when the decision was made. The command is refused if the version has
	// changed since; 0 names no version.
	Cluster string `json:"cluster,omitempty"`
	Version uint64 `json:"version,omitempty"`

	Barrier       *Barrier          `json:"tick,omitempty"`
	Init          *Init             `json:"init,omitempty"`
	Platform      *SetPlatform      `json:"platform,omitempty"`
	Bootstrap     *BootstrapCluster `json:"birth,omitempty"`
	Begin         *Begin            `json:"begin,omitempty"`
	Advance       *Advance          `json:"advance,omitempty"`
	Promote       *Promote          `json:"promote,omitempty"`
	Abandon       *Abandon          `json:"abandon,omitempty"`
	Opened        *Opened           `json:"opened,omitempty"`
	Sets          *ChangeSet        `json:"sets,omitempty"`
	Settled       *Settled          `json:"settled,omitempty"`
	Reincarnate   *Reincarnate      `json:"reincarnate,omitempty"`
	Rejoined      *Rejoined         `json:"rejoined,omitempty"`
	Pause         *SetPause         `json:"pause,omitempty"`
	LeaseCounted  *LeaseCounted     `json:"leaseCounted,omitempty"`
	Ack           *Ack              `json:"ack,omitempty"`
	Stream        *Stream           `json:"stream,omitempty"`
	Reaffirm      *Reaffirm         `json:"reaffirm,omitempty"`
	Approve       *Approve          `json:"approve,omitempty"`
	App           *ChangeApp        `json:"app,omitempty"`
	BeginSite     *BeginSite        `json:"beginSite,omitempty"`
	StepSite      *StepSite         `json:"stepSite,omitempty"`
	HookAnswered  *HookAnswered     `json:"asked,omitempty"`
	AgentRun      *AgentRun         `json:"bind,omitempty"`
	Fence         *FenceHost        `json:"fence,omitempty"`
	Fenced        *HostFenced       `json:"fenced,omitempty"`
	Unfence       *UnfenceHost      `json:"unfence,omitempty"`
	Unfenced      *HostUnfenced     `json:"unfenced,omitempty"`
	RemoveLeaving *RemoveLeaving    `json:"left,omitempty"`
	Judge         *Judge            `json:"judge,omitempty"`
	Freeze        *FreezeMember     `json:"freeze,omitempty"`
	Mend          *MendPage         `json:"mend,omitempty"`
	Backups       *ChangeBackups    `json:"backups,omitempty"`
}

// Barrier changes nothing: it shows that its term's leader still leads when it is committed (L1).
type Barrier struct{}

// Subject is the cluster, its backups, the app or the site switchover that a command changes. A leader has at most one decided command in
// flight for each.
func (c Command) Subject() string {
	switch {
	case c.App != nil:
		return "app " + c.App.App
	case c.BeginSite != nil || c.StepSite != nil || c.HookAnswered != nil:
		return "site switchover"
	case c.Backups != nil:
		return "backups of " + c.Cluster
	}
	return c.Cluster
}

// Body is the name of the command's body in the log. It is an error unless exactly one is set: of two, Apply would choose by the
// order of its cases.
func (c *Command) Body() (string, error) {
	body, v := "", reflect.ValueOf(c).Elem()
	for i := range v.NumField() {
		if v.Field(i).Kind() != reflect.Pointer || v.Field(i).IsNil() {
			continue
		}
		name, _, _ := strings.Cut(v.Type().Field(i).Tag.Get("json"), ",")
		if body != "" {
			return "", fmt.Errorf("the command has two bodies, %s and %s", body, name)
		}
		body = name
	}
	if body == "" {
		return "", ErrUnknownCommand
	}
	return body, nil
}

// Encode writes a command for the log. One without exactly one body is an error.
func (c Command) Encode() ([]byte, error) {
	if _, err := c.Body(); err != nil { // the log would stop at it
		return nil, err
	}
	return json.Marshal(c)
}

// DecodeCommand reads a command. A command this version does not know is an error: the log must stop, never skip it.
func DecodeCommand(b []byte) (Command, error) {
	var c Command
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(&c); err != nil {
		return c, fmt.Errorf("this version does not know a command of the log: %w; upgrade this controller", err)
	}
	if d.More() {
		return c, errors.New("an entry of the log holds more than one command; this controller's disk may be damaged: " +
			"empty its data folder and add it again")
	}
	if _, err := c.Body(); err != nil {
		return c, fmt.Errorf("this version does not know a command of the log: %w; upgrade this controller", err)
	}
	if c.Platform != nil && c.Platform.Platform != nil {
		c.Platform.Platform.FillDefaults() // an earlier version may have written it
	}
	return c, nil
}
