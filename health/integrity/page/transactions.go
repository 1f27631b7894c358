package page

import "math/bits"

// Transactions of pg_xact have two bits each (clog.c).
const (
	perByte   = 4
	committed = 1
)

// TransactionsPerPage is how many transactions one page of pg_xact, of a layout's size, is about.
func (l Layout) TransactionsPerPage() uint32 { return uint32(l.Size) * perByte }

// Committed has a bit for each transaction of a page of pg_xact which begins with the transaction first: whether it has committed. Bits of
// transactions before oldest, or from active on, as PostgreSQL orders them, are 0. In progress and aborted are the same: a crash may lose
// the record of an abort.
func Committed(p []byte, first, oldest, active uint32) []byte {
	all := make([]byte, (len(p)*perByte+7)/8)
	for n := range len(p) * perByte {
		xid := first + uint32(n)
		if int32(xid-oldest) >= 0 && int32(xid-active) < 0 && p[n/perByte]>>(n%perByte*2)&3 == committed {
			all[n/8] |= 1 << (n % 8)
		}
	}
	return all
}

// DigestOf is the digest of what Committed returns.
func DigestOf(committed []byte) Digest { return digest(committed) }

// CompareTransactions finds the transactions that only one of two members knows as committed, in the same page of pg_xact of both, which
// begins with the transaction first. It compares those from oldest on and before active; all of them must have ended on both members.
func CompareTransactions(a, b []byte, first, oldest, active uint32) (differ []uint32) {
	shorter := min(len(a), len(b))
	return DifferentBits(Committed(a[:shorter], first, oldest, active), Committed(b[:shorter], first, oldest, active), first)
}

// DifferentBits finds the transactions whose bits in two results of Committed for the same page differ.
func DifferentBits(a, b []byte, first uint32) (differ []uint32) {
	for n := range min(len(a), len(b)) {
		for x := a[n] ^ b[n]; x != 0; x &= x - 1 {
			differ = append(differ, first+uint32(8*n+bits.TrailingZeros8(x)))
		}
	}
	return differ
}

// Multixacts have two tables (multixact.c): for each the number of its first member, in 4 bytes; and the members, in groups of four: a byte
// of flags of each, and then 4 bytes of transaction of each.
const (
	perOffset    = 4
	groupMembers = 4
	groupSize    = groupMembers + 4*groupMembers
)

// OffsetsPerPage is how many multixacts one page of pg_multixact/offsets is about.
func (l Layout) OffsetsPerPage() uint32 { return uint32(l.Size) / perOffset }

// MembersPerPage is how many members one page of pg_multixact/members has.
func (l Layout) MembersPerPage() uint32 { return uint32(l.Size) / groupSize * groupMembers }

// Offsets is a page of pg_multixact/offsets, which begins with the multixact first, with the entries of all but those from oldest on and
// before next, as PostgreSQL orders them, set to 0.
func Offsets(p []byte, first, oldest, next uint32) []byte {
	all := make([]byte, len(p))
	for n := range len(p) / perOffset {
		if id := first + uint32(n); int32(id-oldest) >= 0 && int32(id-next) < 0 {
			copy(all[n*perOffset:][:perOffset], p[n*perOffset:])
		}
	}
	return all
}

// Offset is the entry of a page of pg_multixact/offsets: where the multixact's members begin; 0: it has none.
func Offset(p []byte, n uint32) uint32 { return fields(p).uint32(int(n * perOffset)) }

// Members is a page of pg_multixact/members, which begins with the member first, with all but those from oldest on and before next set to
// 0. Their numbers begin anew behind the last.
func Members(p []byte, first, oldest, next uint32) []byte {
	all := make([]byte, len(p))
	for n := range len(p) / groupSize * groupMembers {
		if id := first + uint32(n); id >= first && id-oldest < next-oldest {
			flag, xid := memberAt(n)
			all[flag] = p[flag]
			copy(all[xid:xid+4], p[xid:])
		}
	}
	return all
}

// Member is the entry of a page of pg_multixact/members: a transaction, and what it does to the row.
func Member(p []byte, n uint32) (xid uint32, flags byte) {
	flag, at := memberAt(int(n))
	return fields(p).uint32(at), p[flag]
}

func memberAt(n int) (flag, xid int) {
	group := n / groupMembers * groupSize
	return group + n%groupMembers, group + groupMembers + 4*(n%groupMembers)
}
