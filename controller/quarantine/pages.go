package quarantine

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"mainstay/controller/wire"
	"mainstay/health"
)

// KeepPages keeps what a mending replaces: files by name, each with its content. It returns the ID of the piece, whose record is on disk
// before the files are. After an error nothing is kept.
func (h *Host) KeepPages(r Repair, m health.Mended, files map[string][]byte) (id string, err error) {
	p := r.piece(wire.Mended)
	p.When, p.Successor, p.To, p.From = time.Now().UTC().Format(time.RFC3339), r.Incarnation, r.Seen.End, r.Seen.End
	for _, content := range files {
		p.Size += int64(len(content))
	}
	q := h.of(r.Member)
	if err := q.room(p); err != nil {
		return "", err
	}
	if _, err := q.name(&p, q.dir+string(filepath.Separator)); err != nil {
		return "", err
	}
	if err := q.record(p); err != nil {
		return "", errors.Join(err, os.RemoveAll(p.Place))
	}
	root, err := os.OpenRoot(q.dir)
	if err != nil {
		return "", err
	}
	defer root.Close()
	for name, content := range files {
		if err := replace(root, filepath.Join(p.ID, strings.ReplaceAll(name, "/", "_")), content); err != nil {
			return "", errors.Join(fmt.Errorf("keep what the mending of %s replaces: %w", m.Page, err), root.RemoveAll(p.ID))
		}
	}
	return p.ID, nil
}
