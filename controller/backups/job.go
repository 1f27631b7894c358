package backups

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"go.uber.org/zap"

	"mainstay/controller/platform"
	"mainstay/controller/postgres"
	"mainstay/health"
	"mainstay/health/backup"
	"mainstay/health/backup/archive"
)

// withdrawn is how long leaders may answer without an order before the work ends that it was for.
const withdrawn = time.Minute

// errCancelled ends work that was cancelled: by an operator, or because its plan is gone. errWithdrawn ends work that no leader asks for
// any more.
var (
	errCancelled = errors.New("it was cancelled")
	errOperator  = fmt.Errorf("%w by an operator", errCancelled)
	errUnplanned = fmt.Errorf("%w: the platform file asks for no backups of the cluster any more", errCancelled)
	errWithdrawn = errors.New("no leader asks for it any more")
)

// whyCancelled is what ends work whose order says so.
func whyCancelled(o *order) error {
	if o.Plan == nil {
		return errUnplanned
	}
	return errOperator
}

// job is a piece of work while it runs. Host.mu guards last.
type job struct {
	order
	member string
	cancel context.CancelCauseFunc
	last   backup.Progress
}

// progress is what a report says of it; called with Host.mu held.
func (j *job) progress() *health.BackupProgress {
	p := &health.BackupProgress{Number: j.Job.Number, Step: cmp.Or(string(j.last.Step), "begins"), LeftSeconds: j.last.Left.Seconds()}
	if j.last.Percent > 0 {
		p.Percent = j.last.Percent
	}
	return p
}

// work does what leaders ask for, one piece at a time, the oldest first.
func (h *Host) work(ctx context.Context) error {
	for ctx.Err() == nil { // what it has interrupted is still ordered
		if j := h.next(); j != nil {
			h.do(ctx, j)
			continue
		}
		select {
		case <-ctx.Done():
		case <-h.news:
		}
	}
	return nil
}

// next is the work to begin now, nil for none.
func (h *Host) next() *job {
	h.mu.Lock()
	defer h.mu.Unlock()
	var best *job
	for member, o := range h.orders {
		if o.Job == nil || h.ended[member].Number == o.Job.Number || !o.Job.Cancel && (o.Plan == nil || o.Hold) {
			continue
		}
		if best == nil || o.Job.Number < best.Job.Number {
			best = &job{order: o, member: member}
		}
	}
	return best
}

// do does a piece of work, ends it where it is cancelled or withdrawn, and keeps what came of it.
func (h *Host) do(ctx context.Context, j *job) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	j.cancel = cancel
	h.mu.Lock()
	h.running = j
	h.mu.Unlock()
	h.o.Log.Info("work for backups begins", zap.String("member", j.member), zap.String("work", string(j.Job.Work)),
		zap.String("backup", j.Job.Backup), zap.Uint64("number", j.Job.Number))
	done := make(chan health.BackupEnded, 1)
	go func() { done <- h.doIt(ctx, j) }()
	ended, over := health.BackupEnded{}, false
	for !over {
		select {
		case ended = <-done:
			over = true
		case <-h.news:
			h.watch(j)
		}
	}
	h.mu.Lock()
	h.running = nil
	h.mu.Unlock()
	if cause := context.Cause(ctx); errors.Is(cause, errWithdrawn) || cause != nil && !errors.Is(cause, errCancelled) {
		return // the agent stops, or nobody wants to know: the work begins anew where it is still asked for
	}
	h.o.Log.Info("work for backups has ended", zap.String("member", j.member), zap.String("backup", j.Job.Backup),
		zap.Bool("done", ended.Done), zap.String("outcome", ended.Outcome))
	h.keep(j.member, ended)
}

// watch cancels work that must end.
func (h *Host) watch(j *job) {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch now := h.orders[j.member]; {
	case now.Job != nil && now.Job.Number == j.Job.Number:
		j.since = now.since
		if now.Job.Cancel {
			j.cancel(whyCancelled(&now))
		}
	case now.since.Sub(j.since) > withdrawn:
		j.cancel(errWithdrawn)
	}
}

// tell takes the engine's progress.
func (h *Host) tell(j *job) func(backup.Progress) {
	return func(p backup.Progress) {
		h.mu.Lock()
		news := p.Step != j.last.Step
		j.last = p
		h.mu.Unlock()
		if news {
			h.o.News()
		}
	}
}

