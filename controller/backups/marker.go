package backups

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"

	"mainstay/controller/statefile"
	"mainstay/health/backup/target"
)

// marker is an object of a directory target by which agents know it again. The folder of a disk that is not mounted is an empty one, and
// would be filled with WAL that nobody finds once the disk is back.
const marker = "mainstay-target"

// mostMarker bounds what is read of a marker, in bytes.
const mostMarker = 1 << 10

// knownPath is the file with the marker of each directory target that this agent has seen.
func (h *Host) knownPath() string { return filepath.Join(h.o.Config.Data, "targets.json") }

// recognise tells whether a directory target is the one that this agent has used before. One that is new gets its marker.
func (h *Host) recognise(ctx context.Context, p *place) error {
	if p.kind != directoryKind {
		return nil
	}
	h.marking.Lock()
	defer h.marking.Unlock()
	known := map[string]string{}
	if err := statefile.Read(h.knownPath(), &known); err != nil {
		return err
	}
	is, err := markerOf(ctx, p)
	if errors.Is(err, target.ErrNotThere) {
		if known[p.Name] != "" {
			return fmt.Errorf("the file %s is no longer there, so this is not the folder of before: mount its disk; if it was emptied on purpose, "+
				"delete the line %q from %s", marker, p.Name, h.knownPath())
		}
		is = rand.Text()
		_, err = p.Put(ctx, marker, strings.NewReader(is+"\n"), int64(len(is)+1))
		if errors.Is(err, target.ErrExists) { // another agent was first
			is, err = markerOf(ctx, p)
		}
	}
	switch {
	case err != nil:
		return err
	case known[p.Name] == is:
		return nil
	case known[p.Name] != "":
		return fmt.Errorf("its file %s is that of another folder than before: mount the right disk; if the target was moved on purpose, delete "+
			"the line %q from %s", marker, p.Name, h.knownPath())
	}
	known[p.Name] = is
	return statefile.Write(h.knownPath(), known)
}

// recogniseAll is recognise for the targets of those names.
func (h *Host) recogniseAll(ctx context.Context, names []string) error {
	for _, name := range names {
		if p := h.byName(name); p != nil {
			if err := h.recognise(ctx, p); err != nil {
				return fmt.Errorf("target %s: %w", name, err)
			}
		}
	}
	return nil
}

func markerOf(ctx context.Context, p *place) (string, error) {
	r, err := p.Get(ctx, marker)
	if err != nil {
		return "", err
	}
	raw, err := io.ReadAll(io.LimitReader(r, mostMarker))
	return strings.TrimSpace(string(raw)), errors.Join(err, r.Close())
}
