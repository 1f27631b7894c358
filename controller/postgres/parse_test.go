package postgres

import (
	"errors"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"mainstay/controller/platform"
	"mainstay/controller/postgres/ondisk"
)

const controlText = `pg_control version number:            1300
Catalog version number:               202209061
Database system identifier:           7300000000000000001
Database cluster state:               in archive recovery
Latest checkpoint location:           0/6000120
Latest checkpoint's REDO location:    0/60000E8
Latest checkpoint's TimeLineID:       3
Latest checkpoint's PrevTimeLineID:   2
Minimum recovery ending location:     1/A0
Min recovery ending loc's timeline:   3
Backup start location:                0/0
End-of-backup record required:        no
wal_level setting:                    replica
wal_log_hints setting:                on
max_connections setting:              100
max_worker_processes setting:         8
max_wal_senders setting:              16
max_prepared_xacts setting:           0
max_locks_per_xact setting:           64
Database block size:                  4096
Blocks per segment of large relation: 262144
WAL block size:                       8192
Bytes per WAL segment:                16777216
Data page checksum version:           1
`

func TestParseControl(t *testing.T) {
	full := Control{
		SystemID: "7300000000000000001", State: "in archive recovery", Checkpoint: 0x6000120, Redo: 0x60000E8, Timeline: 3,
		PrevTimeline: 2, MinRecovery: 1<<32 | 0xA0, MinTimeline: 3, Checksums: true, WALLogHints: true, WALLevel: "replica",
		SegmentSize: 16 << 20, BlockSize: 8192, PageSize: 4096, RelationSegment: 262144,
		MaxConnections: 100, MaxWorkers: 8, MaxWALSenders: 16, MaxLocks: 64, CatalogueVersion: "202209061",
	}
	tests := []struct {
		name     string
		old, new string
		want     func(*Control)
		fails    string
	}{
		{"as printed", "", "", func(*Control) {}, ""},
		{"backup not replayed", "required:        no", "required:        yes", func(c *Control) { c.BackupEndNeeded = true }, ""},
		{"backup started", "Backup start location:                0/0", "Backup start location: 0/28",
			func(c *Control) { c.BackupEndNeeded = true }, ""},
		{"no checksums", "checksum version:           1", "checksum version:           0", func(c *Control) { c.Checksums = false }, ""},
		{"clean", "in archive recovery", "shut down in recovery", func(c *Control) { c.State = "shut down in recovery" }, ""},
		{"no timeline", "Latest checkpoint's TimeLineID", "Something else", nil, "TimeLineID"},
		{"bad position", "0/6000120", "nowhere", nil, "Latest checkpoint location"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := parseControl(strings.Replace(controlText, tt.old, tt.new, 1))
			if tt.fails != "" {
				if err == nil || !strings.Contains(err.Error(), tt.fails) {
					t.Fatalf("error %v, want one that names %q", err, tt.fails)
				}
				return
			}
			want := full
			tt.want(&want)
			if err != nil || got != want {
				t.Fatalf("got %+v, %v", got, err)
			}
		})
	}
}

