package quarantine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"mainstay/controller/postgres"
	"mainstay/controller/statefile"
	"mainstay/controller/wire"
)

// asideSuffix begins the suffix of a data directory that a rebuild has set aside.
const asideSuffix = "mainstay-aside-"

// store is the place for data that one member's repairs discard (S9). Each piece has a folder with its record, which is on disk
// before anything is discarded. Only an operator's drop removes WAL from it; other data is also removed once its successor provably has
// all of its transactions (reduce). Files in a piece may belong to PostgreSQL's user, so no link in it is followed to the outside
// (os.Root).
type store struct {
	dir   string
	limit int64 // bytes
}

// fullError is returned when another piece would exceed the limit: the repair waits until an operator drops one.
type fullError struct {
	member            string
	used, more, limit int64
	oldest            string
	pieces            int
}

func (e *fullError) Error() string {
	return fmt.Sprintf(
		"the quarantine of %s holds %s in %d pieces, and this repair needs %s more, which exceeds the limit of %s; pieces are never dropped "+
			"automatically: see `mainstay member quarantine list %s`, "+
			"then run `mainstay member quarantine drop %s`, or raise quarantine.limit in the agent's file and restart the agent",
		e.member, megabytes(e.used), e.pieces, megabytes(e.more), megabytes(e.limit), e.member, e.oldest)
}

func megabytes(n int64) string { return fmt.Sprintf("%d MB", (n+1<<20-1)>>20) }

// room refuses a piece that would exceed the limit together with the pieces of earlier repairs. If there are none, the pieces of one
// repair always fit, whatever their size: no drop could make room for them.
func (q store) room(p wire.Piece) error {
	kept, err := q.list()
	if err != nil {
		return err
	}
	full := &fullError{member: p.Member, more: p.Size, limit: q.limit}
	for _, k := range kept {
		if k.Successor == p.Successor {
			continue
		}
		if full.used += k.Size; full.oldest == "" {
			full.oldest = k.ID
		}
		full.pieces++
	}
	if full.pieces > 0 && full.used+p.Size > q.limit {
		return full
	}
	return nil
}

// name gives a piece its ID (the successor's name and the kind of repair) and its place, which begins with base. A later attempt of the
// same repair finds the piece of an earlier one.
func (q store) name(p *wire.Piece, base string) (kept bool, err error) {
	for n := 1; ; n++ {
		p.ID = p.Successor + "-" + p.How
		if n > 1 {
			p.ID = fmt.Sprintf("%s-%d", p.ID, n)
		}
		p.Place = base + p.ID
		old, err := q.read(p.ID)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			if _, err := os.Lstat(p.Place); errors.Is(err, fs.ErrNotExist) {
				return false, nil
			}
		case err != nil:
			return false, err
		case old.Dropped != nil:
		case p.How == wire.Rewound && old.Timeline == p.Timeline && old.From == p.From && old.To == p.To:
			*p = old
			return true, nil
		case p.How == wire.Rebuilt && old.Problem != "": // the earlier attempt ended before it was set aside
			return false, nil
		}
	}
}

// list reads the records, the oldest first.
func (q store) list() ([]wire.Piece, error) {
	entries, err := os.ReadDir(q.dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var all []wire.Piece
	for _, e := range entries {
		if strings.Contains(e.Name(), ".tmp-") || e.Type().IsRegular() {
			continue // an interrupted copy, or a user's file
		}
		p, err := q.read(e.Name())
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		all = append(all, p)
	}
	slices.SortFunc(all, func(a, b wire.Piece) int { return strings.Compare(a.When+a.ID, b.When+b.ID) })
	return all, nil
}

// maxRecord bounds a record.
const maxRecord = 1 << 20

func (q store) read(id string) (p wire.Piece, err error) {
	path := filepath.Join(q.dir, id, postgres.RecordFile)
	text, err := q.readRecord(id)
	if err != nil {
		return p, err
	}
	if err := json.Unmarshal(text, &p); err != nil {
		return p, fmt.Errorf("%s is damaged: %w; inspect that folder, and move it away to continue", path, err)
	}
	if p.How != wire.Rebuilt {
		p.Place = filepath.Dir(path) // the agent's folder may have been moved
	}
	if _, err := os.Lstat(p.Place); errors.Is(err, fs.ErrNotExist) {
		p.Problem = "its files are gone, or were never set aside"
	}
	return p, nil
}

func (q store) readRecord(id string) ([]byte, error) {
	root, err := os.OpenRoot(q.dir)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	f, err := root.OpenFile(filepath.Join(id, postgres.RecordFile), os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, maxRecord))
}

// record writes a piece's record into its folder, durably.
func (q store) record(p wire.Piece) error {
	p.Problem = ""
	text, err := json.MarshalIndent(p, "", "  ")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(q.dir, 0o755); err != nil {
		return err
	}
	root, err := os.OpenRoot(q.dir)
	if err != nil {
		return err
	}
	defer root.Close()
	if err := root.Mkdir(p.ID, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	if err := replace(root, filepath.Join(p.ID, postgres.RecordFile), append(text, '\n')); err != nil {
		return fmt.Errorf("write the record of the quarantined data: %w; check that disk's free space and the folder's owner", err)
	}
	return statefile.SyncDir(q.dir)
}

// replace replaces a file below root atomically and durably.
func replace(root *os.Root, name string, content []byte) error {
	tmp := name + ".new"
	if err := root.Remove(tmp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	f, err := root.OpenFile(tmp, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := root.Rename(tmp, name); err != nil {
		return err
	}
	dir, err := root.Open(filepath.Dir(name))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

// remove destroys a piece. Its record is removed last, so that an interrupted removal can continue (S7).
func (q store) remove(ctx context.Context, p wire.Piece) error {
	dir := filepath.Join(q.dir, p.ID)
	if p.Place != dir {
		if !strings.Contains(filepath.Base(p.Place), "."+asideSuffix) {
			return fmt.Errorf("the record of %s names %s, which is not a data directory set aside by a rebuild; correct %s",
				p.ID, p.Place, filepath.Join(dir, postgres.RecordFile))
		}
		if err := removeParts(ctx, p); err != nil {
			return err
		}
		if err := removeTree(ctx, p.Place, ""); err != nil {
			return err
		}
	}
	if err := removeTree(ctx, dir, postgres.RecordFile); err != nil {
		return err
	}
	return errors.Join(os.RemoveAll(dir), statefile.SyncDir(q.dir))
}

// removeParts destroys the parts outside a data directory that was set aside. They are removed first, because only that directory links to
// them. If an operator has moved it back by hand, a server may use them.
func removeParts(ctx context.Context, p wire.Piece) error {
	for _, part := range p.Parts {
		if !strings.Contains(filepath.Base(part.Place), asideSuffix) {
			return fmt.Errorf("the record of %s names %s, which was not set aside; correct it", p.ID, part.Place)
		}
		if _, err := os.Lstat(part.Place); errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if _, err := os.Lstat(p.Place); err != nil {
			return fmt.Errorf("%s is not removed, because the data directory that links to it is not in its place (%w): if no server uses it, "+
				"remove it and drop %s again", part.Place, err, p.ID)
		}
		if err := removeTree(ctx, part.Place, ""); err != nil {
			return err
		}
	}
	return nil
}
