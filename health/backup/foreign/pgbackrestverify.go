package foreign

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// verifySaid is what `pgbackrest verify --output=text --verbose` says. Its exit code is 0 also where a backup is damaged, up to 2.60 at
// least, and the status of a stanza is "ok" also where segments or a backup's manifest are missing.
type verifySaid struct {
	status  string
	reasons []string          // of the stanza, such as an unusable backup.info
	backups map[string]string // by label: valid, invalid, manifest missing, in-progress
	files   map[string]string // by label, how many files were checked
	damage  []verifyDamage
	wal     string // how many segments were checked and are valid
}

type verifyDamage struct{ path, what string }

var (
	verifyBackup  = regexp.MustCompile(`^\s*backup: (\S+), status: (.+?), total files checked: (\d+), total valid files: (\d+)`)
	verifyArchive = regexp.MustCompile(`^\s*archiveId: (\S+), total WAL checked: (\d+), total valid WAL: (\d+)`)
	verifyStatus  = regexp.MustCompile(`^\s*status: (\S+)\s*$`)
	verifyFile    = regexp.MustCompile(`\b(invalid checksum|invalid size|file missing|unable to open missing file|unable to read file) '([^']+)'`)
	verifyResult  = regexp.MustCompile(`\binvalid result (\S+): (.*)`)
	verifyReason  = regexp.MustCompile(`^\s*(No usable \S+ file.*|.*\b(?:mismatch|no usable)\b.*)$`)
)

// parseVerify reads the log and the result. The result is in both, with the same words.
func parseVerify(text string) verifySaid {
	v := verifySaid{backups: map[string]string{}, files: map[string]string{}}
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\n")
		if m := verifyBackup.FindStringSubmatch(line); m != nil {
			v.backups[m[1]], v.files[m[1]] = m[2], m[3]
		} else if m := verifyArchive.FindStringSubmatch(line); m != nil {
			v.wal = m[3] + " of " + m[2] + " WAL segments of " + m[1] + " are valid"
		} else if m := verifyStatus.FindStringSubmatch(line); m != nil {
			v.status = m[1]
		} else if m := verifyFile.FindStringSubmatch(line); m != nil {
			v.damage = append(v.damage, verifyDamage{m[2], m[1]})
		} else if m := verifyResult.FindStringSubmatch(line); m != nil {
			v.damage = append(v.damage, verifyDamage{m[1], "unreadable: " + m[2]})
		} else if m := verifyReason.FindStringSubmatch(line); m != nil && !slices.Contains(v.reasons, m[1]) {
			v.reasons = append(v.reasons, m[1])
		}
	}
	return v
}

// judge says what of it concerns a backup. An answer that does not name the backup is an error.
func (v verifySaid) judge(e *Evidence, b Backup) error {
	status, named := v.backups[b.ID]
	if len(v.reasons) > 0 {
		return fmt.Errorf("%w: %s", ErrUnreadable, strings.Join(v.reasons, "; "))
	}
	if v.status != "ok" && v.status != "error" || !named {
		return fmt.Errorf("%w: it gives no status of backup %s", ErrAnswer, b.ID)
	}
	for _, d := range v.damage {
		label, file, _ := strings.Cut(d.path, "/")
		name, _, isWAL := archiveName(d.path)
		switch {
		case label == b.ID || slices.Contains(b.Needs, label):
			e.found("%s of backup %s: %s", file, label, d.what)
		case isWAL && label == b.archive && name >= b.First && name <= b.Last:
			e.found("segment %s: %s", name, d.what)
		case isWAL && label == b.archive && name > b.Last:
			e.later("segment %s: %s", name, d.what)
		}
	}
	if status != "valid" {
		e.found("pgbackrest verify: %s", status)
	}
	e.checked("pgbackrest verify: %s files of the backup, %s", v.files[b.ID], v.wal)
	return nil
}
