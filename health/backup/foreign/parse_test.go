package foreign

import (
	"context"
	"errors"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"mainstay/controller/platform"
	"mainstay/test/kit"
)

func read(t *testing.T, name string) string {
	t.Helper()
	return string(kit.Must[[]byte](t)(os.ReadFile("testdata/" + name)))
}

func TestParseInfo(t *testing.T) {
	all, err := parseInfo(read(t, "pgbackrest-2.45.json"), "main")
	if err != nil || len(all) != 4 {
		t.Fatalf("%+v, %v", all, err)
	}
	full, incr := all[0], all[2]
	if full.Kind != Full || full.Base != "" || full.Start != 0x2000028 || full.Stop != 0x2000170 || full.First != "000000010000000000000002" ||
		full.Timeline != 1 || full.segmentLength != 16<<20 || full.Size != 25753313 || full.Stored != 6277144 ||
		full.SystemID != "7713958814299159568" || full.archive != "15-1" || full.Repo != 1 || full.Ended.Sub(full.Began) != 39*time.Second {
		t.Errorf("%+v", full)
	}
	if incr.Kind != Incremental || incr.Base != all[1].ID || !slices.Equal(incr.Needs, []string{full.ID, all[1].ID}) ||
		incr.Last != "000000010000000000000006" {
		t.Errorf("%+v", incr)
	}
	if bad := all[3]; full.Problem != "" || bad.Problem != "pages with a wrong checksum were copied" {
		t.Errorf("problems %q, %q", full.Problem, bad.Problem)
	}
	one, err := parseInfo(read(t, "pgbackrest-2.60.json"), "main")
	if err != nil || len(one) != 1 || !slices.Equal(one[0].tablespaces, []tablespace{{"ts", 16384}}) ||
		!strings.Contains(one[0].Problem, "base/5/16390") {
		t.Errorf("%+v, %v", one, err)
	}
}

// TestParseInfoRefuses: what must be there and is not, and repositories that cannot be read.
func TestParseInfoRefuses(t *testing.T) {
	good := read(t, "pgbackrest-2.45.json")
	for was, c := range map[string]struct {
		is   string
		want error
		says string
	}{
		`"label"`:                    {`"title"`, ErrAnswer, "backup[0] has no label"},
		`"error": false`:             {`"err": false`, ErrAnswer, "has no error"},
		`"start": "0/2000028"`:       {`"begin": "0/2000028"`, ErrAnswer, "has no lsn"},
		`"0/2000028"`:                {`"0/F000028"`, ErrAnswer, "is not in"},
		`"type": "full"`:             {`"type": "synthetic"`, ErrAnswer, "synthetic"},
		`"prior": null`:              {`"prior": "x"`, ErrAnswer, "prior"},
		`"id": "15-1"`:               {`"id": ""`, ErrAnswer, "has no archive"},
		`"name": "main"`:             {`"name": "other"`, ErrUnknown, ""},
		"\"code\": 0,\n     \"mess":  {"\"code\": 99,\n     \"mess", ErrUnreadable, "repository 1"},
		"\"status\": {\n   \"code\"": {"\"status\": {\n   \"kind\"", ErrAnswer, "status.code"},
		`[`:                          {`{`, ErrAnswer, ""},
	} {
		if !strings.Contains(good, was) {
			t.Errorf("the answer has no %s", was)
		}
		_, err := parseInfo(strings.Replace(good, was, c.is, 1), "main")
		if !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s instead of %s: %v", c.is, was, err)
		}
	}
	more := strings.ReplaceAll(strings.Replace(good, `"error": false`, `"error": false, "new": {"field": [1]}`, 1), "\n", "")
	if all, err := parseInfo(more, "main"); err != nil || len(all) != 4 {
		t.Errorf("with a field that is not known: %v", err)
	}
}

