package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"

	"mainstay/controller/postgres"
	"mainstay/health/backup"
	"mainstay/health/backup/target"
	"mainstay/test/bench/machine"
	"mainstay/test/damage"
)

// copies are the figures of -backup, in seconds, round by round: the same data by the engine and by hand, in turns.
type copies struct {
	MB      int                           `json:"mb"`
	Version string                        `json:"version"` // of PostgreSQL
	Plain   []float64                     `json:"plain"`   // pg_basebackup alone
	Steps   map[backup.StepName][]float64 `json:"steps"`   // of a full backup by the engine
	Order   []backup.StepName             `json:"order"`
	Hand    map[string][]float64          `json:"hand"`
	// Parts is the second backup, of 2 % changed blocks, by step; empty before PostgreSQL 17.
	Parts     map[backup.StepName][]float64 `json:"parts,omitempty"`
	PartOrder []backup.StepName             `json:"partOrder,omitempty"`
	Costs     machine.Costs                 `json:"-"`
	Machine   map[string]float64            `json:"machine"`
	Load      string                        `json:"load"` // of the machine, before and after
	CPUs      int                           `json:"cpus"`
}

// byHand are the steps of a verified backup without Mainstay, in their order.
var byHand = []string{"pg_basebackup", "pg_verifybackup", "recovery and stop", "pg_checksums", "tar and zstd"}

// copyBed is a server whose backups are measured, and an engine beside it.
type copyBed struct {
	dir    string
	source *damage.Server
	engine *backup.Engine
	vault  target.Target
}

// backupBench measures backups.
func backupBench(ctx context.Context, dir string, o options) (err error) {
	c := &copies{MB: o.size, CPUs: runtime.NumCPU(), Load: machineLoad(), Steps: map[backup.StepName][]float64{}, Hand: map[string][]float64{},
		Parts: map[backup.StepName][]float64{}}
	b := &copyBed{dir: dir}
	defer func() {
		if b.source != nil {
			err = errors.Join(err, b.source.Kill(context.WithoutCancel(ctx)))
		}
	}()
	if err = b.begin(ctx, c, o); err == nil {
		err = c.rounds(ctx, b, o)
	}
	c.Load += " before, " + machineLoad() + " after"
	if o.json {
		return errors.Join(err, encode(os.Stdout, c))
	}
	c.print(os.Stdout) // what there is
	return err
}

func (b *copyBed) begin(ctx context.Context, c *copies, o options) error {
	ctx, cancel := context.WithTimeout(ctx, loadLimit)
	defer cancel()
	programs, err := postgres.Find(os.Getenv("MAINSTAY_PG_BIN"))
	if err != nil {
		return err
	}
	c.Version = programs.Version
	owner, err := damage.TestOwner()
	if err != nil {
		return err
	}
	if b.source, err = damage.NewServer(ctx, programs, owner, filepath.Join(b.dir, "p")); err != nil {
		return err
	}
	settings := []string{"max_wal_size=4GB", "autovacuum=off", "max_wal_senders=8"}
	if programs.Major >= 17 {
		settings = append(settings, "summarize_wal=on")
	}
	if err := b.source.Start(ctx, settings...); err != nil {
		return err
	}
	if err := c.cost(ctx, b.source); err != nil {
		return err
	}
	if _, err := b.source.SQL(ctx, "postgres", rowsOf(o.size)...); err != nil {
		return err
	}
	vault := filepath.Join(b.dir, "vault")
	if err := os.Mkdir(vault, 0o700); err != nil {
		return err
	}
	if b.vault, err = target.Open("vault", target.Config{Directory: vault}); err != nil {
		return err
	}
	b.engine = &backup.Engine{Staging: filepath.Join(b.dir, "st"), Server: &postgres.Server{Member: "bench", Data: b.source.Data,
		Socket: b.source.Dir, Port: 5432, Binaries: programs, Owner: owner, Listen: "x"}}
	return nil
}

// cost measures the machine.
func (c *copies) cost(ctx context.Context, s *damage.Server) error {
	pid, err := os.ReadFile(filepath.Join(s.Data, "postmaster.pid"))
	if err != nil {
		return err
	}
	first, _, _ := strings.Cut(string(pid), "\n")
	postmaster, err := strconv.Atoi(first)
	if err != nil {
		return err
	}
	server, err := machine.Server(s.Dir)
	if err != nil {
		return err
	}
	c.Costs, err = machine.Measure(ctx, server, postmaster)
	c.Machine = c.Costs.JSON()
	return err
}

func (c *copies) rounds(ctx context.Context, b *copyBed, o options) error {
	for n := range o.n {
		plain, err := b.plain(ctx)
		if err != nil {
			return err
		}
		c.Plain = append(c.Plain, plain)
		full := backup.Order{ID: fmt.Sprintf("full-%d", n), Cluster: "bench", Kind: backup.Full, Targets: []target.Target{b.vault},
			Depth: backup.Structure, Keep: b.source.Binaries.Major >= 17}
		record, err := b.make(ctx, full, c.Steps, &c.Order)
		if err != nil {
			return err
		}
		if err := b.byHand(ctx, c.Hand); err != nil {
			return err
		}
		if !full.Keep {
			continue
		}
		if err := b.change(ctx, n); err != nil {
			return err
		}
		part := backup.Order{ID: fmt.Sprintf("part-%d", n), Cluster: "bench", Kind: backup.Incremental, Base: record,
			Targets: full.Targets, Keep: true}
		if record, err = b.make(ctx, part, c.Parts, &c.PartOrder); err != nil {
			return err
		}
		if record.Kind != backup.Incremental {
			return fmt.Errorf("%s is a full backup: %s", part.ID, record.FullFor)
		}
	}
	return nil
}

