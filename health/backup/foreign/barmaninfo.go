package foreign

import (
	"encoding/json"
	"fmt"
	"strconv"

	"mainstay/controller/platform"
)

// What Barman says in JSON, as far as it is used. Pointers are what must be there.
type (
	barmanListed struct {
		ID *string `json:"backup_id"`
	}
	barmanShown struct {
		ID          *string `json:"backup_id"`
		Status      *string `json:"status"`
		Error       string  `json:"error"`
		Type        string  `json:"backup_type"` // from 3.11 on
		SystemID    string  `json:"system_id"`
		Tablespaces []struct {
			Name string `json:"name"`
			OID  uint32 `json:"oid"`
		} `json:"tablespaces"`
		Base    *barmanBase `json:"base_backup_information"`
		Catalog struct {
			Parent string `json:"parent_backup_id"`
		} `json:"catalog_information"`
		ClusterSize int64 `json:"cluster_size_bytes"` // from 3.11 on
	}
	barmanBase struct {
		BeginLSN  *platform.LSN `json:"begin_lsn"`
		EndLSN    *platform.LSN `json:"end_lsn"`
		BeginWAL  *string       `json:"begin_wal"`
		EndWAL    *string       `json:"end_wal"`
		BeginTime string        `json:"begin_time_timestamp"`
		EndTime   string        `json:"end_time_timestamp"`
		DiskUsage int64         `json:"disk_usage_bytes"`  // 3.4
		Size      int64         `json:"backup_size_bytes"` // newer
		Method    string        `json:"backup_method"`
	}
)

// answerOf is the part of an answer that is of the server. Barman says its errors and notes in the same object.
func answerOf(text, server string, to any) error {
	var all map[string]json.RawMessage
	if err := json.Unmarshal([]byte(text), &all); err != nil {
		return fmt.Errorf("%w: %v", ErrAnswer, err)
	}
	mine, ok := all[server]
	if !ok {
		return fmt.Errorf("%w: it has nothing of the server", ErrAnswer)
	}
	if err := json.Unmarshal(mine, to); err != nil {
		return fmt.Errorf("%w: %v", ErrAnswer, err)
	}
	return nil
}

// parseBackupList reads the ids from `barman -f json list-backup`.
func parseBackupList(text, server string) (ids []string, err error) {
	var all []barmanListed
	if err := answerOf(text, server, &all); err != nil {
		return nil, err
	}
	for n, b := range all {
		if b.ID == nil {
			return nil, fmt.Errorf("%w: backup[%d] has no backup_id", ErrAnswer, n)
		}
		ids = append(ids, *b.ID)
	}
	return ids, nil
}

// barmanStates are Barman's words for a State.
var barmanStates = map[string]State{
	"DONE": Done, "WAITING_FOR_WALS": Waits, "FAILED": Failed, "EMPTY": Running, "STARTED": Running, "SYNCING": Running,
}

// parseBackup reads `barman -f json show-backup`.
func parseBackup(text, server string) (Backup, error) {
	var shown barmanShown
	if err := answerOf(text, server, &shown); err != nil {
		return Backup{}, err
	}
	if shown.ID == nil || shown.Status == nil {
		return Backup{}, fmt.Errorf("%w: a backup has no backup_id or no status", ErrAnswer)
	}
	state, known := barmanStates[*shown.Status]
	if !known {
		return Backup{}, fmt.Errorf("%w: backup %s has the status %q", ErrAnswer, *shown.ID, *shown.Status)
	}
	b := Backup{ID: *shown.ID, Kind: Full, State: state, Problem: oneLine(shown.Error), SystemID: shown.SystemID}
	if shown.Type == "incremental" {
		b.Kind, b.Base = Incremental, shown.Catalog.Parent
	}
	if state != Done && state != Waits {
		return b, nil
	}
	if err := shown.Base.add(&b); err != nil {
		return Backup{}, fmt.Errorf("backup %s: %w", b.ID, err)
	}
	if b.Kind == Incremental && b.Base == "" {
		return Backup{}, fmt.Errorf("%w: the incremental backup %s has no parent_backup_id", ErrAnswer, b.ID)
	}
	if shown.ClusterSize > 0 {
		b.Size = shown.ClusterSize
	}
	for _, t := range shown.Tablespaces {
		b.tablespaces = append(b.tablespaces, tablespace{t.Name, t.OID})
	}
	return b, nil
}

func (s *barmanBase) add(b *Backup) error {
	if s == nil || s.BeginLSN == nil || s.EndLSN == nil || s.BeginWAL == nil || s.EndWAL == nil {
		return fmt.Errorf("%w: it has no begin or end in base_backup_information", ErrAnswer)
	}
	var began, ended bool
	if b.Began, began = seconds(s.BeginTime); !began {
		return fmt.Errorf("%w: its begin_time_timestamp is %q", ErrAnswer, s.BeginTime)
	}
	if b.Ended, ended = seconds(s.EndTime); !ended {
		return fmt.Errorf("%w: its end_time_timestamp is %q", ErrAnswer, s.EndTime)
	}
	b.Start, b.Stop, b.First, b.Last = *s.BeginLSN, *s.EndLSN, *s.BeginWAL, *s.EndWAL
	b.Stored = max(s.DiskUsage, s.Size)
	b.Size = b.Stored
	if b.segmentLength = segmentSize(b.Start, b.First); b.segmentLength == 0 {
		return fmt.Errorf("%w: its begin %s is not in %q", ErrAnswer, b.Start, b.First)
	}
	b.Timeline = timelineOf(b.First)
	return nil
}

// folder is the name of a tablespace's folder in a scratch.
func (t tablespace) folder() string { return strconv.FormatUint(uint64(t.OID), 10) }
