package backup

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sys/unix"

	"mainstay/controller/postgres"
	"mainstay/health/backup/target"
)

// input is one backup of a chain, unpacked.
type input struct {
	tree
	id       string
	record   *Record // nil: the one that is being made
	manifest *manifest
	verified bool // against its manifest, in this run
}

// path is that of a file in its data directory.
func (i input) path(name string) string { return filepath.Join(i.data, name) }

// Staging keeps the pristine copies of the newest chain, so that the next incremental need not fetch them: by sharing blocks where the
// filesystem can, else, after the release, unpacked from the packed copy. A copy is kept only where there is room for it and for another
// copy; without it the chain is fetched from a target.

// keptDir is where a chain's backup is kept.
func (r *run) keptDir(id string) string { return filepath.Join(r.Staging, keptFolder, id) }

// unfinishedKept marks a copy that is not whole.
const unfinishedKept = ".new"

// clearKept removes what an interrupted run has begun to keep.
func clearKept(staging string) error {
	left, err := filepath.Glob(filepath.Join(staging, keptFolder, "*"+unfinishedKept))
	for _, dir := range left {
		err = errors.Join(err, os.RemoveAll(dir))
	}
	return err
}

// forgetChains removes all kept copies but those named.
func (r *run) forgetChains(but ...string) error {
	entries, err := os.ReadDir(filepath.Join(r.Staging, keptFolder))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	for _, e := range entries {
		if !slices.Contains(but, e.Name()) {
			err = errors.Join(err, os.RemoveAll(filepath.Join(r.Staging, keptFolder, e.Name())))
		}
	}
	return err
}

// base gets ready what an incremental builds on. Where that cannot be, it becomes a full one.
func (m *making) base(ctx context.Context) error {
	b := m.order.Base
	switch {
	case m.Server.Binaries.Major < 17:
		m.fullInstead(fmt.Sprintf("PostgreSQL %d makes no incremental ones", m.Server.Binaries.Major))
		return nil
	case b == nil:
		m.fullInstead("there is no backup to build on")
		return nil
	case !m.source.Summarizes:
		m.fullInstead(fmt.Sprintf("summarize_wal is off on %s: PostgreSQL makes incremental ones only where it is on", m.record.Member))
		return nil
	}
	m.record.Base = b.ID
	err := m.step(ctx, StepBase, func(ctx context.Context, w *watch) (err error) {
		m.chain, err = m.gather(ctx, b, m.order.Targets, m.input, w)
		return err
	})
	if err == nil || m.hung || ctx.Err() != nil {
		return err
	}
	m.fullInstead(fmt.Sprintf("its base could not be had: %v", err))
	return nil
}

// getInput is run.input or run.fetched.
type getInput func(context.Context, *Record, []target.Target, *watch) (input, error)

// mostLinks bounds a chain.
const mostLinks = 1000

// gather gets a backup and all that it builds on, the full one first.
func (r *run) gather(ctx context.Context, newest *Record, from []target.Target, get getInput, w *watch) (chain []input, err error) {
	for at := newest; ; {
		in, err := get(ctx, at, from, w)
		if err != nil {
			return nil, err
		}
		chain = append([]input{in}, chain...)
		if at.Kind == Full {
			return chain, nil
		}
		if len(chain) > mostLinks {
			return nil, fmt.Errorf("the chain of backup %s has no end", newest.ID)
		}
		base := at.Base
		if at, err = firstOf(from, func(t target.Target) (*Record, error) { return ReadRecord(ctx, t, newest.Cluster, base) }); err != nil {
			return nil, err
		}
	}
}

// firstOf asks one target after another until one answers.
func firstOf[T any](from []target.Target, ask func(target.Target) (T, error)) (v T, err error) {
	err = errors.New("no target is named")
	for n, t := range from {
		var wrong error
		if v, wrong = ask(t); wrong == nil {
			return v, nil
		}
		if n == 0 {
			err = nil
		}
		err = errors.Join(err, wrong)
	}
	return v, err
}

// input is one backup of a chain: what staging has kept of it, or else what a target has.
func (r *run) input(ctx context.Context, record *Record, from []target.Target, w *watch) (in input, err error) {
	kept := treeIn(r.keptDir(record.ID), record.Spaces)
	if m, err := readTreeManifest(kept.data); err == nil && m.SHA256 == record.Manifest {
		return input{tree: kept, id: record.ID, record: record, manifest: m}, nil
	}
	return r.fetched(ctx, record, from, w)
}

