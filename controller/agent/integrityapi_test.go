package agent

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"mainstay/controller/identity"
	"mainstay/controller/platform"
	"mainstay/controller/supervisor"
	"mainstay/controller/wire"
	"mainstay/health/integrity"
	"mainstay/health/integrity/compare"
	"mainstay/health/integrity/page"
)

// shelf is a member's files without a member: one fork of 3000 pages, all equal but those that are changed.
type shelf struct {
	changed map[uint32]page.Summary
	busy    atomic.Int32 // so many questions are refused first
	redo    atomic.Uint64
	rate    atomic.Int64 // of the last read
	multi   compare.Multixacts
	status  byte // is changed in each byte of pg_xact
	ended   atomic.Int32
	taken   string // by the comparison of this member's agent; "" for none
	mended  chan string
}

const shelfPages = 3000

func (*shelf) Peers() map[string]platform.Peer {
	return map[string]platform.Peer{"feed-e2": {Host: "db-e2"}, "feed-e3": {Host: "db-e3"}}
}

func (s *shelf) CompareEnd(string) { s.ended.Add(1) }

func (s *shelf) CompareMended(of, page string) { s.mended <- of + ": " + page }

func (s *shelf) CompareWhere(_ context.Context, by string) (compare.Where, error) {
	if s.taken != "" && s.taken != by {
		return compare.Where{}, &compare.BusyError{By: s.taken}
	}
	if s.busy.Add(-1) >= 0 {
		return compare.Where{}, supervisor.ErrNotCalm
	}
	redo := platform.LSN(s.redo.Add(100))
	return compare.Where{Data: compare.Data{Incarnation: "i", SystemID: "7", Timeline: 1, PageSize: 8192, Checksums: true, HintsLogged: true},
		Redo: redo, End: redo + 50, OldestXID: 700, EndedXIDs: 100_000, Multi: s.multi}, nil
}

func (s *shelf) CompareList(ctx context.Context, by string) (l compare.Listing, err error) {
	l.Where, err = s.CompareWhere(ctx, by)
	l.Forks = []compare.Fork{{Relation: integrity.Relation{Space: 1663, Database: 5, Node: 9}, Blocks: shelfPages}}
	l.Left = map[string]int64{"unlogged": 4}
	return l, err
}

func (s *shelf) CompareRead(ctx context.Context, by string, rate int, extents []integrity.Extent) (
	[][]page.Summary, compare.Where, error) {
	s.rate.Store(int64(rate))
	at, err := s.CompareWhere(ctx, by)
	all := make([][]page.Summary, len(extents))
	for n, e := range extents {
		for i := range e.Count {
			sum, ok := s.changed[e.Number+i]
			if !ok {
				sum = page.Summary{State: page.Used, LSN: 50, Digest: page.Digest{byte(e.Number + i)}, Hints: []byte{1, 2, 3}}
			}
			all[n] = append(all[n], sum)
		}
	}
	return all, at, err
}

// CompareTransactions: each page of pg_xact is there, and all transactions of even numbers have committed.
func (s *shelf) CompareTransactions(ctx context.Context, by string, _ int, want compare.Transactions) (
	[]compare.Status, compare.Where, error) {
	at, err := s.CompareWhere(ctx, by)
	var all []compare.Status
	for n := range want.Count {
		all = append(all, want.StatusOf(page.Layout{Size: 8192}, want.From+n, bytes.Repeat([]byte{0x11 ^ s.status}, 8192)))
	}
	return all, at, err
}

func (s *shelf) Transactions(ctx context.Context, want compare.Transactions) ([]compare.Status, compare.Where, int64, error) {
	all, at, err := s.CompareTransactions(ctx, "feed-e2", 0, want)
	return all, at, 0, err
}

func (s *shelf) ComparePage(ctx context.Context, b integrity.Block) (a compare.PageAnswer, err error) {
	if b.Number >= shelfPages {
		return a, integrity.ErrNoPage
	}
	a.Where, err = s.CompareWhere(ctx, "feed-e2")
	a.Page = []byte{1, byte(b.Number)}
	return a, err
}

func (s *shelf) Name() string { return "feed-e2" }

func (s *shelf) End(context.Context) {}

func (s *shelf) List(ctx context.Context) (compare.Listing, error) {
	return s.CompareList(ctx, "feed-e2")
}

func (s *shelf) Where(ctx context.Context) (compare.Where, error) {
	return s.CompareWhere(ctx, "feed-e2")
}

func (s *shelf) Read(ctx context.Context, extents []integrity.Extent) ([][]page.Summary, compare.Where, int64, error) {
	all, at, err := s.CompareRead(ctx, "feed-e2", 0, extents)
	return all, at, 0, err
}

