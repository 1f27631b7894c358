package ondisk

import (
	"bytes"
	"time"

	"mainstay/controller/platform"
)

// MarkKind is the kind of a Mark.
type MarkKind byte

// Kinds of marks.
const (
	Commit       MarkKind = iota // also of a prepared transaction
	Abort                        // also of a prepared transaction
	RestorePoint                 // pg_create_restore_point
	Checkpoint                   // its time has whole seconds
)

// Mark is a record that carries a time, by the clock of the server that wrote it. Times are not in the order of the records: a
// transaction takes its time before it gets its place in WAL, and a clock may be set back.
type Mark struct {
	Kind       MarkKind
	Begin, End platform.LSN // of the record; the next one begins at End or behind it
	Time       time.Time
	Name       string // of a restore point
}

// Marks has the walk call visit for every mark, in the order of WAL, once its record is whole and its checksum is right.
func (w *Walk) Marks(visit func(Mark)) { w.mark = visit }

// Resource managers and infos of records with a time.
const (
	managerXact     = 1
	xactOpMask      = 0x70
	xactCommit      = 0x00
	xactAbort       = 0x20
	xactCommit2     = 0x30 // of a prepared transaction
	xactAbort2      = 0x40
	infoRestore     = 0x70
	atCheckpointSec = 64 // in a checkpoint's record, pg_control.h
	mostPointName   = 64
)

// epoch is that of PostgreSQL's timestamps, which count microseconds.
var epoch = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)

// marked calls mark if the current record, which is whole and ends at end, has a time.
func (w *Walk) marked(end platform.LSN) error {
	m := Mark{Begin: w.record.start, End: end}
	switch info := w.record.head[atInfo]; {
	case w.record.manager() == managerXact:
		switch info & xactOpMask {
		case xactCommit, xactCommit2:
			m.Kind = Commit
		case xactAbort, xactAbort2:
			m.Kind = Abort
		default:
			return nil
		}
	case w.record.is(infoRestore):
		m.Kind = RestorePoint
	case w.record.isCheckpoint():
		m.Kind = Checkpoint
	default:
		return nil
	}
	d := w.decoder()
	if err := d.blocks(func(Change) {}); err != nil {
		return err
	}
	return w.markTimed(m, &d)
}

// markTimed reads the data of the record.
func (w *Walk) markTimed(m Mark, d *decoder) error {
	if m.Kind == Checkpoint {
		f, err := d.take(atCheckpointSec + 8)
		if err == nil {
			m.Time = time.Unix(int64(f.uint64(atCheckpointSec)), 0).UTC()
			w.mark(m)
		}
		return err
	}
	f, err := d.take(8)
	if err != nil {
		return err
	}
	m.Time = epoch.Add(time.Duration(int64(f.uint64(0))) * time.Microsecond)
	if m.Kind == RestorePoint {
		if f, err = d.take(mostPointName); err != nil {
			return err
		}
		name, _, _ := bytes.Cut(f, []byte{0})
		m.Name = string(name)
	}
	w.mark(m)
	return nil
}
