package foreign

import (
	"cmp"
	"context"
	"errors"
	"io/fs"
	"os"
	"os/user"
	"regexp"
	"strconv"
	"strings"
	"syscall"

	"mainstay/controller/osuser"
	"mainstay/fencing/program"
)

// mostAnswer is how many bytes of an answer are read: a list of ten thousand WAL segments takes two million.
const mostAnswer = 64 << 20

// runner runs one of the programs as its user.
type runner struct {
	of   string // for messages
	path string
	user osuser.User
	name string // of the user, "" for our own
}

func ourselves() osuser.User {
	return osuser.User{UID: uint32(os.Geteuid()), GID: uint32(os.Getegid())}
}

// call is one run.
type call struct {
	doing string
	args  []string
	stop  syscall.Signal
	line  func(string)
	most  int // bytes of the answer that are kept, 0 for mostAnswer
}

// run returns the answer of a program whatever its exit code, and an error if it could not be asked or did not answer in time.
func (r *runner) run(ctx context.Context, c call) (program.Ended, error) {
	home := "/"
	if u, err := user.LookupId(strconv.Itoa(int(r.user.UID))); err == nil {
		home = u.HomeDir
	}
	e, err := program.RunApart(ctx, program.Call{
		Path: r.path, Args: c.args, As: r.user.Credential(), Stop: c.stop, Line: c.line, Most: cmp.Or(c.most, mostAnswer),
		Env: []string{"HOME=" + home, "USER=" + r.name, "LOGNAME=" + r.name},
	})
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return e, r.failed(c.doing, ErrNoProgram, r.path)
	case err != nil:
		return e, r.failed(c.doing, err, "")
	case e.Cut && c.most == 0:
		return e, r.failed(c.doing, ErrAnswer, "it is longer than 64 MiB")
	}
	return e, nil
}

func (r *runner) failed(doing string, reason error, said string) error {
	return &Error{Of: r.of, Doing: doing, Err: reason, Said: oneLine(said)}
}

var versionNumber = regexp.MustCompile(`\b(\d+)\.(\d+)(?:\.\d+)*`)

// atLeast finds the version in a program's words, and refuses one below major.minor.
func (r *runner) atLeast(said string, major, minor int) (string, error) {
	const doing = "ask its version"
	m := versionNumber.FindStringSubmatch(said)
	if m == nil {
		return "", r.failed(doing, ErrAnswer, said)
	}
	have, err := strconv.Atoi(m[1])
	have2, err2 := strconv.Atoi(m[2])
	if err != nil || err2 != nil {
		return "", r.failed(doing, ErrAnswer, said)
	}
	if have < major || have == major && have2 < minor {
		return m[0], r.failed(doing, ErrTooOld, m[0]+"; needed is "+strconv.Itoa(major)+"."+strconv.Itoa(minor))
	}
	return m[0], nil
}

// newer tells whether a version that atLeast returned is major.minor or newer.
func newer(version string, major, minor int) bool {
	var r runner
	_, err := r.atLeast(version, major, minor)
	return err == nil
}

// lastWords is what a program that failed said last: its errors, else all of it.
func lastWords(e program.Ended) string {
	text := strings.TrimSpace(e.Stderr)
	if text == "" {
		text = strings.TrimSpace(e.Stdout)
	}
	if at := strings.Index(text, "ERROR:"); at >= 0 {
		text = strings.TrimSpace(text[at+len("ERROR:"):])
	}
	if text == "" {
		text = "it says nothing"
	}
	return "exit code " + strconv.Itoa(e.Code) + ": " + text
}