// doIt does the work. Its answer says what came of it, whatever that is.
func (h *Host) doIt(ctx context.Context, j *job) health.BackupEnded {
	ended := health.BackupEnded{Number: j.Job.Number}
	if j.Job.Cancel { // before it began
		ended.Outcome = whyCancelled(&j.order).Error()
		return ended
	}
	err := errors.New("the agent does not manage the member")
	if server := h.o.Server(j.member); server != nil {
		engine := &backup.Engine{Staging: h.o.Config.Backup.Staging, Server: server, Log: h.o.Log}
		switch j.Job.Work {
		case platform.BackupMake:
			err = h.makeOne(ctx, j, engine, &ended)
		case platform.BackupTest, platform.BackupRestore:
			err = h.restoreOne(ctx, j, engine, &ended)
		case platform.BackupRemove:
			err = h.removeOne(ctx, j, server, &ended)
		default:
			err = fmt.Errorf("this agent's version does not know the work %q", j.Job.Work)
		}
	}
	if err != nil {
		ended.Done, ended.Outcome = false, strings.TrimSpace(err.Error())
		if cause := context.Cause(ctx); errors.Is(cause, errCancelled) {
			ended.Outcome = cause.Error()
		}
	}
	return ended
}

func (h *Host) makeOne(ctx context.Context, j *job, engine *backup.Engine, ended *health.BackupEnded) error {
	if j.Plan.With != nil {
		return h.makeForeign(ctx, j, engine, ended)
	}
	o := backup.Order{ID: j.Job.Backup, Cluster: j.cluster, Kind: backup.Full, Checks: assertions(j.Plan), Depth: depth(j.Plan),
		Rate: int64(j.Plan.Rate) << 20, Keep: j.Plan.Full > 0}
	targets, missing := h.of(j.Plan.Targets)
	if missing != "" {
		return fmt.Errorf("this agent's file does not define target %s (backup.targets), or it cannot be opened", missing)
	}
	if err := h.recogniseAll(ctx, j.Plan.Targets); err != nil {
		return err
	}
	for _, t := range targets {
		o.Targets = append(o.Targets, t)
	}
	if base := len(j.Backups); j.Job.Base != "" && base > 0 {
		o.Kind, o.Base = backup.Incremental, &backup.Record{}
		if err := json.Unmarshal(j.Backups[base-1].Engine, o.Base); err != nil {
			return fmt.Errorf("the record of %s cannot be read: %w", j.Job.Base, err)
		}
	}
	r, err := engine.Make(ctx, o, h.tell(j))
	record := recordOf(r, j.Backups)
	ended.Record = &record
	ended.Done = record.Verdict == platform.BackupGood && len(r.Failed) == 0
	ended.Outcome = outcome(&record, r)
	return err
}

// outcome says in one sentence what came of a backup.
func outcome(b *platform.Backup, r *backup.Record) string {
	var held []string
	for _, receipt := range b.Receipts {
		held = append(held, receipt.Target)
	}
	text := b.ID + " is " + string(b.Verdict)
	if b.Verdict != platform.BackupGood {
		return text + ": " + b.Evidence
	}
	return strings.Join(append([]string{text + ", and held by " + strings.Join(held, ", ")}, notTaken(r)...), "; ")
}

func assertions(p *platform.BackupPlan) (all []backup.Assertion) {
	for _, c := range p.Checks {
		all = append(all, backup.Assertion{Name: c.Name, Database: c.Database, SQL: c.SQL,
			Timeout: cmp.Or(c.Timeout, platform.DefaultBackupCheckTimeout)})
	}
	return all
}

func depth(p *platform.BackupPlan) backup.Depth {
	if p.Structure {
		return backup.Structure
	}
	return backup.Pages
}

// restoreOne restores a backup: for a test into staging, where it is removed again, else into a folder beside it.
func (h *Host) restoreOne(ctx context.Context, j *job, engine *backup.Engine, ended *health.BackupEnded) error {
	began := time.Now()
	if len(j.Backups) == 0 {
		return fmt.Errorf("the catalogue does not have all that %s is built on", j.Job.Backup)
	}
	wanted := &j.Backups[len(j.Backups)-1]
	if wanted.Foreign != nil {
		return h.restoreForeign(ctx, j, engine, wanted, ended)
	}
	from, err := h.holding(wanted, j.Job.Target)
	if err != nil {
		return err
	}
	o := backup.Restoration{Cluster: j.cluster, ID: wanted.ID, From: from, Checks: assertions(j.Plan), Depth: depth(j.Plan),
		Rate: int64(j.Plan.Rate) << 20}
	until := j.Job.Until
	if j.Job.Work == platform.BackupTest && j.Plan.Archives() {
		until.Latest = true // what a disaster would ask for
	}
	told, gap := "", ""
	if until != (platform.RestorePoint{}) {
		format, wrong := formatOf(ctx, engine.Server)
		if wrong != nil {
			return wrong
		}
		at := source{from, j.cluster, format, engine.Staging, olderBackup(j.cluster)}
		o.WAL, o.Until, told, err = at.resolve(ctx, wanted, until)
		broken := errors.As(err, new(*archive.GapError)) || errors.Is(err, archive.ErrUnreadable)
		switch {
		case broken && j.Job.Work == platform.BackupTest: // the backup itself may be right
			gap, o.WAL, o.Until = err.Error(), nil, backup.Until{}
		case err != nil:
			return err
		}
	}
	if j.Job.Work == platform.BackupTest {
		return h.testOne(ctx, j, engine, o, &test{told: told, gap: gap, from: from.Name, began: began}, ended)
	}
	into := h.folderOf(j)
	if err := os.MkdirAll(filepath.Dir(into), 0o711); err != nil { // PostgreSQL's user must reach the copy
		return err
	}
	return h.keepRestored(ctx, j, engine, o, restored{into, into, told, began}, ended)
}

