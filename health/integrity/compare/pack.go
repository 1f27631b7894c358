package compare

import (
	"bytes"
	"compress/flate"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"mainstay/controller/platform"
	"mainstay/health/integrity"
	"mainstay/health/integrity/page"
)

// Bits of a packed summary's second byte.
const (
	hasLSN = 1 << iota
	hasDigest
	hasHints
	hasValues
	hasSplit
	hasUnruly
	hasDetail
	hasMap
)

// visible is a bit of a packed summary's first byte, beside its state.
const visible = 0x80

// mostUnpacked bounds what an answer may become, in bytes.
const mostUnpacked = 64 << 20

// Pack writes summaries as compact bytes.
func Pack(all [][]page.Summary) []byte {
	var b []byte
	b = binary.AppendUvarint(b, uint64(len(all)))
	for _, list := range all {
		b = binary.AppendUvarint(b, uint64(len(list)))
		for i := range list {
			b = pack(b, &list[i])
		}
	}
	var out bytes.Buffer
	w, err := flate.NewWriter(&out, flate.BestSpeed)
	if err == nil {
		_, err = w.Write(b)
	}
	if err = errors.Join(err, w.Close()); err != nil {
		panic(err) // a buffer takes everything
	}
	return out.Bytes()
}

func pack(b []byte, s *page.Summary) []byte {
	var has byte
	for _, f := range []struct {
		bit byte
		set bool
	}{{hasLSN, s.LSN != 0}, {hasDigest, s.Digest != page.Digest{}}, {hasHints, len(s.Hints) > 0}, {hasValues, s.Values != nil},
		{hasSplit, s.Split != 0}, {hasUnruly, s.Unruly != ""}, {hasDetail, s.Detail != ""},
		{hasMap, len(s.Map) > 0}} {
		if f.set {
			has |= f.bit
		}
	}
	state := byte(s.State)
	if s.Visible {
		state |= visible
	}
	b = append(b, state, has)
	if has&hasLSN != 0 {
		b = binary.BigEndian.AppendUint64(b, uint64(s.LSN))
	}
	if has&hasDigest != 0 {
		b = append(b, s.Digest[:]...)
	}
	if has&hasHints != 0 {
		b = append(binary.AppendUvarint(b, uint64(len(s.Hints))), s.Hints...)
	}
	if v := s.Values; has&hasValues != 0 {
		b = binary.AppendVarint(binary.AppendVarint(b, v.Last), v.Left)
		called := byte(0)
		if v.Called {
			called = 1
		}
		b = append(b, called)
	}
	if has&hasSplit != 0 {
		b = binary.BigEndian.AppendUint64(b, s.Split)
	}
	if has&hasMap != 0 {
		b = append(binary.AppendUvarint(b, uint64(len(s.Map))), s.Map...)
	}
	for _, text := range []string{s.Unruly, s.Detail} {
		if text != "" {
			b = append(binary.AppendUvarint(b, uint64(len(text))), text...)
		}
	}
	return b
}

var errPacked = errors.New("the summaries of another member cannot be read: check that all agents are of one version")

// Unpack reads what Pack has written of these extents. It returns errPacked for anything else.
func Unpack(packed []byte, extents []integrity.Extent) ([][]page.Summary, error) {
	raw, err := io.ReadAll(io.LimitReader(flate.NewReader(bytes.NewReader(packed)), mostUnpacked+1))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errPacked, err)
	}
	r := &unpacker{b: raw}
	if r.count() != uint64(len(extents)) || len(raw) > mostUnpacked {
		return nil, errPacked
	}
	all := make([][]page.Summary, len(extents))
	for n, e := range extents {
		if r.count() != uint64(e.Count) {
			return nil, errPacked
		}
		all[n] = make([]page.Summary, e.Count)
		for i := range all[n] {
			r.summary(&all[n][i])
		}
	}
	if r.bad || len(r.b) > 0 {
		return nil, errPacked
	}
	return all, nil
}

// unpacker reads fields. Once it is bad it returns zero values.
type unpacker struct {
	b   []byte
	bad bool
}

// count is how many things of at least a byte follow.
func (u *unpacker) count() uint64 {
	n, size := binary.Uvarint(u.b)
	if size <= 0 || n > uint64(len(u.b)-size) {
		u.bad, u.b = true, nil
		return 0
	}
	u.b = u.b[size:]
	return n
}

func (u *unpacker) take(n uint64) []byte {
	if n > uint64(len(u.b)) {
		u.bad, u.b = true, nil
		return make([]byte, min(n, 8))
	}
	taken := u.b[:n:n]
	u.b = u.b[n:]
	return taken
}

func (u *unpacker) signed() int64 {
	n, size := binary.Varint(u.b)
	if size <= 0 {
		u.bad, u.b = true, nil
		return 0
	}
	u.b = u.b[size:]
	return n
}

func (u *unpacker) summary(s *page.Summary) {
	head := u.take(2)
	s.State, s.Visible = page.State(head[0]&^visible), head[0]&visible != 0
	has := head[1]
	if s.State > page.Bad {
		u.bad = true
	}
	if has&hasLSN != 0 {
		s.LSN = platform.LSN(binary.BigEndian.Uint64(u.take(8)))
	}
	if has&hasDigest != 0 {
		copy(s.Digest[:], u.take(8))
	}
	if has&hasHints != 0 {
		s.Hints = u.take(u.count())
	}
	if has&hasValues != 0 {
		s.Values = &page.Values{Last: u.signed(), Left: u.signed()}
		s.Values.Called = u.take(1)[0] != 0
	}
	if has&hasSplit != 0 {
		s.Split = binary.BigEndian.Uint64(u.take(8))
	}
	if has&hasMap != 0 {
		s.Map = u.take(u.count())
	}
	if has&hasUnruly != 0 {
		s.Unruly = string(u.take(u.count()))
	}
	if has&hasDetail != 0 {
		s.Detail = string(u.take(u.count()))
	}
}