func TestParseArchive(t *testing.T) {
	sum, other := strings.Repeat("a", 40), strings.Repeat("b", 40)
	have, twice, err := parseArchive(`{".":{"type":"path"},"0000000100000000/000000010000000000000001-` + sum + `.gz":{"type":"file","size":1},
		"0000000100000000/000000010000000000000002-` + sum + `":{"type":"file"},"0000000100000000/000000010000000000000002-` + other + `":{"type":"file"},
		"0000000100000000/000000010000000000000003.partial-` + sum + `.gz":{"type":"file"},"0000000100000000/000000010000000000000002.00000028.backup":
		{"type":"file"},"00000002.history":{"type":"file"},"0000000100000000/000000010000000000000004-ff.gz":{"type":"file"}}`)
	if err != nil || len(have) != 3 || have["000000010000000000000001"] != sum || !slices.Equal(twice, []string{"000000010000000000000002"}) ||
		!slices.Equal(have.histories(), []string{"00000002.history"}) {
		t.Errorf("%v, %v, %v", have, twice, err)
	}
	if _, _, err := parseArchive("[]"); !errors.Is(err, ErrAnswer) {
		t.Error(err)
	}
}

// TestVerifySaid: the words of 2.45 and 2.60, whose exit code is 0 in each of these cases.
func TestVerifySaid(t *testing.T) {
	const sum = "-01b4279865aadd7487085c199e778bfb3cb473ef.lz4"
	text := `P01   INFO: invalid result 15-1/0000000100000000/000000010000000000000003` + sum + `: [29] raised from local-1 protocol: lz4 error
P01   INFO: invalid checksum 'F/pg_data/base/4/1255.lz4'
P01   INFO: file missing 'F/pg_data/base/5/2618.lz4'
P00   INFO: backup 'L' appears to be in progress, skipping
stanza: main
status: error
  archiveId: 15-1, total WAL checked: 35, total valid WAL: 34
    missing: 0, checksum invalid: 0, size invalid: 0, other: 1
  backup: F, status: invalid, total files checked: 971, total valid files: 969
    missing: 1, checksum invalid: 1, size invalid: 0, other: 0
  backup: I, status: invalid, total files checked: 972, total valid files: 970
  backup: G, status: valid, total files checked: 975, total valid files: 975
  backup: L, status: manifest missing, total files checked: 0, total valid files: 0
`
	v := parseVerify(text)
	for id, c := range map[string]struct {
		b            Backup
		verdict      Verdict
		found, later int
	}{
		"F": {Backup{First: "000000010000000000000001", Last: "000000010000000000000002"}, Bad, 3, 1},
		"I": {Backup{Needs: []string{"F"}, First: "000000010000000000000003", Last: "000000010000000000000003"}, Bad, 4, 0},
		"G": {Backup{First: "000000010000000000000005", Last: "000000010000000000000005"}, Good, 0, 0},
		"L": {Backup{First: "000000010000000000000005", Last: "000000010000000000000005"}, Bad, 1, 0},
	} {
		c.b.ID, c.b.archive = id, "15-1"
		e := Evidence{Verdict: Good}
		err := v.judge(&e, c.b)
		if err != nil || e.Verdict != c.verdict || len(e.Found) != c.found || len(e.Later) != c.later || len(e.Checked) != 1 {
			t.Errorf("%s: %+v, %v", id, e, err)
		}
	}
	e := Evidence{Verdict: Good}
	if err := v.judge(&e, Backup{ID: "X"}); !errors.Is(err, ErrAnswer) || e.Verdict != Good {
		t.Errorf("of a backup that is not named: %+v, %v", e, err)
	}
	v = parseVerify("stanza: other\nstatus: error\n  No usable backup.info file\n  No usable archive.info file\n")
	if err := v.judge(&e, Backup{ID: "F"}); !errors.Is(err, ErrUnreadable) || !strings.Contains(err.Error(), "No usable backup.info file") {
		t.Errorf("of a stanza that is not there: %v", err)
	}
}

