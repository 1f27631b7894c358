package structure

import (
	"context"
	"errors"
	"net"
	"regexp"
	"strconv"
	"strings"

	"github.com/lib/pq"

	"mainstay/controller/pgdial"
)

// fate is what an error of a statement says.
type fate int

const (
	fine     fate = iota
	broken        // the server reports that data is wrong, or cannot be read
	doubtful      // an internal error, which damage may have caused, or a relation that is gone
	again         // nothing about the data: a conflict, a lock, a deadline, a lost session
	lost          // the session ended while the statement ran, which lib/pq does not explain
	changed       // the relation is not as long as it was
	refused       // the check cannot be done
)

// fateOf judges an error by its SQLSTATE. The caller has made sure that the extension's library is there, so that a missing file (58P01) is
// one of the data.
func fateOf(err error) fate {
	if err == nil {
		return fine
	}
	state := pgdial.SQLState(err)
	switch {
	case state == "XX001", state == "XX002", state == "58030", state == "58P01":
		return broken
	case state == "XX000", state == "42P01":
		return doubtful
	case state == "22023":
		return changed
	case state == "40001", state == "40P01", state == "55P03", strings.HasPrefix(state, "57"), strings.HasPrefix(state, "53"),
		strings.HasPrefix(state, "08"):
		return again
	case state != "":
		return refused
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled), errors.Is(err, pgdial.ErrLost), isDial(err):
		return again
	default:
		return lost
	}
}

func isDial(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && op.Op == "dial"
}

// text is what the server said, with its detail, in one line.
func text(err error) string {
	var answer *pq.Error
	if !errors.As(err, &answer) {
		return err.Error()
	}
	s := answer.Message
	if answer.Detail != "" {
		s += " (" + answer.Detail + ")"
	}
	return strings.Join(strings.Fields(s), " ")
}

var (
	blockOf = regexp.MustCompile(`(?:\btid=\(|\bblock[= ]|\bblocks |heap tuple \()(\d+)`)
	// fileOf is how the server names the file of a page that it could not read.
	fileOf = regexp.MustCompile(`\b(?:relation|file) "?((?:base/\d+|global|pg_tblspc/\d+/[^/ "]+/\d+)/\d+)`)
	status = regexp.MustCompile(`access status of transaction|"pg_(?:xact|multixact)`)
)

// evidence makes a finding of an error. otherwise is the kind where the text names none.
func evidence(err error, otherwise Kind) Finding {
	f := Finding{Kind: otherwise, Text: text(err)}
	if m := blockOf.FindStringSubmatch(f.Text); m != nil {
		if n, err := strconv.ParseInt(m[1], 10, 64); err == nil {
			f.Block = &n
		}
	}
	switch s := f.Text; {
	case pgdial.SQLState(err) == "XX000":
		f.Kind = Failure
	case status.MatchString(s):
		f.Kind = BadStatus
	case strings.HasPrefix(s, "could not open file"):
		f.Kind = MissingFile
	case strings.HasPrefix(s, "invalid page"), strings.HasPrefix(s, "could not read block"):
		f.Kind = BadPage
	case strings.Contains(s, "lacks matching index tuple"):
		f.Kind, f.Block = MissingEntry, nil // the block that it names is the table's
	case strings.Contains(s, "uniqueness is violated"):
		f.Kind = Duplicate
	}
	return f
}

// rowKind is the kind of what verify_heapam reports.
func rowKind(message string) Kind {
	if strings.Contains(strings.ToLower(message), "toast") {
		return BadTOAST
	}
	return BadRow
}
