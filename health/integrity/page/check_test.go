package page

import (
	"encoding/hex"
	"math/rand/v2"
	"testing"
)

// plain is the checksum as checksum_impl.h words it, without a thought of speed.
func plain(p []byte, block uint32) uint16 {
	p = append([]byte(nil), p...)
	p[atChecksum], p[atChecksum+1] = 0, 0
	sums := bases
	for at := 0; at < len(p)+2*rowSize; at += 4 {
		value := uint32(0)
		if at < len(p) {
			value = fields(p).uint32(at)
		}
		s := &sums[at/4%columns]
		t := *s ^ value
		*s = t*prime ^ t>>17
	}
	result := uint32(0)
	for _, s := range sums {
		result ^= s
	}
	return uint16((result^block)%65535 + 1)
}

// random is a page of random bytes below a header that makes sense.
func random(r *rand.Rand, size int, block uint32) []byte {
	p := make([]byte, size)
	for n := range p {
		p[n] = byte(r.Uint32())
	}
	f := fields(p)
	f.put16(atFlags, 0)
	f.put16(atLower, HeaderSize+8)
	f.put16(atUpper, uint16(size/2))
	f.put16(atSpecial, uint16(size-16))
	f.put16(atVersion, uint16(size|layoutVersion))
	f.put16(atChecksum, Checksum(p, block))
	return p
}

func TestChecksum(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for size := MinSize; size <= MaxSize; size *= 2 {
		for range 50 {
			block := r.Uint32()
			p := random(r, size, block)
			if got, want := Checksum(p, block), plain(p, block); got != want {
				t.Fatalf("%d bytes: %04X, want %04X", size, got, want)
			}
		}
	}
}

func TestCheck(t *testing.T) {
	const block = 70000
	l := Layout{Size: 8192, Checksums: true}
	whole := random(rand.New(rand.NewPCG(3, 4)), l.Size, block)
	sealed := func(change func(f fields)) []byte {
		p := append([]byte(nil), whole...)
		change(p)
		fields(p).put16(atChecksum, Checksum(p, block))
		return p
	}
	spoilt := func(change func(f fields)) []byte {
		p := append([]byte(nil), whole...)
		change(p)
		return p
	}
	off := l
	off.Checksums = false
	for _, tt := range []struct {
		name   string
		layout Layout
		page   []byte
		state  State
		fault  Fault
		sum    bool
	}{
		{"whole", l, whole, Used, NoFault, true},
		{"whole without checksums", off, whole, Used, NoFault, false},
		{"zero", l, make([]byte, l.Size), Zero, NoFault, false},
		{"a byte", l, spoilt(func(f fields) { f[5000] ^= 1 }), Bad, WrongChecksum, false},
		{"a byte without checksums", off, spoilt(func(f fields) { f[5000] ^= 1 }), Used, NoFault, false},
		{"the checksum", l, spoilt(func(f fields) { f[atChecksum] ^= 1 }), Bad, WrongChecksum, false},
		{"no checksum", l, spoilt(func(f fields) { f.put16(atChecksum, 0) }), Bad, WrongChecksum, false},
		{"the LSN", l, spoilt(func(f fields) { f[atLSN] ^= 1 }), Bad, WrongChecksum, false},
		{"flags", l, sealed(func(f fields) { f.put16(atFlags, 8) }), Bad, WrongHeader, true},
		{"lower beyond upper", l, sealed(func(f fields) { f.put16(atLower, 5000) }), Bad, WrongHeader, true},
		{"lower in the header", l, sealed(func(f fields) { f.put16(atLower, 20) }), Bad, WrongHeader, true},
		{"upper beyond special", l, sealed(func(f fields) { f.put16(atUpper, 8184) }), Bad, WrongHeader, true},
		{"upper zero", l, sealed(func(f fields) { f.put16(atUpper, 0) }), Bad, WrongHeader, true},
		{"special beyond the page", l, sealed(func(f fields) { f.put16(atSpecial, 8200) }), Bad, WrongHeader, true},
		{"special not aligned", l, sealed(func(f fields) { f.put16(atSpecial, 8180) }), Bad, WrongHeader, true},
		{"another size", l, sealed(func(f fields) { f.put16(atVersion, 4096|layoutVersion) }), Bad, WrongHeader, true},
		{"another version", off, sealed(func(f fields) { f.put16(atVersion, 8192|3) }), Bad, WrongHeader, false},
		{"blank", l, sealed(func(f fields) {
			clear(f)
			f.put16(atLower, HeaderSize)
			f.put16(atUpper, 8192)
			f.put16(atSpecial, 8192)
			f.put16(atVersion, 8192|layoutVersion)
		}), Blank, NoFault, true},
		{"one byte that is not zero", l, append([]byte{1}, make([]byte, 8191)...), Bad, WrongChecksum, false},
		{"too short", l, whole[:4096], Unread, NoFault, false},
		{"an unknown size", Layout{Size: 3000}, whole[:3000], Unread, NoFault, false},
	} {
		c := tt.layout.Check(tt.page, block)
		if c.State != tt.state || c.Fault != tt.fault || c.Verified != tt.sum || c.Detail == "" != (tt.state != Bad) {
			t.Errorf("%s: %+v", tt.name, c)
		}
	}
}

// TestElsewhere: a page in the wrong place tells where it belongs.
func TestElsewhere(t *testing.T) {
	l := Layout{Size: 8192, Checksums: true}
	r := rand.New(rand.NewPCG(5, 6))
	for range 500 {
		block := r.Uint32N(65000)
		p := random(r, l.Size, block)
		c := l.Check(p, block+1+r.Uint32N(400))
		// Two blocks may have the same checksum: what is found has it.
		if c.State != Bad || c.Elsewhere == 0 || Checksum(p, c.Elsewhere-1) != c.Header.Checksum {
			t.Fatalf("block %d: %+v", block, c)
		}
	}
}

// TestRealPage is a page that PostgreSQL 15 wrote: block 0 of a sequence that nothing has used.
func TestRealPage(t *testing.T) {
	l := Layout{Size: 8192, Checksums: true}
	if c := l.Check(realSequence(t), 0); c.State != Used || !c.Verified {
		t.Errorf("%+v", c)
	}
}

const (
	sequenceHead = "0000000050e174019e4700001c00c81ff81f042000000000c89f5200"
	sequenceTail = "0000000000000000" + "0200000000000000" + "0000000000000000" + "01000300000b1800" + "0100000000000000" +
		"0000000000000000" + "0000000000000000" + "1717000000000000"
)

func realSequence(t testing.TB) []byte {
	t.Helper()
	p := make([]byte, 8192)
	for at, text := range map[int]string{0: sequenceHead, 8128: sequenceTail} {
		part, err := hex.DecodeString(text)
		if err != nil {
			t.Fatal(err)
		}
		copy(p[at:], part)
	}
	return p
}

func BenchmarkChecksum(b *testing.B) {
	p := random(rand.New(rand.NewPCG(7, 8)), 8192, 9)
	b.SetBytes(8192)
	for b.Loop() {
		Checksum(p, 9)
	}
}
