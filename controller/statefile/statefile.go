// Package statefile reads and writes the small JSON files in which an agent keeps what it must not forget. Each write is a new
// file, synced and renamed, so that a crash leaves the old content or the new.
//
// It must never guess: a file that is damaged is an error that names it and says what to do. Calls come from controller/agent,
// controller/supervisor, controller/quarantine and controller/apps, and wait for the disk.
package statefile

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"

	"mainstay/controller/durable"
)

// Read leaves v unchanged if there is no file.
func Read(path string, v any) error {
	b, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return Decode(path, b, v)
}

// Decode decodes the content that was read from path.
func Decode(path string, b []byte, v any) error {
	if err := json.Unmarshal(b, v); err != nil {
		return fmt.Errorf("%s is damaged (%w); restore it, or move the agent's whole folder away: "+
			"replicas with their data in it are then cloned anew, and the agent waits for the controllers before it obeys anything", path, err)
	}
	return nil
}

// Write writes v to path, and returns once it is on disk.
func Write(path string, v any) error {
	b, err := Encode(v)
	if err != nil {
		return err
	}
	return WriteBytes(path, b)
}

// Encode is what Write writes.
func Encode(v any) ([]byte, error) {
	b, err := json.MarshalIndent(v, "", "  ")
	return append(b, '\n'), err
}

// WriteBytes is Write for encoded content.
func WriteBytes(path string, b []byte) error {
	if err := durable.Write(path, b, 0o600); err != nil {
		return fmt.Errorf("keep what the agent must not forget: %w; look at that disk: its space, its owner", err)
	}
	return nil
}

// SyncDir is durable.SyncDir.
func SyncDir(dir string) error { return durable.SyncDir(dir) }