func TestQuoting(t *testing.T) {
	tests := []struct{ name, got, want string }{
		{"conf", quoteConf(`a'b\c` + "\n"), `'a''b\\c\n'`},
		{"conninfo", quoteConnInfo(`a'b\c`), `'a\'b\\c'`},
		{"conninfo inside conf", quoteConf("x=" + quoteConnInfo(`a'b\`)), `'x=''a\\''b\\\\'''`},
		{"ident", quoteIdent(`a"b`), `"a""b"`},
		{"literal", quoteLiteral(`it's`), `'it''s'`},
		{"literal with backslash", quoteLiteral(`\'`), ` E'\\'''`},
		{"redact", redact(`host=x password=abc user=y`), `host=x password=*** user=y`},
		{"redact quoted", redact(`password='a\' b' user=y`), `password=*** user=y`},
		{"slot", SlotName("feed-e1"), "mainstay_feed_e1"},
	}
	for _, tt := range tests {
		if tt.got != tt.want {
			t.Errorf("%s: %s, want %s", tt.name, tt.got, tt.want)
		}
	}
	long := strings.Repeat("x", 200)
	const maxName = 63 // NAMEDATALEN less one
	if a, b, c := SlotName("feed_e1"), SlotName("Feed-e1"), SlotName(long); a == SlotName("feed-e1") || a == b || len(c) > maxName {
		t.Errorf("slot names collide or are too long: %s %s %s", a, b, c)
	}
}

func TestStartOptions(t *testing.T) {
	got := startOptions(map[string]string{"role": "none", "default_transaction_isolation": "read committed", "default_tablespace": "",
		"x": `a\b`})
	if want := `-c default_tablespace= -c default_transaction_isolation=read\ committed -c role=none -c x=a\\b`; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

// TestRecordEnd: positions as PostgreSQL counts them, page headers included.
func TestRecordEnd(t *testing.T) {
	const page, segment = 8192, 16 << 20
	tests := []struct {
		name string
		r    record
		want platform.LSN
	}{
		{"aligned up", record{start: 0x3000028, length: 106}, 0x3000028 + 112},
		{"to the end of its page", record{start: 0x3000000 + page - 64, length: 64}, 0x3000000 + page},
		{"over one page", record{start: 0x3000000 + page - 64, length: 72}, 0x3000000 + page + 24 + 8},
		{"over two pages", record{start: 0x3000000 + page - 64, length: 64 + page - 24 + 8}, 0x3000000 + 2*page + 24 + 8},
		{"into a segment", record{start: 0x4000000 - 64, length: 72}, 0x4000000 + 40 + 8},
		{"switch", record{start: 0x3000060, length: 24, rmgr: "XLOG", desc: "SWITCH "}, 0x4000000},
	}
	for _, tt := range tests {
		if got := tt.r.end(page, segment); got != tt.want {
			t.Errorf("%s: %s, want %s", tt.name, got, tt.want)
		}
	}
}

func TestParseRecord(t *testing.T) {
	line := "rmgr: Transaction len (rec/tot):     34/  8234, tx:        735, lsn: 1/0151F0B8, prev 0/0151F080, desc: COMMIT 2026-01-01"
	want := record{start: 1<<32 | 0x151F0B8, length: 8234, rmgr: "Transaction", xid: 735, desc: "COMMIT 2026-01-01"}
	if got, ok := parseRecord(line); !ok || got != want {
		t.Fatalf("%+v %v", got, ok)
	}
	if _, ok := parseRecord("pg_waldump: first record is after 0/3000000"); ok {
		t.Fatal("a message was taken for a record")
	}
}

func TestEachLine(t *testing.T) {
	long := strings.Repeat("x", 3*longestLine)
	var got []string
	err := eachLine(strings.NewReader("a\n"+long+"\nb\n"+long), func(line string) { got = append(got, line) })
	if want := []string{"a", long[:longestLine], "b", long[:longestLine]}; err != nil || !slices.Equal(got, want) {
		t.Errorf("%d lines, %v", len(got), err)
	}
}

func TestSegments(t *testing.T) {
	for _, size := range []uint64{1 << 20, 16 << 20, 1 << 30} {
		s := segment{7, 3*((1<<32)/size) + 2}
		if got, ok := parseSegment(s.name(size), size); !ok || got != s {
			t.Errorf("size %d: %s reads back as %+v", size, s.name(size), got)
		}
	}
	if _, ok := parseSegment("00000007.history", 16<<20); ok {
		t.Error("a history file was taken for a segment")
	}
	if got := (segment{5, 3}).name(16 << 20); got != "000000050000000000000003" {
		t.Error(got)
	}
}

func TestUnbroken(t *testing.T) {
	const size = 16 << 20
	all := []segment{{1, 2}, {1, 3}, {2, 4}, {1, 5}}
	for _, c := range []struct {
		t          platform.Timeline
		from, want platform.LSN
	}{
		{1, 2*size + 40, 4 * size}, // 4 is missing
		{1, 3 * size, 4 * size},
		{1, 5*size + 40, 6 * size},
		{2, 4*size + 40, 5 * size},
		{2, 3*size + 40, 5 * size}, // its own may bear the name of the timeline before
		{1, 9*size + 40, 10 * size},
	} {
		if got := unbroken(all, c.t, c.from, size); got != c.want {
			t.Errorf("from %s on timeline %d: %s, want %s", c.from, c.t, got, c.want)
		}
	}
}

func TestHistory(t *testing.T) {
	h := platform.History{{Timeline: 1, End: 0x6000198}, {Timeline: 4, End: 1<<32 | 0x28}}
	got, err := ondisk.ParseHistory("# comment\n\n" + formatHistory(h))
	if err != nil || !reflect.DeepEqual(got, h) {
		t.Fatalf("%v %v", got, err)
	}
	for _, bad := range []string{"1\n", "x\t0/1\n", "1\tnowhere\n"} {
		if _, err := ondisk.ParseHistory(bad); err == nil {
			t.Errorf("%q was read", bad)
		}
	}
}

func TestFindSaysWhereItLooked(t *testing.T) {
	empty := t.TempDir()
	_, err := Find(empty)
	var missing *BinariesError
	if !errors.As(err, &missing) || !strings.Contains(err.Error(), empty) {
		t.Fatal(err)
	}
	b := needPostgres(t)
	if _, err := exec.LookPath(filepath.Join(b.Dir, "pg_rewind")); err != nil {
		t.Fatal("found programs that are not there: ", err)
	}
}
