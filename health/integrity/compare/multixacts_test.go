package compare

import (
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"mainstay/health"
	"mainstay/health/integrity/page"
	"mainstay/test/kit"
)

// TestMultixacts: multixacts are the same on all members, and an entry of either table that is another one on one member is found there. A
// file that one member lacks is no finding.
func TestMultixacts(t *testing.T) {
	versions(t, func(t *testing.T, l *lab) {
		t.Parallel()
		l.sql(0, "CREATE TABLE m AS SELECT n AS id, 0 AS v FROM generate_series(1, 3000) n", "ALTER TABLE m ADD PRIMARY KEY (id)",
			`DO $$ BEGIN FOR i IN 1..3000 LOOP PERFORM 1 FROM m WHERE id = i FOR KEY SHARE;
			BEGIN UPDATE m SET v = 1 WHERE id = i; EXCEPTION WHEN division_by_zero THEN NULL; END; END LOOP; END $$`)
		l.written()
		end := l.meanwhile(l.checkpoints)
		defer end()
		run := func() health.Comparison {
			t.Helper()
			c := kit.Must[health.Comparison](t)(Run(testContext(t), l.members(3), l.options()))
			l.accounted(c)
			return c
		}
		where := kit.Must[Where](t)(l.members(1)[0].Where(testContext(t)))
		if m := where.Multi; m.Next-m.Oldest < 3000 || m.NextMember < 6000 {
			t.Fatalf("%+v", m)
		}
		const chosen = 50 // an old one of both tables' first pages
		for _, tt := range []struct {
			table, file string
			change      func(p []byte)
			want        string
		}{
			{Offsets, "pg_multixact/offsets/0000", func(p []byte) { binary.LittleEndian.PutUint32(p[4*chosen:], 77777) },
				fmt.Sprintf("the members of multixact %d begin at ", chosen)},
			{Members, "pg_multixact/members/0000", func(p []byte) { p[20*chosen+4] ^= 1 }, fmt.Sprintf("member %d of multixacts is transaction ",
				4*chosen)},
		} {
			if c := run(); c.Differ != 0 || c.Unverified[noMultixacts]+c.Unverified[noMultiSegment]+c.Unverified[openMultixacts]+
				c.Unverified[noMembers] != 0 {
				t.Fatalf("before: %+v", c)
			}
			path := filepath.Join(l.servers[1].Data, tt.file)
			before := kit.Must[[]byte](t)(os.ReadFile(path))
			write := func(content []byte) {
				f := kit.Must[*os.File](t)(os.OpenFile(path, os.O_WRONLY, 0))
				_, err := f.WriteAt(content, 0)
				kit.Check(t, err, f.Close())
			}
			damaged := slices.Clone(before)
			tt.change(damaged)
			write(damaged)
			c := run()
			if c.Differ != 1 || len(c.Damage) != 1 {
				t.Fatalf("%s: %+v", tt.table, c)
			}
			if f := c.Damage[0]; f.Path != tt.file || f.Block != 0 || f.Kind != multixactKind || !f.Named || !f.Settled ||
				!slices.Equal(f.Suspects, []string{"b"}) || !strings.Contains(f.Detail, tt.want) || c.Against("b", "b") != "" {
				t.Errorf("%s: %+v", tt.table, f)
			}
			t.Logf("%+v", c.Damage[0])
			write(before)
			kit.Check(t, os.Rename(path, path+".kept"))
			if c := run(); c.Differ != 0 || c.Unverified[noMultiSegment]+c.Unverified[noMembers] == 0 {
				t.Errorf("%s without the file: %+v", tt.table, c)
			}
			kit.Check(t, os.Rename(path+".kept", path))
		}
	})
}

// TestMultixactSpans: the pages of both tables that are compared, also where their numbers begin anew.
func TestMultixactSpans(t *testing.T) {
	l := page.Layout{Size: 8192}
	at := func(oldest, next uint32) Where { return Where{Multi: Multixacts{Oldest: oldest, Next: next}} }
	const lastOffsets, lastMembers = 1<<32/2048 - 1, (1<<32 - 1) / 1636
	for _, c := range []struct {
		all  []Where
		want span
		ok   bool
	}{
		{[]Where{at(1, 1), at(1, 1)}, span{Offsets, 1, 0, 0, 0}, true},
		{[]Where{at(1, 2), at(1, 2)}, span{Offsets, 1, 1, 0, 0}, true},
		{[]Where{at(1, 2050), at(5, 2051)}, span{Offsets, 5, 2049, 0, 2}, true},
		{[]Where{at(1<<32-10, 9)}, span{Offsets, 1<<32 - 10, 8, lastOffsets, 2}, true},
		{[]Where{at(5, 9), {}}, span{}, false},
	} {
		if got, ok := offsetsSpan(c.all, l); got != c.want || ok != c.ok {
			t.Errorf("%+v: %+v, %v", c.all, got, ok)
		}
	}
	for _, c := range []struct{ from, next, first, count uint32 }{{1, 1636, 0, 1}, {1, 1637, 0, 2}, {1635, 1637, 0, 2},
		{1<<32 - 5, 100, lastMembers, 2}, {7, 7, 0, 0}, {10, 1 << 31, 0, 1312643}} {
		if s := newSpan(Members, c.from, c.next, l); s.from != c.first || s.count != c.count {
			t.Errorf("%+v: %+v", c, s)
		}
	}
}

// TestJudgeMultixacts: what most members say counts, and of two members both are suspect.
func TestJudgeMultixacts(t *testing.T) {
	entry := func(value uint32) []byte { return binary.LittleEndian.AppendUint32(nil, value) }
	for _, c := range []struct {
		values   []uint32
		suspects []int
		named    bool
		text     string
	}{
		{[]uint32{9, 9, 0}, []int{2}, true, "the members of multixact 40 begin at 0 by c, and at 9 by a and b"},
		{[]uint32{9, 8, 7}, []int{0, 1, 2}, false, "at 7 by c, and at 8 by b, and at 9 by a. This would decide"},
		{[]uint32{9, 8, 8}, []int{0, 1, 2}, false, "at 8 by b and c, and at 9 by a"},
	} {
		r := &run{}
		var contents [][]byte
		for n, v := range c.values {
			contents, r.names = append(contents, entry(v)), append(r.names, string(rune('a'+n)))
			r.data = append(r.data, Data{Primary: n == 0})
		}
		if v := r.judgeStatus(Offsets, contents, 40); !slices.Equal(v.suspects, c.suspects) || v.named != c.named ||
			!strings.Contains(v.text, c.text) {
			t.Errorf("%v: %+v", c.values, v)
		}
	}
}
