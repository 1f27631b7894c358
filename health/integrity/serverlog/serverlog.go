// Package serverlog reads what a PostgreSQL server writes into its log, in the forms stderr, csvlog and jsonlog, and says which of it is
// evidence of damaged data or of a failing disk.
//
// It is pure: others read the file. What it finds proves nothing, because a session can raise any SQLSTATE with any text, and so can a
// foreign server behind it. It is a reason to check.
package serverlog

import (
	"bytes"
	"encoding/json"
	"strings"
)

// Form is the form of a log.
type Form string

const (
	Stderr Form = "stderr"
	CSV    Form = "csvlog"
	JSON   Form = "jsonlog"
)

// Entry is what a server said at once.
type Entry struct {
	// Severity is in the language of lc_messages but for jsonlog.
	Severity string
	State    string // SQLSTATE; "" if the log does not have it
	Message  string
	Detail   string
	Context  string
	Backend  string // the kind of process, such as "checkpointer"; "" if the log does not have it
}

// String is the entry in the form of stderr, without a prefix.
func (e Entry) String() string {
	text := e.Severity + ":  " + indented(e.Message)
	if e.Detail != "" {
		text += "\nDETAIL:  " + indented(e.Detail)
	}
	if e.Context != "" {
		text += "\nCONTEXT:  " + indented(e.Context)
	}
	return text
}

func indented(s string) string { return strings.ReplaceAll(s, "\n", "\n\t") }

// mostRecord bounds how much of a record is kept, in bytes: a statement in it may be of any length.
const mostRecord = 64 << 10

// Decoder cuts a log into entries. It is made for one file, read in order.
type Decoder struct {
	form Form
	want func(record []byte) bool
	rest []byte // of a record whose end was not there yet
	// long: the record is longer than mostRecord, and its middle is left out; quotes counts its quotation marks.
	long   bool
	quotes int
	amid   bool  // the text may begin amid a record
	open   Entry // of stderr: its further lines may follow
	opened bool
}

// NewDecoder makes one for a form. want chooses the records (of stderr: the first lines) that are taken; nil takes all. amid says that the
// text may begin amid a record.
func NewDecoder(form Form, want func(record []byte) bool, amid bool) *Decoder {
	return &Decoder{form: form, want: want, amid: amid}
}

// Decode calls tell for each entry that ends in text, which continues that of the last call.
func (d *Decoder) Decode(text []byte, tell func(Entry)) {
	for tested := false; len(text) > 0; {
		n := bytes.IndexByte(text, '\n')
		line := text
		if n >= 0 {
			line = text[:n]
		}
		if d.form == CSV {
			d.quotes += bytes.Count(line, []byte{'"'})
		}
		record := line
		if room := mostRecord - len(d.rest); n < 0 || len(d.rest) > 0 || d.form == CSV && d.quotes%2 == 1 {
			if d.long = d.long || len(line) > room; d.long {
				line = line[:min(len(line), max(0, room))]
			}
			d.rest = append(d.rest, line...)
			record = d.rest
		}
		if n < 0 {
			return
		}
		text = text[n+1:]
		if d.form == CSV && d.quotes%2 == 1 && (!d.amid || dated(string(record[:min(len(record), 11)]))) {
			if len(d.rest) < mostRecord {
				d.rest = append(d.rest, '\n')
			}
			continue
		}
		d.record(record, tell)
		d.rest, d.long, d.quotes = d.rest[:0], false, 0
		if !tested {
			text, tested = d.passOver(text), true
		}
	}
}

// passOver drops whole lines in which there is nothing to take, all at once.
func (d *Decoder) passOver(text []byte) (rest []byte) {
	end := bytes.LastIndexByte(text, '\n')
	if d.form == CSV || d.want == nil || d.opened || end < 0 || d.want(text[:end]) {
		return text
	}
	return text[end+1:]
}

// End tells the entry whose end was still open, at the end of the text.
func (d *Decoder) End(tell func(Entry)) {
	if d.opened {
		d.opened = false
		tell(d.open)
	}
}

func (d *Decoder) record(record []byte, tell func(Entry)) {
	if d.form == Stderr {
		d.line(string(record), record, tell)
		return
	}
	if d.amid || d.want == nil || d.want(record) {
		e, ok := Entry{}, false
		if d.form == CSV {
			e, ok = ofCSV(string(record))
		} else {
			e, ok = ofJSON(record)
		}
		if !ok {
			return
		}
		d.amid = false
		if d.want == nil || d.want(record) {
			tell(e)
		}
	}
}

