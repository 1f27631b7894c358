package state

import (
	"bytes"
	"encoding/json"
	"fmt"

	"mainstay/controller/platform"
)

// snapshotVersion is the format of snapshots; a reader refuses a newer one.
const snapshotVersion = 1

type snapshot struct {
	Version int    `json:"version"`
	State   *State `json:"state"`
}

// New is the state before the first command.
func New() *State { return &State{Clusters: map[string]*Cluster{}} }

// EncodeSnapshot writes the whole state.
func EncodeSnapshot(s *State) ([]byte, error) { return json.Marshal(snapshot{snapshotVersion, s}) }

// DecodeSnapshot is the inverse of EncodeSnapshot. It refuses a format it does not know.
func DecodeSnapshot(b []byte) (*State, error) {
	var snap snapshot
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(&snap); err != nil {
		return nil, fmt.Errorf("the snapshot of the state cannot be read: %w; "+
			"upgrade this controller, or empty its data folder and add it again", err)
	}
	if snap.Version != snapshotVersion || snap.State == nil {
		return nil, fmt.Errorf("the snapshot has format %d, but this version reads format %d; upgrade this controller",
			snap.Version, snapshotVersion)
	}
	if snap.State.Clusters == nil {
		snap.State.Clusters = map[string]*Cluster{}
	}
	for _, p := range []*platform.Platform{snap.State.Platform, snap.State.Wanted} {
		if p != nil {
			p.FillDefaults() // an earlier version may have written it
		}
	}
	return snap.State, nil
}
