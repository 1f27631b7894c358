package backup

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"mainstay/controller/pgdial"
	"mainstay/controller/platform"
	"mainstay/health/integrity"
	"mainstay/health/integrity/structure"
)

// proving is a copy that is recovered and checked.
type proving struct {
	*run
	tree
	superuser string
	wanted    platform.LSN // what replay must reach
	from      platform.LSN // where it begins
	replay    replay
	wal       WAL // nil: what the copy has
	checks    []Assertion
	depth     Depth
	writable  []string // folders beside the run's own that the instance writes to
	instance  *scratch
	role      string // of the assertions; "" before it is made
	database  string // where our own questions are asked
}

// prove recovers a copy in a scratch instance, asks the checks, stops it cleanly and reads its pages. It returns a *finding where it cannot
// recover; what checks have found is in the proof. The copy is changed.
func (p *proving) prove(ctx context.Context) (err error) {
	if err := p.ownFolder(p.path(socketFolder)); err != nil {
		return err
	}
	p.instance = &scratch{tree: p.tree, superuser: p.superuser, programs: p.Server.Binaries, owner: p.Server.Owner, conf: p.dir,
		dir: p.path(socketFolder), nice: p.limits.Nice, writable: append([]string{p.dir}, p.writable...)}
	defer func() {
		if p.instance.process != nil {
			err = errors.Join(err, p.instance.kill())
		}
	}()
	if err := p.recover(ctx); err != nil {
		return err
	}
	if err := p.ask(ctx); err != nil {
		return err
	}
	if p.depth == Structure {
		if err := p.step(ctx, StepStructure, p.structure); err != nil {
			return err
		}
	}
	if err := p.stop(ctx); err != nil {
		return err
	}
	return p.step(ctx, StepPages, p.pages)
}

// socketFolder is short: see longestStaging.
const socketFolder = "s"

// recover starts the instance, and waits until it has replayed what it must.
func (p *proving) recover(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, p.limits.Recovery)
	defer cancel()
	return p.step(ctx, StepRecover, func(ctx context.Context, w *watch) error {
		if p.wanted > p.from {
			w.total.Store(int64(p.wanted - p.from))
		}
		if p.wal == nil {
			return p.recoverWith(ctx, w, nil)
		}
		feeding, end := context.WithCancel(ctx)
		defer end()
		f, err := p.feed(feeding, p.wal, w)
		if err != nil {
			return err
		}
		defer f.close()
		defer end()
		return p.recoverWith(ctx, w, f)
	})
}

func (p *proving) recoverWith(ctx context.Context, w *watch, f *feeder) error {
	s := p.instance
	p.replay.archive = f != nil
	if err := errors.Join(s.prepare(p.replay), ctx.Err()); err != nil { // a run that was given up meanwhile starts nothing
		return err
	}
	if err := s.start(p.replay, p.path(walFolder)); err != nil {
		return err
	}
	p.proof.Isolation = s.isolation.String()
	err := s.recovered(ctx, w, p.from)
	if f != nil && f.failure() != nil {
		return f.failure()
	}
	if err != nil {
		return err
	}
	if err := p.reached(ctx); err != nil {
		return err
	}
	what := fmt.Sprintf("replayed to %s, and %s was wanted", p.proof.Reached, p.wanted)
	if p.proof.Reached < p.wanted {
		return &finding{CheckRecovery, "the WAL ends too early: " + what}
	}
	p.note(Check{Kind: CheckRecovery, Verdict: Good, Detail: what})
	return nil
}

// patience is for the few questions of our own.
const patience = time.Minute

// reached asks how far replay came. The answer stays after recovery. It finds a database to ask, too: the usual one may have been dropped.
func (p *proving) reached(ctx context.Context) error {
	p.database = cmp.Or(p.Server.Database, "postgres")
	err := p.position(ctx)
	if pgdial.SQLState(err) == noSuchDatabase {
		p.database = "template1"
		err = p.position(ctx)
	}
	return err
}

func (p *proving) position(ctx context.Context) error {
	return p.query(ctx, func(ctx context.Context, c *sql.Conn) error {
		var at string
		var last sql.NullTime
		err := c.QueryRowContext(ctx, `SELECT COALESCE(pg_last_wal_replay_lsn(), '0/0'), pg_last_xact_replay_timestamp(),
			(SELECT timeline_id FROM pg_control_checkpoint())`).Scan(&at, &last, &p.proof.Timeline)
		if last.Valid {
			p.proof.LastCommit = &last.Time
		}
		p.proof.Wanted = p.wanted
		return errors.Join(err, p.proof.Reached.UnmarshalText([]byte(at)))
	})
}

// query runs f on a new superuser's session.
func (p *proving) query(ctx context.Context, f func(context.Context, *sql.Conn) error) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	return pgdial.WithConn(ctx, p.instance.local(p.superuser, p.database), func(c *sql.Conn) error { return f(ctx, c) })
}

