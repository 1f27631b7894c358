package foreign

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"mainstay/controller/platform"
)

// What `pgbackrest info --output=json` says, as far as it is used. Pointers are what must be there.
type (
	infoStanza struct {
		Name   *string `json:"name"`
		Status *struct {
			Code    *int   `json:"code"`
			Message string `json:"message"`
		} `json:"status"`
		Repo []struct {
			Key    int `json:"key"`
			Status struct {
				Code    int    `json:"code"`
				Message string `json:"message"`
			} `json:"status"`
		} `json:"repo"`
		Archive []struct {
			ID       string       `json:"id"`
			Database infoDatabase `json:"database"`
		} `json:"archive"`
		DB []struct {
			ID       int         `json:"id"`
			Repo     int         `json:"repo-key"`
			SystemID json.Number `json:"system-id"`
		} `json:"db"`
		Backup []infoBackup `json:"backup"`
	}
	infoDatabase struct {
		ID   int `json:"id"`
		Repo int `json:"repo-key"`
	}
	infoBackup struct {
		Label *string `json:"label"`
		Type  *string `json:"type"`
		Prior *string `json:"prior"` // null of a full one
		Error *bool   `json:"error"`
		LSN   *struct {
			Start, Stop *platform.LSN
		} `json:"lsn"`
		Archive *struct {
			Start, Stop *string
		} `json:"archive"`
		Timestamp *struct {
			Start, Stop *int64
		} `json:"timestamp"`
		Info *struct {
			Size       *int64
			Repository struct{ Delta int64 }
		} `json:"info"`
		Database  *infoDatabase `json:"database"`
		Reference []string      `json:"reference"`
		ErrorList []string      `json:"error-list"`
		Space     []struct {
			Name string `json:"name"`
			OID  uint32 `json:"oid"`
		} `json:"tablespace"`
	}
)

// Codes of the status of a stanza and of a repository.
const (
	statusOK        = 0
	statusNoStanza  = 1
	statusNoBackup  = 2
	statusNoData    = 3
	statusMixed     = 4 // the repositories differ
	statusNotFound  = 6 // not the backup that was asked for
	statusOtherwise = 99
)

// parseInfo reads the answer for one stanza. A repository that cannot be read is an error, also beside another that can: its backups would
// seem to be gone.
func parseInfo(text, stanza string) ([]Backup, error) {
	var all []infoStanza
	if err := json.Unmarshal([]byte(text), &all); err != nil {
		return nil, fmt.Errorf("%w: %v", ErrAnswer, err)
	}
	at := slices.IndexFunc(all, func(s infoStanza) bool { return s.Name != nil && *s.Name == stanza })
	if at < 0 {
		return nil, ErrUnknown
	}
	s := all[at]
	if s.Status == nil || s.Status.Code == nil {
		return nil, fmt.Errorf("%w: it has no status.code", ErrAnswer)
	}
	if err := s.readable(); err != nil {
		return nil, err
	}
	backups := make([]Backup, 0, len(s.Backup))
	for n, b := range s.Backup {
		if missing := b.missing(); missing != "" {
			return nil, fmt.Errorf("%w: backup[%d] has no %s", ErrAnswer, n, missing)
		}
		made, err := s.backup(b)
		if err != nil {
			return nil, fmt.Errorf("backup %s: %w", *b.Label, err)
		}
		backups = append(backups, made)
	}
	slices.SortStableFunc(backups, func(a, b Backup) int { return a.Ended.Compare(b.Ended) })
	return backups, nil
}

func (s infoStanza) readable() error {
	unknown := 0
	for _, r := range s.Repo {
		switch r.Status.Code {
		case statusOK, statusNoBackup, statusNotFound:
		case statusNoStanza, statusNoData:
			unknown++
		default:
			return fmt.Errorf("%w: repository %d: %s", ErrUnreadable, r.Key, r.Status.Message)
		}
	}
	switch *s.Status.Code {
	case statusOK, statusNoBackup, statusNotFound:
		return nil
	case statusMixed:
		if unknown < len(s.Repo) {
			return nil
		}
		return ErrUnknown
	case statusNoStanza, statusNoData:
		return ErrUnknown
	}
	return fmt.Errorf("%w: %s", ErrUnreadable, s.Status.Message)
}

