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