// TestCompareAcrossAgents: what crosses the connection between two agents is what the other one has read, and a member that cannot answer
// for a moment is asked again.
func TestCompareAcrossAgents(t *testing.T) {
	o := newOffice(t)
	far := &shelf{changed: map[uint32]page.Summary{2500: {State: page.Used, LSN: 40, Digest: page.Digest{9}}, 7: {State: page.Zero}}}
	o.files = func(member string) comparedFiles {
		if member != "feed-e1" {
			return nil
		}
		return far
	}
	far.busy.Store(1)
	client := wire.NewClient([]string{o.address}, o.store(identity.RoleAgent, "db-e2").ClientConfig(identity.RoleAgent, "db-e1"))
	defer client.Close()
	others := &peerFiles{client: client, address: o.address, name: "feed-e1", from: "feed-e2", rate: 7}
	c, err := compare.Run(t.Context(), []compare.Member{&shelf{}, others}, compare.Options{Wait: time.Minute, Every: time.Millisecond,
		Catalog: func(context.Context) map[integrity.Relation]compare.Known { return nil }})
	check(t, err)
	const status = 4 // pages of pg_xact
	const older = "pg_multixact, of which a member's agent tells nothing: it is of an earlier version"
	if !c.Complete || c.Blocks != shelfPages+status || c.Equal != shelfPages-2+status || c.Differ != 2 || len(c.Damage) != 2 ||
		c.SentBytes == 0 || c.Unverified["unlogged"] != 4 || c.Unverified[older] != 1 || c.Suspect["feed-e1"] != 2 {
		t.Errorf("%+v", c)
	}
	for n, want := range []string{"zeroed page", "lost write"} {
		if d := c.Damage[n]; d.Kind != want || d.Named || !d.Settled || len(d.Suspects) != 2 || d.Path != "base/5/9" {
			t.Errorf("%+v", d)
		}
	}
	if far.rate.Load() != 7 || far.ended.Load() != 1 {
		t.Errorf("it read at %d MB a second, and heard of the end %d times", far.rate.Load(), far.ended.Load())
	}
	far.changed, far.status = nil, 1 // committed becomes in progress
	c, err = compare.Run(t.Context(), []compare.Member{&shelf{}, others}, compare.Options{Wait: time.Minute, Every: time.Millisecond,
		Catalog: func(context.Context) map[integrity.Relation]compare.Known { return nil }})
	check(t, err)
	if c.Differ != status || c.Damage[0].Kind != "transaction status" ||
		c.Damage[0].Path != "pg_xact/0000" || c.Damage[3].Block != 3 {
		t.Errorf("%+v", c)
	}
	// Agents that tell of multixacts are asked for both tables; beside one that does not, the other is not asked.
	far.status = 0
	both := compare.Multixacts{Oldest: 1, Next: 3000, NextMember: 0x11111111 + 2000}
	for _, known := range []bool{true, false} {
		own := &shelf{multi: both}
		if far.multi = both; !known {
			far.multi = compare.Multixacts{}
		}
		c, err = compare.Run(t.Context(), []compare.Member{own, others}, compare.Options{Wait: time.Minute, Every: time.Millisecond,
			Catalog: func(context.Context) map[integrity.Relation]compare.Known { return nil }})
		check(t, err)
		want := map[bool]int64{true: 2 + 2}[known] // pages of multixacts
		if c.Differ != 0 || c.Blocks != shelfPages+status+want || c.Equal != c.Blocks || (c.Unverified[older] != 1) != known {
			t.Errorf("multixacts known %v: %+v", known, c)
		}
	}
	far.mended = make(chan string, 1)
	others.Mended(t.Context(), "base/5/9 block 7")
	if told := <-far.mended; told != "feed-e2: base/5/9 block 7" {
		t.Errorf("told of %q", told)
	}
	far.taken = "feed-e3"
	busy := (*compare.BusyError)(nil)
	if _, err := others.List(t.Context()); !errors.As(err, &busy) || busy.By != "feed-e3" {
		t.Errorf("while feed-e3 compares: %v", err)
	}
}

