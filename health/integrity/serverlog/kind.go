package serverlog

import (
	"bytes"
	"regexp"
	"strings"
)

// Kind is what an entry is evidence of. The zero value: of nothing.
type Kind string

const (
	// Damage: a page, an index or a file is not what it must be. SQLSTATEs XX001 and XX002, and files of the data that are not there.
	Damage Kind = "damage"
	// Storage: the disk failed to read, write or sync (58030), or a checkpoint failed.
	Storage Kind = "storage"
	// Panic: the server ended itself for another reason than a full disk.
	Panic Kind = "panic"
	// Internal: an internal error (XX000). Damage may cause one, and so may anything else.
	Internal Kind = "internal"
)

// SQLSTATEs (errcodes.txt).
const (
	dataCorrupted  = "XX001"
	indexCorrupted = "XX002"
	internalError  = "XX000"
	ioError        = "58030"
	undefinedFile  = "58P01"
	diskFull       = "53100"
)

var states = map[string]bool{dataCorrupted: true, indexCorrupted: true, internalError: true, ioError: true, undefinedFile: true,
	diskFull: true}

// needles are in every record that may be evidence: a SQLSTATE, a severity, or a part of an English message.
var needles = func() (all [][]byte) {
	for _, s := range []string{"XX00", ioError, undefinedFile, "PANIC", "PANIK", "checkpointer", "invalid page", "chunk number",
		"could not read block", "could not write block", "could not fsync", "could not access status of transaction", "Input/output error",
		"invalid pages", "could not open file", "not a btree", "re-find parent key", "left-link", "corrupted"} {
		all = append(all, []byte(s))
	}
	return all
}()

// MayBeEvidence tells whether a text may hold evidence. It is quick, and for whole pieces of a log as well.
func MayBeEvidence(text []byte) bool {
	for _, n := range needles {
		if bytes.Contains(text, n) {
			return true
		}
	}
	return false
}

var (
	// ofData finds the name of a file of the data, as messages quote it in every language.
	ofData = regexp.MustCompile(`\b(?:(?:base|pg_tblspc|global|pg_xact|pg_multixact)/[0-9A-Za-z_./]*[0-9A-Fa-f]+(?:_[a-z]+)?)\b`)
	// saysDamage and saysStorage find in English what has no SQLSTATE in the log.
	saysDamage = regexp.MustCompile(`^(?:invalid page in block |\d+ invalid pages among blocks |(?:unexpected|missing) chunk number |` +
		`could not access status of transaction |could not read blocks? .*: read only |WAL contains references to invalid pages|` +
		`index "[^"]*" (?:is not a btree|contains (?:unexpected zero|corrupted) page)|failed to re-find parent key in index |` +
		`right sibling's left-link doesn't match|left link changed unexpectedly|corrupted (?:page pointers|item|line pointer))`)
	saysStorage = regexp.MustCompile(`^could not (?:read|write|fsync|open|extend|truncate|fdatasync) .*: Input/output error`)
	saysNoFile  = regexp.MustCompile(`^could not open file .*: No such file or directory`)
	// saysSync finds what a checkpoint could not do.
	saysSync = regexp.MustCompile(`^could not (?:fsync file|write blocks? \S+ in file) `)
	// raised finds the context of an error that a session's own statement raised, or that a foreign server did.
	raised = regexp.MustCompile(`\bat RAISE\b|remote SQL command`)
)

// Kind is what the entry is evidence of; "" for nothing.
func (e Entry) Kind() Kind {
	if raised.MatchString(e.Context) {
		return ""
	}
	isPanic := e.Severity == "PANIC" || e.Severity == "PANIK"
	bare := e.State == "" // the log has no SQLSTATEs, or none of those that count
	switch {
	case e.State == diskFull:
		return ""
	case e.State == dataCorrupted, e.State == indexCorrupted, (bare || e.State == internalError) && saysDamage.MatchString(e.Message):
		return Damage
	case (e.State == undefinedFile || bare && saysNoFile.MatchString(e.Message)) && ofData.MatchString(e.Message):
		return Damage
	case e.State == ioError, bare && saysStorage.MatchString(e.Message):
		return Storage
	case bare && strings.HasSuffix(e.Message, ": No space left on device"):
		return ""
	case e.Backend == "checkpointer" && (isPanic || e.Severity == "ERROR" || e.State == internalError),
		isPanic && saysSync.MatchString(e.Message):
		return Storage
	case isPanic:
		return Panic
	case e.State == internalError:
		return Internal
	}
	return ""
}

// one finds a number that stands alone.
var one = regexp.MustCompile(`\b\d+\b`)

// path finds a relation's file, by its path below the data.
var path = regexp.MustCompile(`\b(?:base|pg_tblspc|global)/[0-9A-Za-z_/]+`)

// Page is the page that an entry says to be invalid, in any language where its SQLSTATE is known; file is "" for none.
func (e Entry) Page() (file, block string) {
	if e.State != dataCorrupted {
		return "", ""
	}
	files := path.FindAllString(e.Message, -1)
	if len(files) != 1 {
		return "", ""
	}
	blocks := one.FindAllString(strings.Replace(e.Message, files[0], "", 1), -1)
	if len(blocks) != 1 {
		return "", ""
	}
	return files[0], blocks[0]
}
