package ondisk

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
	"math"
	"testing"
)

// controlFile writes one as PostgreSQL does, with the version's checksum in its place.
func controlFile(version uint32, change func(file []byte)) []byte {
	file := make([]byte, ControlFileSize)
	put32 := func(at int, n uint32) { binary.LittleEndian.PutUint32(file[at:], n) }
	put64 := func(at int, n uint64) { binary.LittleEndian.PutUint64(file[at:], n) }
	put64(0, 7300000000000000001)
	put32(8, version)
	put32(12, 202209061)
	put32(16, 5)
	put64(32, 0x6000120)
	put64(40, 0x60000E8)
	put32(48, 3)
	put32(52, 2)
	put64(64, 5<<32|800) // with its epoch
	put32(84, 700)
	put32(120, 790)
	put64(136, 1<<32|0xA0)
	put32(144, 3)
	put32(172, 1)
	file[176] = 1
	put32(76, 60)
	put32(80, 90)
	put32(92, 40)
	for n, setting := range []uint32{100, 8, 16, 0, 64} {
		put32(180+4*n, setting)
	}
	put32(204, 8)
	put64(208, math.Float64bits(1234567))
	put32(216, 16384)
	put32(220, 65536)
	put32(224, 8192)
	put32(228, 16<<20)
	put32(252, 1)
	end := 288
	if version >= 1800 {
		end = 292
	}
	change(file)
	put32(end, crc32.Checksum(file[:end], crc32.MakeTable(crc32.Castagnoli)))
	return file
}

func TestParseControl(t *testing.T) {
	full := Control{
		SystemID: "7300000000000000001", State: "in archive recovery", Checkpoint: 0x6000120, Redo: 0x60000E8, Timeline: 3,
		PrevTimeline: 2, MinRecovery: 1<<32 | 0xA0, MinTimeline: 3, Checksums: true, WALLogHints: true, WALLevel: "replica",
		SegmentSize: 16 << 20, BlockSize: 8192, PageSize: 16384, RelationSegment: 65536,
		MaxConnections: 100, MaxWorkers: 8, MaxWALSenders: 16, MaxLocks: 64, CatalogueVersion: "202209061",
		XIDs: XIDs{800, 700, 790}, Multi: Multixacts{60, 90, 40},
	}
	same := func(*Control) {}
	none := func([]byte) {}
	tests := []struct {
		name    string
		version uint32
		change  func([]byte)
		want    func(*Control) // nil: fails
		fails   error
	}{
		{"13 to 16", 1300, none, same, nil},
		{"17", 1700, none, same, nil},
		{"18", 1800, none, same, nil},
		{"backup not replayed", 1300, func(f []byte) { f[168] = 1 }, func(c *Control) { c.BackupEndNeeded = true }, nil},
		{"backup started", 1300, func(f []byte) { f[152] = 0x28 }, func(c *Control) { c.BackupEndNeeded = true }, nil},
		{"no checksums", 1800, func(f []byte) { f[252] = 0 }, func(c *Control) { c.Checksums = false }, nil},
		{"clean", 1300, func(f []byte) { f[16] = 1 }, func(c *Control) { c.State = "shut down" }, nil},
		{"clean standby", 1300, func(f []byte) { f[16] = 2 }, func(c *Control) { c.State = "shut down in recovery" }, nil},
		{"unknown state", 1300, func(f []byte) { f[16] = 9 }, func(c *Control) { c.State = "unrecognized status code" }, nil},
		{"unknown level", 1300, func(f []byte) { f[172] = 9 }, func(c *Control) { c.WALLevel = "unrecognized wal_level" }, nil},
		{"older version", 1201, none, nil, ErrLayout},
		{"newer version", 1901, none, nil, ErrLayout},
		{"other endianness", 1300, func(f []byte) { copy(f[8:12], []byte{0, 0, 5, 0x14}) }, nil, ErrLayout},
		{"32 bits", 1300, func(f []byte) { f[204] = 4 }, nil, ErrLayout},
		{"other floats", 1300, func(f []byte) { f[214]++ }, nil, ErrLayout},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := ParseControl(controlFile(tt.version, tt.change))
			if tt.fails != nil {
				if !errors.Is(err, tt.fails) {
					t.Fatalf("error %v, want %v", err, tt.fails)
				}
				return
			}
			want := full
			tt.want(&want)
			if err != nil || got != want {
				t.Fatalf("got %+v, %v\nwant %+v", got, err, want)
			}
		})
	}
	whole := controlFile(1300, none)
	for _, size := range []int{0, 1, 512, ControlFileSize - 1, ControlFileSize + 1} {
		if _, err := ParseControl(append(whole, 0)[:size]); !errors.Is(err, ErrLayout) {
			t.Errorf("%d bytes: %v", size, err)
		}
	}
}

// FuzzParseControl: a change anywhere in the data never goes unnoticed, and whatever the bytes, there is no panic.
func FuzzParseControl(f *testing.F) {
	for _, at := range []uint16{0, 8, 16, 40, 136, 204, 208, 228, 252, 287, 288, 291, 295, 4000} {
		f.Add([]byte{}, at, byte(1))
	}
	f.Add([]byte("no control file"), uint16(0), byte(0))
	f.Fuzz(func(t *testing.T, file []byte, at uint16, flip byte) {
		if _, err := ParseControl(file); err == nil && len(file) != ControlFileSize {
			t.Fatal("too few bytes were believed")
		}
		for version, end := range map[uint32]int{1300: 288, 1700: 288, 1800: 292} {
			whole := controlFile(version, func([]byte) {})
			want, err := ParseControl(whole)
			if err != nil {
				t.Fatal(err)
			}
			whole[int(at)%len(whole)] ^= flip
			got, err := ParseControl(whole)
			if covered := int(at)%len(whole) < end+4; covered && flip != 0 && err == nil || !covered && got != want {
				t.Fatalf("version %d, byte %d changed by %#x: %+v %v", version, int(at)%len(whole), flip, got, err)
			}
		}
	})
}

func TestEndedXIDs(t *testing.T) {
	for _, c := range []struct {
		Control
		want uint32
	}{
		{Control{XIDs: XIDs{800, 700, 790}, WALLevel: "replica"}, 790},
		{Control{XIDs: XIDs{Next: 800}, WALLevel: "logical"}, 800}, // a shutdown checkpoint
		{Control{XIDs: XIDs{Next: 800}, WALLevel: "minimal"}, 0},
	} {
		if got := c.EndedXIDs(); got != c.want {
			t.Errorf("%+v: %d", c.Control, got)
		}
	}
}
