package api

import (
	"cmp"
	"context"
	"fmt"
	"strings"
	"time"
	"unicode"

	"mainstay/controller/decide"
	"mainstay/controller/platform"
	"mainstay/controller/state"
	"mainstay/controller/wire"
	"mainstay/health"
)

// backups is the catalogue of a cluster's backups, with what runs.
func (a *API) backups(ctx context.Context, q *request) (any, error) {
	s, err := a.subjectOf(ctx, q)
	if err != nil {
		return nil, err
	}
	b := s.backups()
	out := wire.Backups{Cluster: s.c.Name, Plan: s.conf.Backup, Job: b.Job, Last: b.Last, Backups: []platform.Backup{}}
	for _, r := range b.Records {
		r.Engine = nil // for agents alone
		out.Backups = append(out.Backups, r)
	}
	if b.Job != nil {
		if r := s.reported(b.Job.Member); r != nil && r.Job != nil && r.Job.Number == b.Job.Number {
			out.Progress = r.Job
		}
	}
	if s.conf.Backup != nil {
		standing := decide.BackupStanding(s.snapshot.Input, s.c.Name)
		out.Archiver, out.DueSeconds, out.Waits = standing.Archiver, standing.Due.Seconds(), standing.Waits
		if r := s.reported(standing.Archiver); r != nil {
			out.Archive = r.Archive
		}
	}
	for _, p := range s.snapshot.Last.Problems {
		if d, ok := health.Describe(p.Kind); ok && d.About == health.AboutBackups && p.Cluster == s.c.Name {
			out.Problems = append(out.Problems, p)
		}
	}
	return out, nil
}

// backupBrief is the standing of a cluster's backups for status, nil where there is no plan.
func backupBrief(in decide.Input, conf *platform.Cluster) *wire.BackupBrief {
	if conf.Backup == nil {
		return nil
	}
	var out wire.BackupBrief
	b := in.State.BackupsOf(conf.Name)
	age := func(at string) time.Duration {
		t, err := time.Parse(time.RFC3339, at)
		if err != nil {
			return 0
		}
		return max(0, in.Wall.Sub(t))
	}
	if newest := b.Newest(); newest != nil {
		out.Newest, out.Age = newest.ID, age(newest.Ended)
	}
	last := ""
	for i := range b.Records {
		for _, t := range b.Records[i].Tests {
			if t.Good && t.At > last {
				last, out.Tested, out.TestAge, out.Took = t.At, t.Target, age(t.At), t.Took
			}
		}
	}
	return &out
}

func (s *subject) backups() *state.Backups { return s.snapshot.Input.State.BackupsOf(s.c.Name) }

// reported is what the agent of a member said last of backups; nil for nothing.
func (s *subject) reported(member string) *health.Backups {
	if m := s.conf.Member(member); m != nil {
		if r := s.snapshot.Input.View.Member(m); r != nil {
			return r.Backups
		}
	}
	return nil
}

func (a *API) changeBackups(ctx context.Context, q *request) (any, error) {
	var req wire.BackupRequest
	if err := q.body(&req); err != nil {
		return nil, err
	}
	if req.Cancel == (req.Work != "") {
		return nil, badRequest(`give one of the fields "work" and "cancel"`)
	}
	return a.propose(ctx, q, req.DryRun, func(s *subject) (planned, error) { return s.changeBackups(req) })
}

func (s *subject) changeBackups(req wire.BackupRequest) (planned, error) {
	b := s.backups()
	if req.Cancel {
		if b.Job == nil {
			return planned{}, refused("nothing is running for the backups of %s", s.c.Name)
		}
		return planned{cmd: state.Command{Backups: &state.ChangeBackups{Cancel: b.Job.Number}}, answer: wire.OperationAnswer{Plan: []string{
			fmt.Sprintf("%s of %s on %s ends, and nothing is released", b.Job.Work, b.Job.Backup, b.Job.Member)}}}, nil
	}
	if s.conf.Backup == nil {
		return planned{}, refused("cluster %s has no backup section in the platform file: it names the targets; `mainstay help backups` has an "+
			"example", s.c.Name)
	}
	member, why := decide.ChooseBackupMember(s.snapshot.Input, s.c.Name, req.Member)
	if member == "" {
		return planned{}, refused("no member's agent can do that now: %s", strings.Join(why, "; "))
	}
	j := platform.BackupJob{Work: req.Work, Member: member, Backup: req.Backup, Target: req.Target, Until: req.Until, Accepted: req.Accept}
	var p planned
	var err error
	switch req.Work {
	case platform.BackupMake:
		p = s.makeBackup(&j, req.Full)
	case platform.BackupTest:
		p, err = s.testBackup(&j)
	case platform.BackupRemove:
		p, err = s.removeBackup(&j)
	case platform.BackupRestore:
		p, err = s.restoreBackup(&j)
	default:
		return planned{}, badRequest(`field "work" is %q: want make, test, remove or restore`, req.Work)
	}
	if err != nil {
		return planned{}, err
	}
	p.cmd.Backups = &state.ChangeBackups{Begin: &j}
	if err := state.CheckBackups(s.snapshot.Input.State, state.Command{Cluster: s.c.Name, By: s.by, Backups: p.cmd.Backups}); err != nil {
		return planned{}, refused("%s", err)
	}
	p.answer.Target = member
	if held := decide.BackupsHeld(s.snapshot.Input, s.c.Name); held != "" {
		p.answer.Warnings = append(p.answer.Warnings, "it begins only when that is over: "+held)
	}
	return p, nil
}