// plain is a pg_basebackup alone, in seconds.
func (b *copyBed) plain(ctx context.Context) (float64, error) {
	to := filepath.Join(b.source.Dir, "plain")
	begun := time.Now()
	_, err := b.source.Run(ctx, "pg_basebackup", "-D", to, "-c", "fast", "-h", b.source.Dir, "-U", "postgres")
	took := time.Since(begun).Seconds()
	return took, errors.Join(err, os.RemoveAll(to))
}

// make makes a backup, and adds how long each kind of step took.
func (b *copyBed) make(ctx context.Context, o backup.Order, into map[backup.StepName][]float64, order *[]backup.StepName) (*backup.Record,
	error) {
	r, err := b.engine.Make(ctx, o, nil)
	if err == nil && r.Proof.Verdict != backup.Good {
		err = fmt.Errorf("%s is %s: %s", o.ID, r.Proof.Verdict, r.Proof.Evidence)
	}
	took := map[backup.StepName]float64{}
	for _, s := range r.Proof.Steps {
		if into[s.Name] == nil && took[s.Name] == 0 {
			*order = append(*order, s.Name)
		}
		took[s.Name] += s.Took.Seconds()
	}
	for name, t := range took {
		into[name] = append(into[name], t)
	}
	return r, err
}

// byHand does what a verified backup takes without Mainstay, one step after another.
func (b *copyBed) byHand(ctx context.Context, into map[string][]float64) error {
	s := b.source
	at := filepath.Join(s.Dir, "hand")
	hand, err := damage.Existing(s.Binaries, s.Owner, at, filepath.Join(at, "data"))
	if err != nil {
		return err
	}
	packed := filepath.Join(b.dir, "hand.tar.zst")
	for n, do := range []func() error{
		func() error {
			_, err := s.Run(ctx, "pg_basebackup", "-D", hand.Data, "-c", "fast", "-h", s.Dir, "-U", "postgres")
			return err
		},
		func() error { _, err := s.Run(ctx, "pg_verifybackup", hand.Data); return err },
		func() error { return errors.Join(hand.Start(ctx), hand.Stop(ctx)) },
		func() error { _, err := hand.Checksums(ctx); return err },
		func() error {
			out, err := exec.CommandContext(ctx, "tar", "-C", hand.Data, "-I", "zstd -T0", "-cf", packed, ".").CombinedOutput()
			if err != nil {
				err = fmt.Errorf("tar: %w: %s", err, out)
			}
			return err
		},
	} {
		begun := time.Now()
		if err := do(); err != nil {
			return errors.Join(err, hand.Kill(context.WithoutCancel(ctx)))
		}
		into[byHand[n]] = append(into[byHand[n]], time.Since(begun).Seconds())
	}
	return errors.Join(os.RemoveAll(at), os.Remove(packed))
}

// change changes 2 % of the blocks, in places that lie evenly.
func (b *copyBed) change(ctx context.Context, round int) error {
	_, err := b.source.SQL(ctx, "postgres", fmt.Sprintf("DELETE FROM bench WHERE ctid = ANY (ARRAY(SELECT format('(%%s,%d)', n)::tid "+
		"FROM generate_series(%d, pg_relation_size('bench') / 8192 - 1, %d) n))", round+1, round, changedShare), "CHECKPOINT")
	return err
}

// besideHand are the steps that the same work by hand does not have.
var besideHand = map[backup.StepName]bool{backup.StepStructure: true, backup.StepRelease: true, backup.StepKeep: true,
	backup.StepRoom: true}

// sum adds up the medians of some steps.
func sum[K comparable](steps map[K][]float64, of func(K) bool) (all float64) {
	for name, v := range steps {
		if of(name) {
			all += middle(v)
		}
	}
	return all
}

func (c *copies) print(out io.Writer) {
	fmt.Fprintln(out, c.Costs)
	fmt.Fprintf(out, "PostgreSQL %s, %d MB of rows, %d CPUs, load %s, %d rounds; medians\n\n", c.Version, c.MB, c.CPUs, c.Load, len(c.Plain))
	fmt.Fprintln(out, "| step | seconds |\n|---|---|")
	line := func(what string, seconds float64) { fmt.Fprintf(out, "| %s | %.2f |\n", what, seconds) }
	line("plain pg_basebackup", middle(c.Plain))
	for _, name := range c.Order {
		line("Mainstay, full: "+string(name), middle(c.Steps[name]))
	}
	for _, name := range byHand {
		line("by hand: "+name, middle(c.Hand[name]))
	}
	for _, name := range c.PartOrder {
		line("Mainstay, 2 % changed: "+string(name), middle(c.Parts[name]))
	}
	proof := sum(c.Steps, func(n backup.StepName) bool {
		return n == backup.StepManifest || n == backup.StepRecover || n == backup.StepStop || n == backup.StepPages
	})
	same := func(n backup.StepName) bool { return !besideHand[n] }
	hand := sum(c.Hand, func(string) bool { return true })
	fmt.Fprintln(out, "\n| what | seconds | beside | seconds | ratio |\n|---|---|---|---|---|")
	ratio := func(what string, a float64, beside string, b float64) {
		if b > 0 {
			fmt.Fprintf(out, "| %s | %.2f | %s | %.2f | %.2f |\n", what, a, beside, b, a/b)
		}
	}
	ratio("manifest, recovery, stop and page checks", proof, "plain pg_basebackup", middle(c.Plain))
	ratio("all steps that there are by hand too", sum(c.Steps, same), "by hand", hand)
	if len(c.Parts) > 0 {
		ratio("a second backup, 2 % of the blocks changed", sum(c.Parts, same), "the first", sum(c.Steps, same))
	}
}