func TestParseBackup(t *testing.T) {
	b, err := parseBackup(read(t, "barman-3.4.json"), "main")
	if err != nil || b.ID != "20261130T134407" || b.Kind != Full || b.State != Done || b.Start != 0x9000028 || b.Stop != 0xA000000 ||
		b.First != "000000010000000000000009" || b.Timeline != 1 || b.Size != 26097301 ||
		!slices.Equal(b.tablespaces, []tablespace{{"ts", 16384}}) ||
		b.Began.Unix() != 1796046247 || b.Ended.Unix() != 1796046248 {
		t.Errorf("%+v, %v", b, err)
	}
	b, err = parseBackup(read(t, "barman-3.20.json"), "main")
	if err != nil || b.Kind != Incremental || b.Base != "20261130T135001" ||
		b.SystemID != "7713958814299159568" || b.Stored != 1645967 || b.Size != 24655329 {
		t.Errorf("%+v, %v", b, err)
	}
	b, err = parseBackup(`{"main": {"backup_id": "X", "error": "failure copying files\n(data transfer)", "status": "FAILED"}}`, "main")
	if err != nil || b.State != Failed || b.Problem != "failure copying files (data transfer)" {
		t.Errorf("%+v, %v", b, err)
	}
	good := read(t, "barman-3.4.json")
	for was, is := range map[string]string{
		`"status": "DONE"`: `"status": "PERHAPS"`, `"backup_id"`: `"id"`, `"begin_lsn"`: `"lsn"`, `"0/9000028"`: `"9000028"`,
		`"end_wal"`:    `"wal"`,
		`"1796046247"`: `"yesterday"`, `"base_backup_information"`: `"information"`, `"main"`: `"other"`, `{`: `[`,
	} {
		if b, err := parseBackup(strings.Replace(good, was, is, 1), "main"); !errors.Is(err, ErrAnswer) || !strings.Contains(good, was) {
			t.Errorf("%s instead of %s: %+v, %v", is, was, b, err)
		}
	}
	of := map[string]Backup{"C": {Base: "B"}, "B": {Base: "A"}, "loop": {Base: "loop"}}
	for id, want := range map[string][]string{"A": nil, "C": {"B", "A"}, "loop": {"loop"}} {
		if got, err := bases(of[id], func(id string) (Backup, error) { return of[id], nil }); err != nil || !slices.Equal(got, want) {
			t.Errorf("the bases of %s are %v, %v", id, got, err)
		}
	}
	ids, err := parseBackupList(`{"main": [{"backup_id": "B", "status": "FAILED"}, {"backup_id": "A"}], "_INFO": ["x"]}`, "main")
	if err != nil || !slices.Equal(ids, []string{"B", "A"}) {
		t.Errorf("%v, %v", ids, err)
	}
	if _, err := parseBackupList(`{"main": [{"id": "B"}]}`, "main"); !errors.Is(err, ErrAnswer) {
		t.Error(err)
	}
}

func TestSegmentSize(t *testing.T) {
	for _, c := range []struct {
		at   platform.LSN
		name string
		want uint64
	}{
		{0x2000028, "000000010000000000000002", 16 << 20}, {0x2000028, "000000010000000000000020", 1 << 20},
		{0x1_4000_0028, "000000030000000100000001", 1 << 30},
		{0x2000028, "000000010000000000000003", 0}, {0x2000028, "00000001.history", 0}, {0x2000028, "", 0},
	} {
		if got := segmentSize(c.at, c.name); got != c.want {
			t.Errorf("%s in %s: %d", c.at, c.name, got)
		}
	}
}

const mb16 = 16 << 20

// at is a position in the segment of a number.
func at(number uint64) platform.LSN { return platform.LSN(number*mb16 + 40) }

// holding are the archived segments of numbers on a timeline.
func holding(a archived, t platform.Timeline, numbers ...uint64) archived {
	for _, n := range numbers {
		a[segmentAt(t, n, mb16)] = ""
	}
	return a
}

