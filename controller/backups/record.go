package backups

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"

	"mainstay/controller/platform"
	"mainstay/health/backup"
)

// recordOf is the catalogue's record of what the engine made. chain is what it is built on, the full one first.
func recordOf(r *backup.Record, chain []platform.Backup) platform.Backup {
	b := platform.Backup{ID: r.ID, Member: r.Member, Base: r.Base, SystemID: r.SystemID, Version: r.Version, Timeline: r.Timeline,
		Start: r.Start, End: r.End, Began: stamp(r.Began), Bytes: r.Size, Packed: r.Packed, WhyFull: r.FullFor,
		Evidence: r.Proof.Evidence}
	switch {
	case r.Proof.Verdict == backup.Bad:
		b.Verdict = platform.BackupBad
	case r.Proof.Verdict == backup.Good && len(r.Receipts) > 0:
		b.Verdict, b.Evidence = platform.BackupGood, ""
	case r.Proof.Verdict == backup.Good:
		b.Verdict, b.Evidence = platform.BackupUnfinished, strings.Join(notTaken(r), "; ")
	default:
		b.Verdict = platform.BackupUnfinished
	}
	b.FullSince = b.Began
	if b.Base != "" && len(chain) > 0 {
		b.FullSince = chain[0].Began
	}
	b.Steps, b.Results = stepsOf(r.Proof), resultsOf(r.Proof)
	for _, t := range r.Receipts {
		b.Receipts = append(b.Receipts, platform.BackupReceipt{Target: t.Target, Object: t.Name, Bytes: t.Size, SHA256: t.SHA256})
	}
	if raw, err := json.Marshal(r); err == nil && len(raw) < mostEngine {
		b.Engine = raw
	}
	return b
}

// notTaken are the targets that did not take a backup, each with the reason.
func notTaken(r *backup.Record) (all []string) {
	for _, name := range sortedKeys(r.Failed) {
		all = append(all, name+" did not take it: "+r.Failed[name])
	}
	return all
}

func stepsOf(p backup.Proof) (all []platform.BackupStep) {
	for _, s := range p.Steps {
		if last := len(all) - 1; last >= 0 && all[last].Name == string(s.Name) { // of each target
			all[last].Took += s.Took
			continue
		}
		all = append(all, platform.BackupStep{Name: string(s.Name), Took: s.Took})
	}
	return all
}

func resultsOf(p backup.Proof) (all []platform.CheckResult) {
	for _, c := range p.Checks {
		name := string(c.Kind)
		if c.Name != "" {
			name += " " + c.Name
		}
		all = append(all, platform.CheckResult{Name: name, Good: c.Verdict == backup.Good, Detail: c.Detail})
	}
	return all
}

// mostEngine is how much of the engine's record the catalogue takes. Without it no backup is built on this one.
const mostEngine = 60 << 10

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
