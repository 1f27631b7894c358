package consensus

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"sync/atomic"

	"github.com/hashicorp/raft"
)

// Machine is the state machine of the log. Apply and Snapshot are called in log order from one goroutine; neither does I/O.
type Machine interface {
	// Apply changes the state by one command. Its value and error go to the proposer. The error has no other effect, and must be the same
	// on every controller. A *FatalError stops the log.
	Apply(index uint64, cmd []byte) (value any, err error)
	// Snapshot captures the state at this point; the function it returns serialises it later, from another goroutine.
	Snapshot() func() ([]byte, error)
	// Restore replaces the state by that of a snapshot. An error stops the log.
	Restore(snapshot []byte) error
}

// fsm stands between raft and the Machine.
type fsm struct {
	machine Machine
	fail    func(error) // stops the log
	stopped atomic.Bool // set by the first fatal error: after it nothing is applied, captured or restored
	applied atomic.Uint64

	snapshotErr atomic.Pointer[error] // of the latest snapshot; nil if it succeeded
}

// outcome is the result of Apply, returned through raft's future.
type outcome struct {
	value any
	err   error
}

// frame protects a command with a checksum: bbolt has none over its values. The Machine gets only the proposed command.
func frame(cmd []byte) []byte {
	b := binary.BigEndian.AppendUint32(make([]byte, 0, 4+len(cmd)), crc32.Checksum(cmd, castagnoli))
	return append(b, cmd...)
}

func unframe(b []byte) ([]byte, error) {
	if len(b) < 4 || binary.BigEndian.Uint32(b) != crc32.Checksum(b[4:], castagnoli) {
		return nil, errors.New("its checksum does not match")
	}
	return b[4:], nil
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Apply implements raft.FSM.
func (f *fsm) Apply(l *raft.Log) any {
	if f.stopped.Load() {
		return outcome{err: fmt.Errorf("%w: %w", ErrUnknown, ErrClosed)}
	}
	cmd, err := unframe(l.Data)
	if err != nil {
		return f.stop(fmt.Errorf("entry %d of the log is damaged: %w", l.Index, err))
	}
	value, err := f.machine.Apply(l.Index, cmd)
	if fatal := new(FatalError); errors.As(err, &fatal) {
		return f.stop(fmt.Errorf("apply entry %d: %w", l.Index, err))
	}
	f.applied.Store(l.Index)
	return outcome{value, err}
}

func (f *fsm) stop(err error) outcome {
	f.stopped.Store(true)
	f.fail(err)
	return outcome{err: err}
}

// Snapshots begin with their index, because raft keeps it elsewhere and does not pass it to Restore.
const snapshotMagic = "MAINSTAY-LOG-1\n\x00"

// Snapshot implements raft.FSM.
func (f *fsm) Snapshot() (raft.FSMSnapshot, error) {
	if f.stopped.Load() {
		return nil, ErrClosed
	}
	return &capture{f, f.applied.Load(), f.machine.Snapshot()}, nil
}

// Restore implements raft.FSM.
func (f *fsm) Restore(r io.ReadCloser) error {
	if f.stopped.Load() {
		return ErrClosed
	}
	data, err := io.ReadAll(r)
	if err != nil {
		return fmt.Errorf("read a snapshot: %w", err) // the data comes from the leader or the disk: raft tries again or reports the error
	}
	head := len(snapshotMagic) + 8
	if len(data) < head || !bytes.HasPrefix(data, []byte(snapshotMagic)) {
		return f.stop(errors.New("restore: this is not a snapshot of mainstay's log")).err
	}
	if err := f.machine.Restore(data[head:]); err != nil {
		return f.stop(fmt.Errorf("restore a snapshot: %w", err)).err
	}
	f.applied.Store(binary.BigEndian.Uint64(data[len(snapshotMagic):head]))
	return nil
}

// capture is the state at one index, to be serialised.
type capture struct {
	f         *fsm
	index     uint64
	serialise func() ([]byte, error)
}

// Persist implements raft.FSMSnapshot.
func (c *capture) Persist(sink raft.SnapshotSink) error {
	err := c.write(sink)
	if err != nil {
		sink.Cancel()
	} else {
		err = sink.Close()
	}
	if errors.Is(err, fs.ErrExist) {
		err = nil // raft names a snapshot by entry and millisecond: one of this entry was taken in this millisecond
	}
	if err != nil {
		err = fmt.Errorf("write a snapshot at entry %d: %w", c.index, err)
	}
	c.f.noteSnapshot(err)
	return err
}

func (c *capture) write(sink io.Writer) error {
	data, err := c.serialise()
	if err != nil {
		return err
	}
	head := binary.BigEndian.AppendUint64([]byte(snapshotMagic), c.index)
	if _, err := sink.Write(head); err != nil {
		return err
	}
	_, err = sink.Write(data)
	return err
}

// Release implements raft.FSMSnapshot.
func (c *capture) Release() {}

func (f *fsm) noteSnapshot(err error) {
	if err == nil {
		f.snapshotErr.Store(nil)
		return
	}
	f.snapshotErr.Store(&err)
}