// fetched is a backup of a chain as a target has it.
func (r *run) fetched(ctx context.Context, record *Record, from []target.Target, w *watch) (in input, err error) {
	dir := r.path("chain", record.ID)
	if err := os.MkdirAll(dir, 0o711); err != nil {
		return in, err
	}
	in = input{tree: treeIn(dir, record.Spaces), id: record.ID, record: record, verified: true}
	in.manifest, err = firstOf(from, func(t target.Target) (*manifest, error) {
		if err := os.RemoveAll(dir); err != nil {
			return nil, err
		}
		if err := os.Mkdir(dir, 0o711); err != nil {
			return nil, err
		}
		return r.fetch(ctx, t, record, in.tree, w)
	})
	return in, err
}

// mostManifest bounds a manifest that is read from a target, in bytes: those of ten million files.
const mostManifest = 2 << 30

// fetch unpacks a released backup from a target, verified in all ways that its record and its manifest allow.
func (r *run) fetch(ctx context.Context, t target.Target, record *Record, to tree, w *watch) (*manifest, error) {
	w.patient(ownDeadline)
	defer w.patient(0)
	w.total.Add(record.Packed)
	raw, err := readObject(ctx, t, object(record.Cluster, record.ID, objectManifest), mostManifest)
	if err != nil {
		return nil, err
	}
	path := r.path("manifest-" + record.ID)
	if err := os.WriteFile(path, raw, fileMode); err != nil {
		return nil, err
	}
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	m, err := readManifest(file)
	if errors.Is(err, errManifest) || err == nil && m.SHA256 != record.Manifest {
		return nil, &finding{CheckManifest, fmt.Sprintf("the manifest of backup %s at its target is not the one that was released", record.ID)}
	}
	if err != nil {
		return nil, err
	}
	packedCopy, err := t.Get(ctx, object(record.Cluster, record.ID, objectPack))
	if err != nil {
		return nil, err
	}
	defer packedCopy.Close()
	err = unpack(ctx, newPaced(ctx, packedCopy, w, r.rate), packed{size: record.Packed, sha: record.SHA256}, m, to, r.Server.Owner, w)
	if err == nil {
		err = writeBelow(to.data, manifestName, raw, r.Server.Owner)
	}
	return m, err
}

// writeBelow makes a file of the owner's in a copy.
func writeBelow(dir, name string, content []byte, o postgres.Owner) error {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	return writeIn(root, name, content, o)
}

func writeIn(root *os.Root, name string, content []byte, o postgres.Owner) error {
	f, err := root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL|syscall.O_NOFOLLOW, fileMode)
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	return errors.Join(err, giveFile(f, o), f.Close())
}

// combined makes one data directory of a chain, in the run's folder. Every input is verified before, because what is rotten in one is right
// in the result: it gets new checksums there.
func (r *run) combined(ctx context.Context, chain []input, from []target.Target) (tree, error) {
	if err := r.step(ctx, StepInputs, func(ctx context.Context, w *watch) error { return r.verifyAll(ctx, chain, from, w) }); err != nil {
		return tree{}, err
	}
	to := tree{data: r.path(fullFolder), spaces: map[uint32]string{}}
	for _, oid := range chain[len(chain)-1].oids() {
		to.spaces[oid] = r.path(fullFolder+"-spaces", strconv.FormatUint(uint64(oid), 10))
	}
	return to, r.combine(ctx, chain, to)
}

// combine runs pg_combinebackup on inputs that have been verified.
func (r *run) combine(ctx context.Context, chain []input, to tree) error {
	return r.step(ctx, StepCombine, func(ctx context.Context, w *watch) error {
		w.patient(combineBound)
		last := chain[len(chain)-1]
		c := postgres.Combination{To: to.data, Spaces: map[string]string{}, Clone: clones(r.dir)}
		for oid, place := range to.spaces {
			c.Spaces[last.spaces[oid]] = place
		}
		for _, in := range chain {
			c.Inputs = append(c.Inputs, in.data)
		}
		for _, dir := range append(slices.Collect(maps.Values(to.spaces)), to.data) {
			if err := os.MkdirAll(filepath.Dir(dir), 0o711); err != nil {
				return err
			}
			if err := r.ownFolder(dir); err != nil && !errors.Is(err, fs.ErrExist) {
				return err
			}
		}
		return r.Server.Combine(ctx, c)
	})
}

// combineBound is for pg_combinebackup, which tells nothing while it works.
const combineBound = 12 * time.Hour

