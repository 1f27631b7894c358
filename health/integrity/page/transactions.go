package page

// Transactions of pg_xact have two bits each (clog.c).
const (
	perByte   = 4
	committed = 1
)

// TransactionsPerPage is how many transactions one page of pg_xact, of a layout's size, is about.
func (l Layout) TransactionsPerPage() uint32 { return uint32(l.Size) * perByte }

// CompareTransactions finds the transactions that only one of two members knows as committed, in the same page of pg_xact of both, which
// begins with the transaction first. It compares those from oldest on and before active, as PostgreSQL orders them; all of them must have
// ended on both members. In progress and aborted are the same: a crash may lose the record of an abort.
func CompareTransactions(a, b []byte, first, oldest, active uint32) (differ []uint32) {
	for n := range min(len(a), len(b)) * perByte {
		xid := first + uint32(n)
		if int32(xid-oldest) < 0 || int32(xid-active) >= 0 {
			continue
		}
		shift := n % perByte * 2
		if (a[n/perByte]>>shift&3 == committed) != (b[n/perByte]>>shift&3 == committed) {
			differ = append(differ, xid)
		}
	}
	return differ
}
