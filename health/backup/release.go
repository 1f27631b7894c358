package backup

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"go.uber.org/zap"

	"mainstay/health/backup/target"
)

// release puts a good backup to its targets, one after another: its files first, and its record last, when all files are everywhere they
// will be. A target that fails is named in the record; what was put there is removed, as far as it answers.
func (m *making) release(ctx context.Context) {
	r := m.record
	var took []target.Target
	for _, t := range m.order.Targets {
		receipt, err := m.releaseTo(ctx, t)
		if err != nil {
			m.notReleased(ctx, t, receipt.Target, err)
			continue
		}
		took = append(took, t)
		r.Receipts = append(r.Receipts, receipt)
	}
	r.Proof, r.Ended = *m.proof, time.Now() // with the steps until now
	for n := len(took) - 1; n >= 0; n-- {
		if err := m.step(ctx, StepRelease, func(ctx context.Context, _ *watch) error { return m.putRecord(ctx, took[n]) }); err != nil {
			name := r.Receipts[n].Target
			r.Receipts = append(r.Receipts[:n:n], r.Receipts[n+1:]...)
			m.notReleased(ctx, took[n], name, err)
		}
	}
}

func (m *making) notReleased(ctx context.Context, t target.Target, name string, err error) {
	if m.record.Failed == nil {
		m.record.Failed = map[string]string{}
	}
	m.record.Failed[name] = err.Error()
	m.Log.Warn("a good backup was not released to a target", zap.String("backup", m.record.ID), zap.String("target", name), zap.Error(err))
	if errors.Is(err, target.ErrExists) { // it is another backup's
		return
	}
	for _, o := range Objects(m.record.Cluster, m.record.ID) {
		if err := t.Remove(ctx, o); err != nil {
			return
		}
	}
}

// releaseTo puts the files of a backup to one target. Their receipts are compared with what was packed.
func (m *making) releaseTo(ctx context.Context, t target.Target) (receipt target.Receipt, err error) {
	r := m.record
	err = m.step(ctx, StepRelease, func(ctx context.Context, w *watch) error {
		w.patient(ownDeadline) // a target has patience of its own, and reads back what it has taken
		w.total.Store(r.Packed)
		file, err := os.Open(m.path(objectPack))
		if err != nil {
			return err
		}
		defer file.Close()
		receipt, err = t.Put(ctx, object(r.Cluster, r.ID, objectPack), newPaced(ctx, file, w, 0), r.Packed)
		if err != nil {
			return err
		}
		if receipt.SHA256 != r.SHA256 || receipt.Size != r.Packed {
			return fmt.Errorf("the receipt is for the SHA-256 %s, and %s was packed: staging has changed what it holds", receipt.SHA256, r.SHA256)
		}
		return m.putManifest(ctx, t)
	})
	if err != nil {
		receipt = target.Receipt{Target: targetName(err)}
	}
	return receipt, err
}

// targetName is the target that an error is of.
func targetName(err error) string {
	var e *target.Error
	if errors.As(err, &e) {
		return e.Target
	}
	return "?"
}

func (m *making) putManifest(ctx context.Context, t target.Target) error {
	raw, err := readBelow(m.tree.data, manifestName)
	if err != nil {
		return err
	}
	got, err := t.Put(ctx, object(m.record.Cluster, m.record.ID, objectManifest), bytes.NewReader(raw), int64(len(raw)))
	if err == nil && got.SHA256 != m.record.Manifest {
		err = fmt.Errorf("the manifest has the SHA-256 %s, and had %s when it was read first", got.SHA256, m.record.Manifest)
	}
	return err
}

func (m *making) putRecord(ctx context.Context, t target.Target) error {
	raw, err := json.MarshalIndent(m.record, "", " ")
	if err != nil {
		return err
	}
	_, err = t.Put(ctx, object(m.record.Cluster, m.record.ID, objectRecord), bytes.NewReader(raw), int64(len(raw)))
	return err
}

// readBelow reads a file of a copy.
func readBelow(dir, name string) ([]byte, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	f, _, err := treeFile{name: name, path: name, root: root}.open()
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(f)
}