// proven is the result of a restore whose copy is good.
func proven(t *backup.Tested, err error) (*backup.Tested, error) {
	if err == nil && t.Proof.Verdict != backup.Good {
		err = fmt.Errorf("the copy that was restored is %s: %s", t.Proof.Verdict, t.Proof.Evidence)
	}
	return t, err
}

// restored is where a copy is restored to, and where in there the data is; told says how far it was replayed, for people.
type restored struct {
	into, data, told string
	began            time.Time
}

func (h *Host) keepRestored(ctx context.Context, j *job, engine *backup.Engine, o backup.Restoration, r restored,
	ended *health.BackupEnded) error {
	t, err := proven(engine.Restore(ctx, o, r.into, h.tell(j)))
	if err != nil {
		return err
	}
	ended.Done = true
	ended.Outcome = fmt.Sprintf("%s was restored up to %s%s in %s; it lies on this member's host, %s, stopped: %s", o.ID, t.Proof.Reached,
		r.told, time.Since(r.began).Round(time.Second/10), h.o.Config.Host, r.data)
	return nil
}

// folderOf is where a restored copy lies: below staging, so that no operator's word writes elsewhere on the host.
func (h *Host) folderOf(j *job) string {
	return filepath.Join(h.o.Config.Backup.Staging, "restored", fmt.Sprintf("%s-%d", j.Job.Backup, j.Job.Number))
}

// test is what a restore test is told: how far it replays, for people, what is wrong with the archive behind that, and from where it
// restores.
type test struct {
	told, gap, from string
	began           time.Time
}

func (h *Host) testOne(ctx context.Context, j *job, engine *backup.Engine, o backup.Restoration, of *test,
	ended *health.BackupEnded) error {
	t, err := engine.TestRestore(ctx, o, h.tell(j))
	if err != nil {
		return err
	}
	good := t.Proof.Verdict == backup.Good
	ended.Test = &platform.RestoreTest{Target: of.from, At: stamp(time.Now()), Good: good,
		Took: time.Since(of.began), Reached: t.Proof.Reached, Archive: of.gap}
	ended.Done = good && of.gap == ""
	if good && of.gap != "" {
		ended.Outcome = fmt.Sprintf("%s was restored from %s to its own end, %s, and every check found it right; the archive behind it is "+
			"broken: %s", o.ID, ended.Test.Target, t.Proof.Reached, of.gap)
		return nil
	}
	if good {
		ended.Outcome = fmt.Sprintf("%s was restored from %s up to %s%s in %s, and every check found it right", o.ID, ended.Test.Target,
			t.Proof.Reached, of.told, ended.Test.Took.Round(time.Second/10))
		return nil
	}
	ended.Test.Detail = t.Proof.Evidence
	ended.Outcome = fmt.Sprintf("%s from %s is not good: %s", o.ID, ended.Test.Target, t.Proof.Evidence)
	return nil
}

// holding is the target that a backup comes from: the named one, or the first of its receipts that the agent's file defines.
func (h *Host) holding(b *platform.Backup, named string) (archive.Named, error) {
	for _, r := range b.Receipts {
		if named == "" || r.Target == named {
			if p := h.byName(r.Target); p != nil {
				return p.Named, nil
			}
		}
	}
	return archive.Named{}, fmt.Errorf("this agent's file defines no target that holds %s (backup.targets)", b.ID)
}

// removeOne removes a backup from its targets, and WAL that no backup needs any more.
func (h *Host) removeOne(ctx context.Context, j *job, server *postgres.Server, ended *health.BackupEnded) error {
	if len(j.Backups) == 0 {
		return fmt.Errorf("the catalogue does not have %s", j.Job.Backup)
	}
	b := &j.Backups[len(j.Backups)-1]
	for _, r := range b.Receipts {
		p := h.byName(r.Target)
		if p == nil {
			return fmt.Errorf("this agent's file does not define target %s, which holds %s (backup.targets)", r.Target, b.ID)
		}
		for _, object := range backup.Objects(j.cluster, b.ID) {
			if err := p.Remove(ctx, object); err != nil {
				return err
			}
		}
		if j.OldestWAL > 0 {
			format, err := formatOf(ctx, server)
			if err != nil {
				return err
			}
			reader, err := archive.Open(ctx, p.Named, j.cluster, format)
			if err != nil {
				return err
			}
			if _, err := reader.Expire(ctx, j.OldestWAL); err != nil {
				return err
			}
		}
	}
	ended.Done, ended.Outcome = true, b.ID+" was removed from its targets"
	return nil
}
