package device

import (
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"unicode"

	"golang.org/x/sys/unix"

	"mainstay/fencing/program"
)

const mostSecret = 4096

// readSecret reads the one line of a secret's file. The file must belong to root or to the user of this process, and must not be
// accessible to others or writable by a group.
func readSecret(path string) (string, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return "", err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return "", err
	}
	if err := private(info); err != nil {
		return "", fmt.Errorf("%s %w", path, err)
	}
	raw, err := io.ReadAll(io.LimitReader(f, mostSecret+1))
	if err != nil {
		return "", err
	}
	if err := oneLine(string(raw)); err != nil {
		return "", fmt.Errorf("%s %w", path, err)
	}
	return strings.TrimRight(string(raw), "\r\n"), nil
}

func private(info os.FileInfo) error {
	mode := info.Mode()
	if !mode.IsRegular() {
		return errors.New("is not a file")
	}
	if mode.Perm()&0o027 != 0 {
		return fmt.Errorf("has mode %04o, open to others; chmod 600 it", mode.Perm())
	}
	if st, ok := info.Sys().(*syscall.Stat_t); ok && st.Uid != 0 && int(st.Uid) != os.Geteuid() {
		return fmt.Errorf("belongs to user %d; chown it to root or to the controller's user", st.Uid)
	}
	return nil
}

// oneLine checks that a secret is one line that agents read unchanged: they drop surrounding spaces and quotes.
func oneLine(raw string) error {
	s := strings.TrimRight(raw, "\r\n")
	switch {
	case len(raw) > mostSecret:
		return errors.New("is longer than 4096 bytes; it must contain only the secret")
	case s == "":
		return errors.New("is empty; write the secret into it")
	case strings.ContainsFunc(s, unicode.IsControl):
		return errors.New("has more than one line; it must contain only the secret")
	case strings.TrimSpace(s) != s, len(s) > 1 && s[0] == '"' && s[len(s)-1] == '"':
		return errors.New("has spaces or quotes around the secret, which agents drop; choose another secret")
	}
	return nil
}

// scrub replaces secrets, in the forms in which programs print them, by stars.
func scrub(text string, secrets []string) string {
	var forms []string
	for _, s := range secrets {
		quoted := strings.ReplaceAll(s, "'", `'"'"'`) // as a shell needs it
		forms = append(forms, s, quoted, url.QueryEscape(s), url.PathEscape(s), base64.StdEncoding.EncodeToString([]byte(s)))
	}
	slices.SortFunc(forms, func(a, b string) int { return len(b) - len(a) })
	for _, f := range forms {
		if f != "" {
			text = strings.ReplaceAll(text, f, "***")
		}
	}
	return text
}

const mostReason = 300 // bytes of a device's output

// stamp is the prefix of each message of ClusterLabs' agents.
var stamp = regexp.MustCompile(`^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d+ [A-Z]+: `)

// words returns the last useful output of a program, as one short line without secrets.
func words(e program.Ended, secrets []string) string {
	text := strings.TrimSpace(e.Stderr)
	if text == "" {
		text = strings.TrimSpace(e.Stdout)
	}
	var said []string
	for line := range strings.Lines(scrub(text, secrets)) {
		line = strings.Map(func(r rune) rune {
			if !unicode.IsPrint(r) {
				return ' '
			}
			return r
		}, strings.ToValidUTF8(line, "?"))
		line = stamp.ReplaceAllString(strings.TrimSpace(line), "")
		if line != "" && !strings.Contains(line, "for usage") {
			said = append(said, line)
		}
	}
	out := strings.Join(said[max(0, len(said)-2):], " / ")
	if len(out) > mostReason {
		out = "…" + strings.ToValidUTF8(out[len(out)-mostReason:], "")
	}
	return out
}
