package postgres

import (
	"context"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"math"
	"testing"

	"mainstay/controller/postgres/ondisk"
)

// TestReadControl: a mismatch counts only when reads in a row agree about it.
func TestReadControl(t *testing.T) {
	good := make([]byte, ondisk.ControlFileSize) // as little as makes a control file of version 1300
	good[40] = 1
	binary.LittleEndian.PutUint32(good[8:], 1300)
	good[204] = 8
	binary.LittleEndian.PutUint64(good[208:], math.Float64bits(1234567))
	binary.LittleEndian.PutUint32(good[288:], crc32.Checksum(good[:288], crc32.MakeTable(crc32.Castagnoli)))
	torn := func(n byte) []byte {
		b := append([]byte(nil), good...)
		b[40] ^= n
		return b
	}
	failed := errors.New("input/output error")
	tests := []struct {
		name  string
		reads [][]byte // the last again and again; nil fails
		want  error
		takes int
	}{
		{"whole", [][]byte{good}, nil, 1},
		{"torn once", [][]byte{torn(1), good}, nil, 2},
		{"torn twice alike", [][]byte{torn(1), torn(1), good}, nil, 3},
		{"corrupt", [][]byte{torn(1)}, ErrCorruptControl, 3},
		{"torn, then corrupt", [][]byte{torn(1), torn(2)}, ErrCorruptControl, 4},
		{"always different", [][]byte{torn(1), torn(2), torn(1), torn(2), torn(1), torn(2), torn(1), torn(2), torn(1), torn(2)}, errControlMoves,
			10},
		{"unreadable", [][]byte{torn(1), nil}, failed, 2},
		{"of another layout", [][]byte{good[:8191]}, ondisk.ErrLayout, 1},
	}
	for _, tt := range tests {
		n := 0
		c, err := readControl(testContext(t), func() ([]byte, error) {
			b := tt.reads[min(n, len(tt.reads)-1)]
			if n++; b == nil {
				return nil, failed
			}
			return b, nil
		})
		if !errors.Is(err, tt.want) || n != tt.takes || err == nil && c.SystemID == "" {
			t.Errorf("%s: %v after %d reads, want %v after %d", tt.name, err, n, tt.want, tt.takes)
		}
	}
	ctx, cancel := context.WithCancel(testContext(t))
	cancel()
	if _, err := readControl(ctx, func() ([]byte, error) { return torn(1), nil }); !errors.Is(err, context.Canceled) {
		t.Errorf("read on past its deadline: %v", err)
	}
}
