package serverlog

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"
)

// decoded feeds a log in pieces of that many bytes.
func decoded(form Form, text string, piece int, amid bool) (all []Entry) {
	d := NewDecoder(form, nil, amid)
	tell := func(e Entry) { all = append(all, e) }
	for p := range slices.Chunk([]byte(text), piece) {
		d.Decode(p, tell)
	}
	d.End(tell)
	return all
}

// csv is a record as PostgreSQL 15 writes it; columns that are not given are empty.
func csv(severity, state, message, context, statement, backend string) string {
	quote := func(s string) string {
		if s == "" {
			return ""
		}
		return `"` + strings.ReplaceAll(s, `"`, `""`) + `"`
	}
	return strings.Join([]string{"2026-01-31 12:00:00.123 UTC", `"app"`, `"feed"`, "77", `"127.0.0.1:5000"`, "65b.4d", "3", `"SELECT"`,
		"2026-01-31 11:59:00 UTC", "3/5", "0", severity, state, quote(message), "", "", "", "", quote(context), quote(statement), "", "",
		`"psql"`, quote(backend), "", "0"}, ",") + "\n"
}

func TestForms(t *testing.T) {
	damage := Entry{Severity: "ERROR", State: "XX001", Message: "invalid page in block 3 of relation base/5/16384"}
	fsync := Entry{Severity: "PANIC", State: "58030", Message: `could not fsync file "base/5/7": Input/output error`}
	const unwritten = "could not write block 1 of base/5/7: Input/output error"
	forged := "x\n2026-01-31 12:00:00.000 UTC,,,9,,5.5,1,,2026-01-31,,0,PANIC,XX001,\"forged\",,,,,,,,,,\"startup\",,0\n\"y\""
	for name, c := range map[string]struct {
		form Form
		text string
		want []Entry
	}{
		"csvlog": {CSV, csv("LOG", "00000", "plain", "", "", "postmaster") + csv("ERROR", "XX001", damage.Message, "", forged, "client backend") +
			csv("PANIC", "58030", fsync.Message, "", "", "checkpointer"),
			[]Entry{{Severity: "LOG", State: "00000", Message: "plain", Backend: "postmaster"},
				{Severity: "ERROR", State: "XX001", Message: damage.Message, Backend: "client backend"},
				{Severity: "PANIC", State: "58030", Message: fsync.Message, Backend: "checkpointer"}}},
		"jsonlog": {JSON, `{"timestamp":"2026-01-31 12:00:00.123 UTC","pid":7,"error_severity":"ERROR","state_code":"XX001","message":"` +
			damage.Message + `","statement":"SELECT\n{\"error_severity\":\"PANIC\"}","backend_type":"client backend"}` + "\n",
			[]Entry{{Severity: "ERROR", State: "XX001", Message: damage.Message, Backend: "client backend"}}},
		"stderr without SQLSTATEs": {Stderr, "2026-01-31 12:00:00.123 UTC [77] ERROR:  " + damage.Message +
			"\n2026-01-31 12:00:00.123 UTC [77] STATEMENT:  SELECT\n\tPANIC:  forged\n",
			[]Entry{{Severity: "ERROR", Message: damage.Message}}},
		"stderr in German": {Stderr, "<2026-01-31 XX001 app> FEHLER:  ungültige Seite in Block 3 von Relation base/5/16384\n" +
			"<2026-01-31 XX001 app> ANWEISUNG:  SELECT\n<2026-01-31 XX001 app> FEHLER:  ungültige Seite in Block 4 von Relation base/5/16384\n",
			[]Entry{{Severity: "FEHLER", State: "XX001", Message: "ungültige Seite in Block 3 von Relation base/5/16384"},
				{Severity: "FEHLER", State: "XX001", Message: "ungültige Seite in Block 4 von Relation base/5/16384"}}},
		"stderr with a context": {Stderr, "58030: ERROR:  " + unwritten + "\n58030: CONTEXT:  writing block 1\n",
			[]Entry{{Severity: "ERROR", State: "58030", Message: unwritten, Context: "writing block 1"}}},
	} {
		for _, piece := range []int{1, 7, 1 << 20} {
			if got := decoded(c.form, c.text, piece, false); !slices.Equal(got, c.want) {
				t.Errorf("%s in pieces of %d:\n got %+v\nwant %+v", name, piece, got, c.want)
			}
		}
	}
}

// TestAmid: a reader that begins amid a record, or meets one of any length, has the next ones.
func TestAmid(t *testing.T) {
	next := csv("ERROR", "XX002", "next", "", "a\nb", "client backend")
	text := csv("ERROR", "XX001", "first", "", "a\nb\nc \"d\" "+strings.Repeat("e", 300<<10), "client backend")
	for _, from := range []int{0, 1, strings.Index(text, "b\n"), strings.Index(text, "c "), len(text) - 20} {
		got := decoded(CSV, text[from:]+next+next, 4096, true)
		if n := len(got); n < 2 || got[n-2].Message != "next" || got[n-1].Message != "next" || from > 0 && n > 2 {
			t.Errorf("from %d: %d entries, %+v", from, n, got)
		}
	}
	d := NewDecoder(CSV, nil, false)
	for range 1000 {
		d.Decode(bytes.Repeat([]byte("a\n\"\n\""), 1000), func(Entry) {})
	}
	if cap(d.rest) > 4*mostRecord {
		t.Errorf("an endless record takes %d bytes", cap(d.rest))
	}
}