func TestPlan(t *testing.T) {
	b := Backup{Start: at(2), Stop: at(3), Timeline: 1, segmentLength: mb16}
	// Timeline 2 forks in the middle of segment 5; timeline 3 at the very end of segment 7.
	line3 := platform.History{{Timeline: 1, End: at(5)}, {Timeline: 2, End: 8 * mb16}}
	both := holding(holding(holding(archived{}, 1, 1, 2, 3, 4, 5, 6), 2, 5, 6, 7, 8), 3, 8, 9)
	for name, c := range map[string]struct {
		have  archived
		line  platform.History
		t     platform.Timeline
		until Until
		names []string // numbers as timeline.segment in hexadecimal
		gap   int
		err   error
	}{
		"latest":            {holding(archived{}, 1, 1, 2, 3, 4), nil, 1, Until{}, []string{"1.2", "1.3", "1.4"}, 0, nil},
		"immediate":         {holding(archived{}, 1, 1, 2, 3, 4), nil, 1, Until{Immediate: true}, []string{"1.2", "1.3"}, 0, nil},
		"position":          {holding(archived{}, 1, 2, 3, 4, 5, 6), nil, 1, Until{LSN: at(4)}, []string{"1.2", "1.3", "1.4", "1.5"}, 0, nil},
		"position not yet":  {holding(archived{}, 1, 2, 3, 4), nil, 1, Until{LSN: at(5)}, nil, 0, ErrNotArchived},
		"position too old":  {holding(archived{}, 1, 2, 3, 4), nil, 1, Until{LSN: at(2)}, nil, 0, ErrNoBackup},
		"gap":               {holding(archived{}, 1, 2, 3, 5, 7), nil, 1, Until{}, []string{"1.2", "1.3"}, 2, nil},
		"needed is missing": {holding(archived{}, 1, 1, 2), nil, 1, Until{}, nil, 0, ErrNotArchived},
		"no archive":        {archived{}, nil, 1, Until{Immediate: true}, nil, 0, ErrNotArchived},
		"timelines":         {both, line3, 3, Until{}, []string{"1.2", "1.3", "1.4", "2.5", "2.6", "2.7", "3.8", "3.9"}, 0, nil},
		"old timeline":      {both, nil, 1, Until{}, []string{"1.2", "1.3", "1.4", "1.5", "1.6"}, 0, nil},
		"new timeline has no segment yet": {holding(archived{}, 1, 2, 3, 4, 5), platform.History{{Timeline: 1, End: at(5)}}, 2, Until{},
			[]string{"1.2", "1.3", "1.4"}, 0, nil},
	} {
		w, err := plan(c.have, b, c.line, c.t, c.until)
		if !errors.Is(err, c.err) {
			t.Errorf("%s: %v", name, err)
		}
		if err != nil {
			continue
		}
		var got []string
		for _, n := range w.names {
			got = append(got, strings.TrimLeft(n[:8], "0")+"."+strings.TrimLeft(n[8:], "0"))
		}
		if gap := w.gap; !slices.Equal(got, c.names) || (gap == nil) != (c.gap == 0) || gap != nil && gap.Count != c.gap {
			t.Errorf("%s: %v, %v", name, got, gap)
		}
	}
}

func TestChoose(t *testing.T) {
	b := Backup{Start: at(2), Stop: at(3), Timeline: 1}
	h := histories{2: {{Timeline: 1, End: at(5)}}, 3: {{Timeline: 1, End: at(5)}, {Timeline: 2, End: at(8)}}, 4: {{Timeline: 1, End: at(2)}},
		9: {{Timeline: 7, End: at(9)}}}
	if got, line, err := h.choose(b, 0); got != 3 || len(line) != 2 || err != nil {
		t.Errorf("the newest is %d, %v, %v", got, line, err)
	}
	for timeline, want := range map[platform.Timeline]error{1: nil, 2: nil, 4: ErrNoBackup, 8: ErrNotArchived, 9: ErrNoBackup} {
		if got, _, err := h.choose(b, timeline); !errors.Is(err, want) || err == nil && got != timeline {
			t.Errorf("timeline %d: %d, %v", timeline, got, err)
		}
	}
	line, err := ancestry("1\t0/3000060\tno recovery target specified\n\n# x\n2\t0/5000000\tbefore 2000-01-01\n")
	if err != nil || !slices.Equal(line, platform.History{{Timeline: 1, End: 0x3000060}, {Timeline: 2, End: 0x5000000}}) {
		t.Errorf("%v, %v", line, err)
	}
	for _, text := range []string{"x\t0/1\ty\n", "1 0/1\n", "1\tx\ty\n"} {
		if _, err := ancestry(text); err == nil {
			t.Errorf("%q is a history", text)
		}
	}
}

func TestEach(t *testing.T) {
	names := make([]string, 100)
	boom := errors.New("boom")
	done := make(chan string, len(names))
	if err := each(t.Context(), names, func(context.Context, string) error { done <- ""; return nil }); err != nil || len(done) != 100 {
		t.Errorf("%d of 100, %v", len(done), err)
	}
	if err := each(t.Context(), names, func(context.Context, string) error { return boom }); !errors.Is(err, boom) {
		t.Error(err)
	}
	if err := each(t.Context(), nil, func(context.Context, string) error { return boom }); err != nil {
		t.Error(err)
	}
}