const noSuchDatabase = "3D000"

func (p *proving) note(c Check) { p.proof.Checks = append(p.proof.Checks, c) }

// structure checks tables and indexes. What has no check stays unverified, and does not keep a backup from being good: amcheck cannot be
// installed everywhere, and most index types have no check at all.
func (p *proving) structure(ctx context.Context, w *watch) error {
	ctx, cancel := context.WithTimeout(ctx, p.limits.Structure)
	defer cancel()
	w.patient(p.limits.Structure)
	found := []string{}
	state := structure.Clean
	checker := structure.Checker{Local: p.instance.local(p.superuser, p.database)}
	how := structure.Options{Install: true, Rate: p.rate, Pause: time.Second, Again: time.Millisecond}
	result, _, err := checker.Run(ctx, how, structure.Sink{
		Verdict: func(v structure.Verdict) {
			if v.State >= structure.Suspect {
				state = max(state, v.State)
				found = append(found, fmt.Sprintf("%s.%s, %s: %s", v.Database, v.Relation, v.Check, evidenceOf(v)))
			}
		},
		Progress: func(at structure.Progress) { w.at(at.Done, at.Total) },
	})
	if err != nil {
		return err
	}
	var sum structure.Counts
	for _, c := range result.Counts {
		sum.Clean, sum.Unverified = sum.Clean+c.Clean, sum.Unverified+c.Unverified
	}
	c := Check{Kind: CheckStructure, Verdict: Good, Detail: fmt.Sprintf("%d checks of %d databases found nothing, %d could not be made",
		sum.Clean, result.Databases, sum.Unverified)}
	if len(result.Unverified) > 0 {
		why := slices.MaxFunc(slices.Collect(maps.Keys(result.Unverified)), func(a, b structure.Why) int {
			return int(result.Unverified[a] - result.Unverified[b])
		})
		c.Detail += fmt.Sprintf(", most of them (%d): %s: %s", result.Unverified[why], why.Check, why.Text)
	}
	if state >= structure.Suspect { // nothing changes the copy, so a second look would say the same
		c.Verdict, c.Detail = Bad, listed(found)
	}
	p.note(c)
	return nil
}

func evidenceOf(v structure.Verdict) string {
	if len(v.Findings) == 0 {
		return v.State.String()
	}
	return v.Findings[0].String()
}

// listed names the first findings, and counts the rest.
func listed(found []string) string {
	text := strings.Join(found[:min(len(found), mostNamed)], "; ")
	if more := len(found) - mostNamed; more > 0 {
		text += fmt.Sprintf("; and %d more", more)
	}
	return text
}

// stop removes what the checks have made, and stops the instance. One that has ended before, or does not end cleanly, is damage.
func (p *proving) stop(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, p.limits.Stop)
	defer cancel()
	return p.step(ctx, StepStop, func(ctx context.Context, w *watch) error {
		w.patient(p.limits.Stop)
		if err := p.dropRole(ctx); err != nil {
			return err
		}
		if err := p.instance.stop(ctx); err != nil {
			found := (*finding)(nil)
			if errors.As(err, &found) {
				found.kind = CheckStop
			}
			return err
		}
		p.note(Check{Kind: CheckStop, Verdict: Good})
		return nil
	})
}

// pages reads all pages of the stopped copy, through the page cache: what it has just written need not go to the disk for this.
func (p *proving) pages(ctx context.Context, w *watch) error {
	scanner := &integrity.Scanner{Dir: p.data}
	found := []string{}
	how := integrity.Options{Cached: true, Rate: p.rate, Parallel: 4, Deadline: p.limits.Stall, Again: integrity.Again{Reads: 1}}
	result, err := scanner.Scan(ctx, how,
		integrity.Sink{
			Finding: func(f integrity.Finding) {
				found = append(found, fmt.Sprintf("%s, block %d (%s): %s", f.Path, f.Number, f.Kind, f.Detail))
			},
			Progress: func(at integrity.Progress) { w.at(at.Done, at.Total) },
		})
	w.done.Store(result.Bytes)
	if err != nil {
		return err
	}
	c := Check{Kind: CheckPages, Verdict: Good, Detail: fmt.Sprintf(
		"%d pages of %d files: %d right by their checksum, %d by their header only", result.Blocks, result.Files,
		result.Verified+result.Zero, result.HeaderOnly)}
	var left []string
	for _, n := range result.Notes {
		if n.Reason == integrity.Unopened || n.Reason == integrity.Foreign {
			left = append(left, n.Path+" ("+n.Detail+")")
		}
	}
	switch {
	case len(found) > 0:
		c.Verdict, c.Detail = Bad, listed(found)
	case len(left) > 0:
		c.Verdict, c.Detail = Unverified, "not read: "+listed(left)
	}
	p.note(c)
	return nil
}