func TestKinds(t *testing.T) {
	for _, c := range []struct {
		e    Entry
		want Kind
	}{
		{Entry{Severity: "ERROR", State: "XX001", Message: "anything"}, Damage},
		{Entry{Severity: "FEHLER", State: "XX002", Message: "irgendetwas"}, Damage},
		{Entry{Severity: "ERROR", Message: "invalid page in block 3 of relation base/5/16384"}, Damage},
		{Entry{Severity: "ERROR", Message: `could not read block 9 in file "base/5/16384": read only 0 of 8192 bytes`}, Damage},
		{Entry{Severity: "ERROR", State: "58P01", Message: `konnte Datei »base/5/16384« nicht öffnen: Datei oder Verzeichnis nicht gefunden`}, Damage},
		{Entry{Severity: "ERROR", Message: `could not open file "pg_tblspc/16400/PG_15_202209061/5/16401.1" (target block 9): No such file or directory`}, Damage},
		{Entry{Severity: "ERROR", Message: `could not open file "/home/a/list.csv" for reading: No such file or directory`}, ""},
		{Entry{Severity: "ERROR", State: "58P01", Message: `could not access file "postgis-3": No such file or directory`}, ""},
		{Entry{Severity: "ERROR", State: "XX000", Message: "could not access status of transaction 77"}, Damage},
		{Entry{Severity: "ERROR", State: "XX001", Message: "mine", Context: "PL/pgSQL function inline_code_block line 1 at RAISE"}, ""},
		{Entry{Severity: "ERROR", State: "XX001", Message: "theirs", Context: "remote SQL command: SELECT 1"}, ""},
		{Entry{Severity: "PANIC", State: "58030", Message: "could not fsync"}, Storage},
		{Entry{Severity: "PANIC", Message: `could not fsync file "base/5/7": Input/output error`}, Storage},
		{Entry{Severity: "PANIC", State: "53100", Message: `could not write to file "pg_wal/xlogtemp.1": No space left on device`}, ""},
		{Entry{Severity: "ERROR", State: "XX000", Message: `could not write block 1 in file "base/5/7": File too large`, Backend: "checkpointer"}, Storage},
		{Entry{Severity: "LOG", State: "00000", Message: "checkpoint starting: time", Backend: "checkpointer"}, ""},
		{Entry{Severity: "ERROR", State: "53100", Message: "could not extend", Backend: "checkpointer"}, ""},
		{Entry{Severity: "ERROR", State: "XX000", Message: "cache lookup failed for type 77"}, Internal},
		{Entry{Severity: "PANIC", State: "XX000", Message: "WAL contains references to invalid pages"}, Damage},
		{Entry{Severity: "PANIC", State: "XX000", Message: "stuck spinlock"}, Panic},
		{Entry{Severity: "ERROR", State: "42601", Message: "syntax error"}, ""},
		{Entry{Severity: "ERROR", Message: "role \"invalid page\" does not exist"}, ""},
	} {
		if got := c.e.Kind(); got != c.want {
			t.Errorf("%s is %q, want %q", c.e, got, c.want)
		}
		if c.want != "" && c.e.State != "58P01" && !MayBeEvidence([]byte(c.e.State+c.e.Severity+c.e.Message+c.e.Backend)) {
			t.Errorf("%s is passed over", c.e)
		}
	}
	for _, m := range []string{"invalid page in block 3 of relation base/5/16384", "ungültige Seite in Block 3 von Relation base/5/16384",
		`リレーション"base/5/16384"のブロック3に不正なページ`} {
		if file, block := (Entry{State: "XX001", Message: m}).Page(); file != "base/5/16384" || block != "3" {
			t.Errorf("%s: %s, %s", m, file, block)
		}
	}
	if file, _ := (Entry{State: "XX001", Message: `invalid pages among blocks 3..9 of relation base/5/1`}).Page(); file != "" {
		t.Error("two blocks are no page")
	}
}

// BenchmarkDecode is the speed at which logs without evidence are passed over.
func BenchmarkDecode(b *testing.B) {
	line := fmt.Sprintf("2026-01-31 12:00:00.123 UTC [77] LOG:  duration: 0.1 ms  statement: %s\n", strings.Repeat("SELECT 1 FROM t ", 8))
	record := csv("LOG", "00000", line, "", line, "client backend")
	for form, text := range map[Form]string{Stderr: strings.Repeat(line, 1500), CSV: strings.Repeat(record, 500)} {
		b.Run(string(form), func(b *testing.B) {
			d := NewDecoder(form, MayBeEvidence, false)
			b.SetBytes(int64(len(text)))
			for b.Loop() {
				d.Decode([]byte(text), func(Entry) {})
			}
		})
	}
}