// missing is the first field that must be there and is not.
func (b infoBackup) missing() string {
	switch {
	case b.Label == nil:
		return "label"
	case b.Type == nil:
		return "type"
	case b.Error == nil:
		return "error"
	case b.LSN == nil || b.LSN.Start == nil || b.LSN.Stop == nil:
		return "lsn"
	case b.Archive == nil || b.Archive.Start == nil || b.Archive.Stop == nil:
		return "archive"
	case b.Timestamp == nil || b.Timestamp.Start == nil || b.Timestamp.Stop == nil:
		return "timestamp"
	case b.Info == nil || b.Info.Size == nil:
		return "info.size"
	case b.Database == nil:
		return "database"
	}
	return ""
}

func (s infoStanza) backup(b infoBackup) (Backup, error) {
	made := Backup{
		ID: *b.Label, Kind: Kind(*b.Type), State: Done, Needs: b.Reference, Repo: b.Database.Repo,
		Start: *b.LSN.Start, Stop: *b.LSN.Stop, First: *b.Archive.Start, Last: *b.Archive.Stop,
		Began: time.Unix(*b.Timestamp.Start, 0).UTC(), Ended: time.Unix(*b.Timestamp.Stop, 0).UTC(),
		Size: *b.Info.Size, Stored: b.Info.Repository.Delta, damaged: b.ErrorList,
	}
	if made.Kind != Full && made.Kind != Differential && made.Kind != Incremental {
		return Backup{}, fmt.Errorf("%w: its type is %q", ErrAnswer, *b.Type)
	}
	if b.Prior != nil {
		made.Base = *b.Prior
	}
	if (made.Kind == Full) != (made.Base == "") {
		return Backup{}, fmt.Errorf("%w: its type is %s and its prior %q", ErrAnswer, made.Kind, made.Base)
	}
	if *b.Error {
		made.Problem = "pages with a wrong checksum were copied"
		if len(b.ErrorList) > 0 {
			made.Problem += ", in " + strings.Join(b.ErrorList, ", ")
		}
		made.Problem = oneLine(made.Problem)
	}
	if made.segmentLength = segmentSize(made.Start, made.First); made.segmentLength == 0 {
		return Backup{}, fmt.Errorf("%w: its start %s is not in %q", ErrAnswer, made.Start, made.First)
	}
	made.Timeline = timelineOf(made.First)
	for _, a := range s.Archive {
		if a.Database == *b.Database {
			made.archive = a.ID
		}
	}
	for _, d := range s.DB {
		if d.ID == b.Database.ID && d.Repo == b.Database.Repo {
			made.SystemID = d.SystemID.String()
		}
	}
	if made.archive == "" {
		return Backup{}, fmt.Errorf("%w: database %d of repository %d has no archive", ErrAnswer, b.Database.ID, b.Database.Repo)
	}
	for _, t := range b.Space {
		made.tablespaces = append(made.tablespaces, tablespace{t.Name, t.OID})
	}
	return made, nil
}

// archiveName takes the name of a segment from that of a file: NAME-SHA1, with a suffix where it is compressed.
func archiveName(file string) (name, sum string, ok bool) {
	base := file[strings.LastIndexByte(file, '/')+1:]
	if historyForm.MatchString(base) {
		return base, "", true
	}
	name, rest, found := strings.Cut(base, "-")
	if !found || !segmentForm.MatchString(name) {
		return "", "", false
	}
	sum, _, _ = strings.Cut(rest, ".")
	if _, err := strconv.ParseUint(sum[:min(len(sum), 8)], 16, 32); err != nil || len(sum) != 40 {
		return "", "", false
	}
	return name, sum, true
}

// parseArchive reads `pgbackrest repo-ls --recurse --output=json` of an archive. twice are segments that it holds in two versions.
func parseArchive(text string) (have archived, twice []string, err error) {
	var files map[string]struct {
		Type string `json:"type"`
	}
	if err := json.Unmarshal([]byte(text), &files); err != nil {
		return nil, nil, fmt.Errorf("%w: %v", ErrAnswer, err)
	}
	have = archived{}
	for file, f := range files {
		name, sum, ok := archiveName(file)
		if !ok || f.Type != "file" && f.Type != "link" {
			continue
		}
		if was, there := have[name]; there && was != sum {
			twice = append(twice, name)
		}
		have[name] = sum
	}
	slices.Sort(twice)
	return have, twice, nil
}