func (s *subject) makeBackup(j *platform.BackupJob, full bool) (p planned) {
	kind := "a full copy"
	if !full {
		if j.Base = decide.BackupBase(s.snapshot.Input, s.c.Name); j.Base != "" {
			kind = "what has changed since " + j.Base
		}
	}
	plan := s.conf.Backup
	if with := plan.With; with != nil {
		kind = "a full backup"
		if j.Base != "" {
			kind = "a backup of what has changed"
		}
		p.answer.Plan = []string{
			fmt.Sprintf("the agent of %s has %s make %s of %s, in its own repository and by its own configuration", j.Member, with.Program, kind,
				with.Name),
			with.Program + " restores it into a folder of that agent's staging; a server there, which reaches nothing else, replays its WAL, " +
				"answers " + countOf(len(plan.Checks), "check") + ", and is stopped; then all its pages are read",
			"it counts as good only after that",
		}
		return p
	}
	p.answer.Plan = []string{
		"the agent of " + j.Member + " copies " + kind + " of its data by pg_basebackup, and verifies each file against the manifest",
		fmt.Sprintf("a server on that copy, which reaches nothing else, replays its WAL, answers %s, and is stopped; then all its pages are read",
			countOf(len(plan.Checks), "check")),
		"only then is it released to " + strings.Join(plan.Targets, ", ") + ", and read back from there whole",
	}
	if j.Member == s.c.Primary {
		p.answer.Warnings = []string{j.Member + " is the primary: no replica can make the backup now"}
	}
	return p
}