// verifyAll verifies what staging has kept of a chain. A kept copy that is damaged is removed, and fetched anew: the backup itself may be
// good.
func (r *run) verifyAll(ctx context.Context, chain []input, from []target.Target, w *watch) error {
	for n, in := range chain {
		if in.verified {
			continue
		}
		err := verify(ctx, in.tree, in.manifest, r.rate, w)
		if found := (*finding)(nil); errors.As(err, &found) {
			r.Log.Warn("staging has damaged what it kept", zap.String("backup", in.id), zap.Error(err))
			if err = os.RemoveAll(r.keptDir(in.id)); err == nil {
				chain[n], err = r.fetched(ctx, in.record, from, w)
			}
		}
		if err != nil {
			return fmt.Errorf("backup %s of the chain: %w", in.id, err)
		}
	}
	return nil
}

// clones tells whether the filesystem of a folder of ours can share blocks between files.
func clones(dir string) bool {
	from, err := os.CreateTemp(dir, "clone")
	if err != nil {
		return false
	}
	defer os.Remove(from.Name())
	defer from.Close()
	to, err := os.CreateTemp(dir, "clone")
	if err != nil {
		return false
	}
	defer os.Remove(to.Name())
	defer to.Close()
	_, err = from.WriteString("x")
	return err == nil && unix.IoctlFileClone(int(to.Fd()), int(from.Fd())) == nil
}

// keepClone keeps a pristine copy by sharing its blocks, before the scratch instance changes it. Where that cannot be, keep does.
func (m *making) keepClone(ctx context.Context) bool {
	if !clones(m.dir) {
		return false
	}
	err := m.step(ctx, StepKeep, func(ctx context.Context, w *watch) error {
		k, err := m.newKept()
		if err != nil {
			return err
		}
		return cloneTree(ctx, m.tree, k, m.Server.Owner, w)
	})
	if err != nil {
		m.Log.Warn("the copy could not be kept for the next incremental backup", zap.Error(err))
	}
	return err == nil
}

// newKept is an empty place for the copy.
func (m *making) newKept() (tree, error) {
	dir := m.keptDir(m.record.ID) + unfinishedKept
	if err := errors.Join(os.RemoveAll(dir), os.MkdirAll(dir, 0o711)); err != nil {
		return tree{}, err
	}
	return treeIn(dir, m.record.Spaces), nil
}

// keep keeps a good copy as the base of the next incremental, if it is asked for and there is room. That it cannot be kept is no fault of
// the backup. Chains that no incremental will build on any more are removed.
func (m *making) keep(ctx context.Context) error {
	if !m.order.Keep {
		return nil
	}
	chain := []string{m.record.ID}
	for _, in := range m.chain {
		chain = append(chain, in.id)
	}
	err := m.step(ctx, StepKeep, func(ctx context.Context, w *watch) error {
		if err := m.forgetChains(append(chain, m.record.ID+unfinishedKept)...); err != nil {
			return err
		}
		if !m.cloned {
			if has, err := free(m.dir); err != nil || has < 2*m.record.Size {
				return errors.Join(err, fmt.Errorf("%d MB are free, and %d MB are needed", has>>20, 2*m.record.Size>>20))
			}
			k, err := m.newKept()
			if err != nil {
				return err
			}
			if err := m.unpackKept(ctx, k, w); err != nil {
				return err
			}
		}
		return m.settleKept()
	})
	if err != nil {
		m.Log.Warn("the copy could not be kept for the next incremental backup: its chain will be fetched from a target", zap.Error(err))
	}
	if m.hung {
		return err
	}
	return nil
}

func (m *making) unpackKept(ctx context.Context, k tree, w *watch) error {
	file, err := os.Open(m.path(objectPack))
	if err != nil {
		return err
	}
	defer file.Close()
	for _, f := range m.mani.Files {
		f.seen = false
	}
	own := packed{size: m.record.Packed, sha: m.record.SHA256}
	if err := unpack(ctx, newPaced(ctx, file, w, 0), own, m.mani, k, m.Server.Owner, w); err != nil {
		return err
	}
	raw, err := readBelow(m.tree.data, manifestName)
	if err != nil {
		return err
	}
	return writeBelow(k.data, manifestName, raw, m.Server.Owner)
}

// settleKept makes the kept copy one that counts. The links of its tablespaces are made for its last place.
func (m *making) settleKept() error {
	dir := m.keptDir(m.record.ID)
	if err := errors.Join(os.RemoveAll(dir), os.Rename(dir+unfinishedKept, dir)); err != nil {
		return err
	}
	k := treeIn(dir, m.record.Spaces)
	root, err := os.OpenRoot(k.data)
	if err != nil {
		return err
	}
	defer root.Close()
	for _, oid := range k.oids() {
		if err := errors.Join(root.Remove(link(oid)), root.Symlink(k.spaces[oid], link(oid)),
			root.Lchown(link(oid), int(m.Server.Owner.UID), int(m.Server.Owner.GID))); err != nil {
			return err
		}
	}
	return nil
}