// TestIntegrityAPIRoles: who may ask for what.
func TestIntegrityAPIRoles(t *testing.T) {
	o := newOffice(t)
	o.files = func(string) comparedFiles { return &shelf{} }
	request := compare.NewRequest("feed-e2", []integrity.Extent{{Count: 3}})
	for _, tt := range []struct {
		name         string
		role, as     string
		method, path string
		body         any
		status       int
		why          string
	}{
		{"an agent reads", identity.RoleAgent, "db-e2", "POST", "feed-e1/read", request, 200, ""},
		{"an agent lists", identity.RoleAgent, "db-e2", "POST", "feed-e1/list", compare.ListRequest{From: "feed-e2"}, 200, ""},
		{"an agent asks how far", identity.RoleAgent, "db-e3", "POST", "feed-e1/where", compare.ListRequest{From: "feed-e3"}, 200, ""},
		{"an agent asks for transactions", identity.RoleAgent, "db-e2", "POST", "feed-e1/transactions",
			compare.StatusRequest{From: "feed-e2", Want: compare.Transactions{Count: 1}}, 200, ""},
		{"for too many of them", identity.RoleAgent, "db-e2", "POST", "feed-e1/transactions",
			compare.StatusRequest{From: "feed-e2", Want: compare.Transactions{Count: compare.MostBits + 1, Bits: true}}, 400, "want 1 to 16"},
		{"an agent asks for multixacts", identity.RoleAgent, "db-e2", "POST", "feed-e1/transactions",
			compare.StatusRequest{From: "feed-e2", Want: compare.Transactions{Of: compare.Members, Count: 1}}, 200, ""},
		{"for a table of a later version", identity.RoleAgent, "db-e2", "POST", "feed-e1/transactions",
			compare.StatusRequest{From: "feed-e2", Want: compare.Transactions{Of: "others", Count: 1}}, 400, "there is no table"},
		{"for a member of another host", identity.RoleAgent, "db-e3", "POST", "feed-e1/read", request, 403, "may not ask for"},
		{"for a member of another cluster", identity.RoleAgent, "db-e2", "POST", "feed-e1/list", compare.ListRequest{From: "tags-e2"}, 403,
			"may not ask for"},
		{"for nobody", identity.RoleAgent, "db-e2", "POST", "feed-e1/where", compare.ListRequest{}, 403, "may not ask for"},
		{"an operator reads", identity.RoleOperator, "anna", "POST", "feed-e1/read", request, 403, "needs a certificate of role agent"},
		{"a controller reads", identity.RoleController, "c1", "POST", "feed-e1/read", request, 403, "needs a certificate of role agent"},
		{"too much", identity.RoleAgent, "db-e2", "POST", "feed-e1/read",
			compare.NewRequest("feed-e2", []integrity.Extent{{Count: compare.LookBlocks + 1}}), 400, "at most"},
		{"nonsense", identity.RoleAgent, "db-e2", "POST", "feed-e1/read", map[string]int{"no": 1}, 400, `unknown field "no"`},
		{"an agent begins", identity.RoleAgent, "db-e2", "POST", "feed-e1/compare", wire.CompareRequest{}, 403, "role operator"},
		{"a viewer begins", identity.RoleViewer, "vic", "POST", "feed-e1/compare", wire.CompareRequest{}, 403, "role operator"},
		{"a viewer scans", identity.RoleViewer, "vic", "POST", "feed-e1/scan", nil, 403, "role operator"},
		{"a viewer cancels", identity.RoleViewer, "vic", "POST", "feed-e1/cancel", nil, 403, "role operator"},
		{"a viewer looks at what is not here", identity.RoleViewer, "vic", "GET", "feed-e1", nil, 404, "has no member feed-e1"},
		{"an operator compares what is not here", identity.RoleOperator, "anna", "POST", "feed-e1/compare", wire.CompareRequest{}, 404,
			"has no member feed-e1"},
	} {
		client := wire.NewClient([]string{o.address}, o.store(tt.role, tt.as).ClientConfig(identity.RoleAgent, "db-e1", identity.ProtoHTTP))
		err := client.DoAt(t.Context(), o.address, tt.method, "/v1/integrity/"+tt.path, tt.body, nil)
		client.Close()
		status, why := http.StatusOK, ""
		if err != nil {
			no, ok := err.(*wire.RefusalError)
			if !ok {
				t.Fatalf("%s: %v", tt.name, err)
			}
			status, why = no.Status, no.Err.Message
		}
		if status != tt.status || !strings.Contains(why, tt.why) {
			t.Errorf("%s: %d %s; want %d, %s", tt.name, status, why, tt.status, tt.why)
		}
	}
}

// TestPageOfAnotherAgent: an agent gets one page of a member, for a member of its own of the same cluster; nobody else does.
func TestPageOfAnotherAgent(t *testing.T) {
	o := newOffice(t)
	o.files = func(member string) comparedFiles {
		if member != "feed-e1" {
			return nil
		}
		return &shelf{}
	}
	at := integrity.Block{Relation: integrity.Relation{Space: 1663, Database: 5, Node: 9}, Number: 7}
	ask := func(role, host, member, from string, b integrity.Block) (compare.PageAnswer, error) {
		client := wire.NewClient([]string{o.address}, o.store(role, host).ClientConfig(identity.RoleAgent, "db-e1"))
		defer client.Close()
		return (&peerFiles{client: client, address: o.address, name: member, from: from}).Page(t.Context(), b)
	}
	a, err := ask(identity.RoleAgent, "db-e2", "feed-e1", "feed-e2", at)
	if check(t, err); !slices.Equal(a.Page, []byte{1, 7}) || a.SystemID == "" {
		t.Errorf("%+v", a)
	}
	beyond := at
	beyond.Number = shelfPages
	for name, err := range map[string]error{
		"of a page that is not there":   second(ask(identity.RoleAgent, "db-e2", "feed-e1", "feed-e2", beyond)),
		"for a member of another host":  second(ask(identity.RoleAgent, "db-e2", "feed-e1", "feed-w1", at)),
		"of a member that is not here":  second(ask(identity.RoleAgent, "db-e2", "feed-e9", "feed-e2", at)),
		"by an operator":                second(ask(identity.RoleOperator, "ann", "feed-e1", "feed-e2", at)),
		"for a member of another agent": second(ask(identity.RoleAgent, "db-x1", "feed-e1", "feed-e2", at)),
	} {
		if no := (*wire.RefusalError)(nil); !errors.As(err, &no) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func second(_ compare.PageAnswer, err error) error { return err }