func countOf(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// chosen is the backup that work is about: the one named, or the newest good one.
func (s *subject) chosen(j *platform.BackupJob) (*platform.Backup, error) {
	b := s.backups()
	if j.Backup == "" {
		newest := b.Newest()
		if newest == nil {
			return nil, refused("cluster %s has no good backup; run `mainstay backup run %[1]s`", s.c.Name)
		}
		j.Backup = newest.ID
	}
	r := b.Record(j.Backup)
	if r == nil {
		return nil, refused("there is no backup %s of cluster %s; `mainstay backup list %[2]s` lists them", j.Backup, s.c.Name)
	}
	return r, nil
}

func (s *subject) testBackup(j *platform.BackupJob) (p planned, err error) {
	if newest := s.backups().Candidate(s.conf.Backup); j.Backup == "" && newest != nil {
		j.Backup = newest.ID
	}
	r, err := s.chosen(j)
	if err != nil {
		return p, err
	}
	j.Target = cmp.Or(j.Target, decide.BackupTestTarget(s.snapshot.Input, s.c.Name, r))
	if r.Foreign != nil {
		p.answer.Plan = []string{
			fmt.Sprintf("the agent of %s has %s restore %s, its %s", j.Member, r.Foreign.Program, r.ID, r.Foreign.Label),
			"a server on that copy, which reaches nothing else, replays all WAL of that archive and is checked like a new backup",
			"the copy is removed; `mainstay backup show " + s.c.Name + " " + r.ID + "` keeps how long it took",
		}
		return p, nil
	}
	p.answer.Plan = []string{
		"the agent of " + j.Member + " fetches " + r.ID + " from " + j.Target + ", and compares it with its SHA-256 and its manifest",
		"a server on that copy, which reaches nothing else, replays its WAL and is checked like a new backup",
		"the copy is removed; `mainstay backup show " + s.c.Name + " " + r.ID + "` keeps how long it took",
	}
	return p, nil
}

func (s *subject) removeBackup(j *platform.BackupJob) (p planned, err error) {
	r, err := s.chosen(j)
	if err != nil {
		return p, err
	}
	var targets []string
	for _, receipt := range r.Receipts {
		targets = append(targets, receipt.Target)
	}
	p.answer.Plan = []string{r.ID + " is removed from " + strings.Join(targets, ", "),
		"WAL that only it needs is removed from the archive"}
	return p, nil
}

// longestPoint is the longest name of a restore point that PostgreSQL takes, in bytes.
const longestPoint = 63

// checkPoint refuses a point that is none, or several.
func checkPoint(u platform.RestorePoint) error {
	given := 0
	for _, set := range []bool{u.Latest, u.LSN != 0, u.Time != "", u.Name != ""} {
		if set {
			given++
		}
	}
	switch {
	case given > 1:
		return badRequest(`field "until" has %d points: give one of "latest", "lsn", "time" and "name"`, given)
	case len(u.Name) > longestPoint || strings.ContainsFunc(u.Name, unicode.IsControl):
		return badRequest(`field "until.name" is no name of a restore point: want at most %d bytes, without control characters`, longestPoint)
	}
	return nil
}

// restoreBackup plans a restore: from which backup, with which WAL, and how long the last one took.
func (s *subject) restoreBackup(j *platform.BackupJob) (p planned, err error) {
	if err := checkPoint(j.Until); err != nil {
		return p, err
	}
	if j.Backup == "" {
		if j.Backup, err = s.reaching(j.Until); err != nil {
			return p, err
		}
	}
	r, err := s.chosen(j)
	if err != nil {
		return p, err
	}
	j.Target = cmp.Or(j.Target, decide.BackupTestTarget(s.snapshot.Input, s.c.Name, r))
	p.answer.Plan = []string{fmt.Sprintf("the agent of %s fetches %s (taken from %s, consistent at %s, %.1f MB packed) from %s", j.Member,
		r.ID, r.Member, r.End, float64(r.Packed)/1e6, j.Target)}
	if r.Foreign != nil {
		p.answer.Plan[0] = fmt.Sprintf("the agent of %s has %s restore %s, its %s (consistent at %s, %.1f MB)", j.Member, r.Foreign.Program, r.ID,
			r.Foreign.Label, r.End, float64(r.Bytes)/1e6)
	}
	if chain := s.backups().Chain(r.ID); len(chain) > 1 {
		p.answer.Plan[0] += fmt.Sprintf(", and the %d that it is built on", len(chain)-1)
	}
	p.answer.Plan = append(p.answer.Plan, s.untilText(j.Until, r)+"; the copy is checked like a new backup",
		"it stays, stopped, in a folder of the agent's staging, whose path the end of this work says; no member is touched")
	if took, of := s.measured(); took > 0 {
		p.answer.Plan = append(p.answer.Plan, fmt.Sprintf("the last restore (%s) took %s", of, took.Round(time.Second/10)))
	}
	for _, part := range s.backups().Chain(r.ID) {
		if !part.Restorable() {
			p.answer.Warnings = append(p.answer.Warnings, part.ID+" is "+string(part.Verdict)+": "+part.Evidence)
		}
	}
	return p, nil
}

// reaching is the newest good backup from which a point can be reached, "" for the newest.
func (s *subject) reaching(until platform.RestorePoint) (string, error) {
	if _, err := time.Parse(time.RFC3339, until.Time); until.Time != "" && err != nil {
		return "", badRequest(`field "until.time" is %q: want RFC 3339, such as 2026-11-30T12:00:00Z`, until.Time)
	}
	r, oldest := s.backups().Reaching(until)
	if r != nil {
		return r.ID, nil
	}
	if oldest == nil {
		return "", nil // said by chosen
	}
	return "", refused("no good backup of %s was complete before that point: a restore reaches only what came after a backup, and the "+
		"oldest good one, %s, is consistent at %s and ended at %s; `mainstay backup list %[1]s` lists them", s.c.Name, oldest.ID, oldest.End,
		oldest.Ended)
}

// untilText says how far a restore replays, by what the archive is known to hold.
func (s *subject) untilText(until platform.RestorePoint, r *platform.Backup) string {
	if until == (platform.RestorePoint{}) {
		return "it replays to the end of the backup, " + r.End.String() + ": what was committed since is not in it"
	}
	holds := ""
	standing := decide.BackupStanding(s.snapshot.Input, s.c.Name)
	if m := s.reported(standing.Archiver); m != nil && m.Archive != nil {
		holds = fmt.Sprintf(" (the archive holds WAL up to %s)", max(m.Archive.Until, m.Archive.Partial))
	}
	switch {
	case until.Latest:
		return "it replays all WAL of the archive" + holds
	case until.LSN != 0:
		return "it replays WAL up to " + until.LSN.String() + holds
	case until.Time != "":
		return "it replays WAL up to the first commit after " + until.Time + holds
	}
	return "it replays WAL up to the restore point " + until.Name + holds
}

// measured is how long the newest good restore test took, and of which backup and target it was.
func (s *subject) measured() (took time.Duration, of string) {
	at := ""
	for _, r := range s.backups().Records {
		for _, t := range r.Tests {
			if t.Good && t.At > at {
				at, took, of = t.At, t.Took, r.ID+" from "+t.Target
			}
		}
	}
	return took, of
}