// The columns of csvlog.
const (
	csvSeverity = 11
	csvState    = 12
	csvMessage  = 13
	csvDetail   = 14
	csvContext  = 18
	csvBackend  = 23
)

// ofCSV reads a record, of which a long statement may have cut the end off.
func ofCSV(record string) (e Entry, ok bool) {
	var all []string
	for rest, more := record, true; more && len(all) <= csvBackend; {
		var f string
		f, rest, more = field(rest)
		all = append(all, f)
	}
	if len(all) <= csvMessage || len(all[csvState]) != 5 || !dated(all[0]) {
		return e, false
	}
	at := func(n int) string {
		if n >= len(all) {
			return ""
		}
		return all[n]
	}
	return Entry{Severity: at(csvSeverity), State: at(csvState), Message: at(csvMessage), Detail: at(csvDetail), Context: at(csvContext),
		Backend: at(csvBackend)}, true
}

// dated tells whether a text begins with a date, as 2026-01-31.
func dated(s string) bool {
	return len(s) > 10 && s[4] == '-' && s[7] == '-' && strings.Trim(s[:4]+s[5:7]+s[8:10], "0123456789") == ""
}

// field takes the first field from a record of CSV; more tells whether others follow.
func field(s string) (f, rest string, more bool) {
	if !strings.HasPrefix(s, `"`) {
		return strings.Cut(s, ",")
	}
	var b strings.Builder
	for s = s[1:]; ; {
		part, after, found := strings.Cut(s, `"`)
		b.WriteString(part)
		if !found {
			return b.String(), "", false
		}
		if !strings.HasPrefix(after, `"`) {
			return b.String(), strings.TrimPrefix(after, ","), strings.HasPrefix(after, ",")
		}
		b.WriteByte('"')
		s = after[1:]
	}
}

func ofJSON(record []byte) (e Entry, ok bool) {
	var r struct {
		Severity string `json:"error_severity"`
		State    string `json:"state_code"`
		Message  string `json:"message"`
		Detail   string `json:"detail"`
		Context  string `json:"context"`
		Backend  string `json:"backend_type"`
	}
	if json.Unmarshal(record, &r) != nil || r.Severity == "" {
		return e, false
	}
	return Entry{Severity: r.Severity, State: r.State, Message: r.Message, Detail: r.Detail, Context: r.Context, Backend: r.Backend}, true
}

// further are the words before the further lines of an entry, in English.
var further = map[string]bool{"DETAIL": true, "HINT": true, "QUERY": true, "CONTEXT": true, "LOCATION": true, "BACKTRACE": true,
	"STATEMENT": true}

// line takes a line of stderr. An entry has a line for each of its parts, each with the prefix, and in a part's further lines a tab.
func (d *Decoder) line(line string, raw []byte, tell func(Entry)) {
	if strings.HasPrefix(line, "\t") {
		return
	}
	prefix, message, ok := strings.Cut(line, ":  ")
	if !ok {
		return
	}
	word := strings.TrimRight(prefix, " \u00a0") // some languages have a space before the colon
	if n := strings.LastIndexAny(word, " \t:]>,|"); n >= 0 {
		word = word[n+1:]
	}
	state := stateIn(strings.TrimSuffix(prefix, word))
	switch {
	case word == "CONTEXT" && d.opened:
		if d.open.Context == "" {
			d.open.Context = message
		}
		return
	case further[word], d.opened && state != "" && state == d.open.State && word != d.open.Severity && !english[word]:
		return // a further line in another language
	}
	d.End(tell)
	if d.want == nil || d.want(raw) {
		d.open, d.opened = Entry{Severity: word, State: state, Message: message}, true
	}
}

// english are the severities as English has them.
var english = map[string]bool{"LOG": true, "ERROR": true, "FATAL": true, "PANIC": true, "WARNING": true, "NOTICE": true, "INFO": true}

// stateIn finds in a prefix what log_line_prefix puts there for %e, of the SQLSTATEs that are evidence; "" for none of them.
func stateIn(prefix string) string {
	for _, s := range strings.FieldsFunc(prefix, func(r rune) bool { return r < '0' || r > '9' && r < 'A' || r > 'Z' && r < 'a' || r > 'z' }) {
		if states[s] {
			return s
		}
	}
	return ""
}
