package main

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"mainstay/controller/wire"
	"mainstay/health"
	"mainstay/health/integrity"
	"mainstay/test/damage"
	"mainstay/test/platform/pgclient"
	"mainstay/test/testbed"
)

// What -integrity measures: the same work by two ways in turns, so that what else the machine does counts for both.
const (
	integrityRate = 1000 // MB a second: as fast as it goes
	gentleRate    = 20   // the default of an agent's file
	latencyFor    = 20 * time.Second
	latencyTries  = 3
	latencyEvery  = 4 * time.Millisecond
	loadLimit     = 20 * time.Minute
	checkLimit    = 10 * time.Minute
)

// speeds are the figures, in seconds, round by round.
type speeds struct {
	MB        int       `json:"mb"`
	Scan      []float64 `json:"scan"`        // of a stopped server's files, with a cold cache
	Checksums []float64 `json:"pgChecksums"` // of the same
	Pages     []float64 `json:"pages"`       // of all members at the same time, by their agents
	Compare   []float64 `json:"compare"`     // of the same
	SentPerGB int64     `json:"sentPerGB"`   // bytes, by the other member
	// Incremental is a comparison after 2% of the pages have changed since Compare; Again is the share of the pages that it has read.
	Incremental []float64 `json:"incremental"`
	Again       []float64 `json:"again"`
	// P99 is a client's latency without a check, P99Pages and P99Compare beside one of 20 MB a second, in milliseconds.
	P99        []float64 `json:"p99MS"`
	P99Pages   []float64 `json:"p99PagesMS"`
	P99Compare []float64 `json:"p99CompareMS"`
	Lost       int       `json:"lost"` // windows in which the client lost its connection; they were measured again
	Load       string    `json:"load"` // of the machine, before and after
	CPUs       int       `json:"cpus"`
}

// integrityBench measures the checks of data.
func integrityBench(ctx context.Context, dir string, o options) (err error) {
	s := speeds{MB: o.size, CPUs: runtime.NumCPU(), Load: machineLoad()}
	err = s.files(ctx, dir, o)
	if err == nil {
		err = s.members(ctx, dir, o)
	}
	s.Load += " before, " + machineLoad() + " after"
	if o.json {
		return errors.Join(err, encode(os.Stdout, s))
	}
	s.print(os.Stdout) // what there is
	return err
}

func machineLoad() string {
	b, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return "unknown"
	}
	return string(b[:min(len(b), 14)])
}

// rowsOf makes a table of about so many MB, with an index on its key.
func rowsOf(mb int) []string {
	const perRow = 900
	return []string{"CREATE TABLE bench AS SELECT n AS id, 0 AS v, repeat(md5(n::text), 26) AS filler FROM generate_series(1, " +
		strconv.Itoa(mb<<20/perRow) + ") n", "CREATE UNIQUE INDEX ON bench (id)", "VACUUM (FREEZE, ANALYZE) bench", "CHECKPOINT"}
}

// files reads the same files by the scan and by pg_checksums.
func (s *speeds) files(ctx context.Context, dir string, o options) (err error) {
	all, err := damage.Installations()
	if err != nil {
		return err
	}
	owner, err := damage.TestOwner()
	if err != nil {
		return err
	}
	server, err := damage.NewServer(ctx, all[0], owner, filepath.Join(dir, "files"))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, server.Kill(context.WithoutCancel(ctx)), os.RemoveAll(server.Dir)) }()
	loading, cancel := context.WithTimeout(ctx, loadLimit)
	defer cancel()
	if err := server.Start(loading, "max_wal_size=4GB", "autovacuum=off"); err != nil {
		return err
	}
	if _, err := server.SQL(loading, "postgres", rowsOf(o.size)...); err != nil {
		return err
	}
	if err := server.Stop(loading); err != nil {
		return err
	}
	for range o.n {
		for _, way := range []struct {
			into *[]float64
			run  func() error
		}{
			{&s.Scan, func() error {
				r, err := (&integrity.Scanner{Dir: server.Data}).Scan(ctx, integrity.Options{}, integrity.Sink{})
				if err == nil && r.Bad > 0 {
					err = fmt.Errorf("%d pages are damaged", r.Bad)
				}
				return err
			}},
			{&s.Checksums, func() error { _, err := server.Checksums(ctx); return err }},
		} {
			if err := forget(server.Data); err != nil {
				return err
			}
			begun := time.Now()
			if err := way.run(); err != nil {
				return err
			}
			*way.into = append(*way.into, time.Since(begun).Seconds())
		}
	}
	return nil
}

// forget drops a directory's files from the page cache.
func forget(dir string) error {
	return filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() {
			return err
		}
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		return errors.Join(unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED), f.Close())
	})
}

// checked is a platform of two members whose data is checked.
type checked struct {
	*testbed.Testbed
	primary, replica testbed.Host
	db               *sql.DB
}

// members measures the agents' checks of two members, and what a client sees of them.
func (s *speeds) members(ctx context.Context, dir string, o options) (err error) {
	c := &checked{}
	at, err := os.MkdirTemp(dir, "bed-")
	if err != nil {
		return err
	}
	if c.Testbed, err = testbed.New(testbed.Options{Binary: program(dir), Dir: at, Members: 2, Settings: []string{"durability: {acks: 0}",
		"lease: 30s"}, // no failover on a busy machine
		AgentLines: agentLines(integrityRate)}); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.Close()) }()
	starting, cancel := context.WithTimeout(ctx, loadLimit)
	defer cancel()
	if err := c.begin(starting, o); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.db.Close()) }()
	for range o.n {
		took, err := c.pages(ctx)
		if err != nil {
			return err
		}
		s.Pages = append(s.Pages, took)
		whole, err := c.compare(ctx, false)
		if err != nil {
			return err
		}
		s.Compare, s.SentPerGB = append(s.Compare, float64(whole.TookMS)/1000), whole.SentPerGB()
		if err := c.change(ctx, whole.Blocks/changedShare, len(s.Compare)); err != nil {
			return err
		}
		part, err := c.compare(ctx, true)
		if err != nil {
			return err
		}
		s.Incremental = append(s.Incremental, float64(part.TookMS)/1000)
		s.Again = append(s.Again, float64(part.Blocks)/float64(part.Blocks+part.Unread))
	}
	if err := c.gently(ctx); err != nil {
		return err
	}
	for range o.n {
		for _, beside := range []struct {
			into  *[]float64
			begin func(context.Context) error
			end   func(context.Context) error
		}{
			{&s.P99, nil, nil},
			{&s.P99Pages, c.beginPages, c.endPages},
			{&s.P99, nil, nil},
			{&s.P99Compare, c.beginCompare, c.endCompare},
		} {
			p99, err := c.latency(ctx, o, beside.begin, beside.end)
			for tries := 0; err != nil && ctx.Err() == nil && tries < latencyTries; tries++ { // a connection was lost
				s.Lost++
				if err = c.WaitHealthy(ctx); err == nil {
					p99, err = c.latency(ctx, o, beside.begin, beside.end)
				}
			}
			if err != nil {
				return err
			}
			*beside.into = append(*beside.into, p99)
		}
	}
	return nil
}

func agentLines(rate int) []string {
	return []string{fmt.Sprintf("integrity: {every: off, rate: %d}", rate)}
}

func (c *checked) begin(ctx context.Context, o options) error {
	if err := c.Start(ctx); err != nil {
		return err
	}
	dsn, err := c.Application(ctx)
	if err != nil {
		return err
	}
	cl, err := c.Cluster(ctx)
	if err != nil {
		return err
	}
	for _, h := range c.Of(false) {
		if h.Member == cl.Primary {
			c.primary = h
		} else {
			c.replica = h
		}
	}
	if c.db, err = pgclient.Open(dsn, pgclient.Options{}); err != nil {
		return err
	}
	for _, statement := range rowsOf(o.size) {
		if _, err := c.SQL(ctx, c.primary.Member, "feed", statement); err != nil {
			return err
		}
	}
	if _, err := c.SQL(ctx, c.primary.Member, "feed", "GRANT ALL ON bench TO feed"); err != nil {
		return err
	}
	return c.written(ctx)
}

// written waits until the replica has everything, and both have written it out.
func (c *checked) written(ctx context.Context) error {
	end, err := c.SQL(ctx, c.primary.Member, "feed", "SELECT pg_current_wal_flush_lsn()")
	if err != nil {
		return err
	}
	if err := c.Wait(ctx, c.replica.Member+" to have the data", func() (bool, string) {
		done, err := c.SQL(ctx, c.replica.Member, "feed", "SELECT pg_last_wal_replay_lsn() >= '"+end+"'")
		return done == "t", fmt.Sprint(done, err)
	}); err != nil {
		return err
	}
	for _, h := range []testbed.Host{c.primary, c.replica} {
		if _, err := c.SQL(ctx, h.Member, "postgres", "CHECKPOINT"); err != nil {
			return err
		}
	}
	return nil
}

// ask asks the agent of a member.
func (c *checked) ask(ctx context.Context, h testbed.Host, method, what string, in, out any) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	client := c.ClientOfAgent(h)
	defer client.Close()
	return client.DoAt(ctx, net.JoinHostPort(h.Address, testbed.AgentPort), method, "/v1/integrity/"+h.Member+what, in, out)
}

// until asks an agent until its answer says that a check has ended.
func (c *checked) until(ctx context.Context, h testbed.Host, ended func(wire.IntegrityAnswer) bool) (a wire.IntegrityAnswer, err error) {
	ctx, cancel := context.WithTimeout(ctx, checkLimit)
	defer cancel()
	return a, c.Wait(ctx, "the check of "+h.Member, func() (bool, string) {
		a = wire.IntegrityAnswer{}
		err := c.ask(ctx, h, http.MethodGet, "", nil, &a)
		return err == nil && ended(a), fmt.Sprint(err)
	})
}

func (c *checked) beginPages(ctx context.Context) error {
	return errors.Join(c.ask(ctx, c.primary, http.MethodPost, "/scan", nil, nil), c.ask(ctx, c.replica, http.MethodPost, "/scan", nil, nil))
}

// endPages waits for the scans to end: nothing stops one.
func (c *checked) endPages(ctx context.Context) error {
	for _, h := range []testbed.Host{c.primary, c.replica} {
		ended := func(a wire.IntegrityAnswer) bool { return a.Scan != nil && a.Scan.Complete && !a.Scan.Running }
		if _, err := c.until(ctx, h, ended); err != nil {
			return err
		}
	}
	return nil
}

// pages has both agents read their members' files at the same time, and returns how many seconds that took.
func (c *checked) pages(ctx context.Context) (float64, error) {
	begun := time.Now()
	if err := c.beginPages(ctx); err != nil {
		return 0, err
	}
	last := time.Duration(0)
	for _, h := range []testbed.Host{c.primary, c.replica} {
		a, err := c.until(ctx, h, func(a wire.IntegrityAnswer) bool {
			return a.Scan != nil && a.Scan.Complete && !a.Scan.Running && time.Duration(a.Scan.AgeMS)*time.Millisecond < time.Since(begun)
		})
		if err != nil {
			return 0, err
		}
		last = max(last, time.Since(begun)-time.Duration(a.Scan.AgeMS)*time.Millisecond)
	}
	return last.Seconds(), nil
}

func (c *checked) beginCompare(ctx context.Context) error { return c.begins(ctx, false) }

func (c *checked) begins(ctx context.Context, incremental bool) error {
	return c.ask(ctx, c.replica, http.MethodPost, "/compare", wire.CompareRequest{Incremental: incremental}, nil)
}

// changedShare: one page of so many is changed before an incremental comparison.
const changedShare = 50

// change changes that many pages in random places: in each it deletes one row, another one in each round.
func (c *checked) change(ctx context.Context, pages int64, round int) error {
	_, err := c.SQL(ctx, c.primary.Member, "feed", fmt.Sprintf("DELETE FROM bench WHERE ctid = ANY (ARRAY(SELECT format('(%%s,%d)', "+
		"(random() * (pg_relation_size('bench') / 8192 - 1))::int)::tid FROM generate_series(1, %d)))", round, pages))
	return err
}

func (c *checked) endCompare(ctx context.Context) error {
	err := c.ask(ctx, c.replica, http.MethodPost, "/cancel", nil, nil)
	_, waited := c.until(ctx, c.replica, func(a wire.IntegrityAnswer) bool { return a.Comparison != nil && !a.Comparison.Running })
	if refusal := (*wire.RefusalError)(nil); errors.As(err, &refusal) && refusal.Status == http.StatusConflict {
		err = nil // it has ended before
	}
	return errors.Join(err, waited)
}

// compare compares the members, and does not wait for checkpoints.
func (c *checked) compare(ctx context.Context, incremental bool) (*health.Comparison, error) {
	if err := c.written(ctx); err != nil {
		return nil, err
	}
	if err := c.begins(ctx, incremental); err != nil {
		return nil, err
	}
	a, err := c.until(ctx, c.replica, func(a wire.IntegrityAnswer) bool { return a.Comparison != nil && !a.Comparison.Running })
	if err == nil && (!a.Comparison.Complete || a.Comparison.Differ > 0 || a.Comparison.Incremental != incremental) {
		err = fmt.Errorf("the comparison: %+v", a.Comparison)
	}
	return a.Comparison, err
}

// gently has the agents check at the rate that is their default.
func (c *checked) gently(ctx context.Context) error {
	c.AgentLines = agentLines(gentleRate)
	if err := c.Rewrite(); err != nil {
		return err
	}
	for _, h := range c.Of(false) {
		if err := errors.Join(c.Kill("agent "+h.Name, syscall.SIGTERM), c.StartAgent(h.Name)); err != nil {
			return err
		}
	}
	return c.WaitHealthy(ctx)
}

// latency is the 99th percentile, in milliseconds, of a client's updates and reads of single rows, beside a check.
func (c *checked) latency(ctx context.Context, o options, begin, end func(context.Context) error) (p99 float64, err error) {
	if begin != nil {
		if err := c.Wait(ctx, "the check to begin", func() (bool, string) {
			err := begin(ctx)
			return err == nil, fmt.Sprint(err)
		}); err != nil {
			return 0, err
		}
	}
	rows := o.size << 20 / 900
	var took []time.Duration
	tick := time.NewTicker(latencyEvery)
	defer tick.Stop()
	for until := time.Now().Add(latencyFor); time.Now().Before(until); {
		select {
		case <-ctx.Done():
			return 0, ctx.Err()
		case <-tick.C:
		}
		statement := "UPDATE bench SET v = v + 1 WHERE id = $1"
		if len(took)%2 == 0 {
			statement = "SELECT v FROM bench WHERE id = $1"
		}
		begun := time.Now()
		if _, err := c.db.ExecContext(ctx, statement, rand.IntN(rows)+1); err != nil {
			return 0, err
		}
		took = append(took, time.Since(begun))
	}
	if end != nil {
		if err := end(ctx); err != nil {
			return 0, err
		}
	}
	slices.Sort(took)
	return float64(took[len(took)*99/100].Microseconds()) / 1000, nil
}

// middle is the median; 0 for none.
func middle(v []float64) float64 {
	if len(v) == 0 {
		return 0
	}
	s := slices.Sorted(slices.Values(v))
	return s[len(s)/2]
}

// ratio is the median of the rounds' ratios.
func ratio(a, b []float64) float64 {
	var all []float64
	for n := range min(len(a), len(b)) {
		all = append(all, a[n]/b[n])
	}
	return middle(all)
}

func (s *speeds) print(out io.Writer) {
	fmt.Fprintf(out, "%d MB of rows, %d CPUs, load %s, %d rounds; medians\n\n", s.MB, s.CPUs, s.Load, len(s.Scan))
	fmt.Fprintln(out, "| what | figure | beside | figure | ratio |\n|---|---|---|---|---|")
	line := func(what string, a []float64, beside string, b []float64, unit string, r float64) {
		fmt.Fprintf(out, "| %s | %.2f %s | %s | %.2f %s | %.2f |\n", what, middle(a), unit, cmp.Or(beside, "-"), middle(b), unit, r)
	}
	line("scan of a stopped server's files, cold cache", s.Scan, "`pg_checksums --check` of the same", s.Checksums, "s",
		ratio(s.Checksums, s.Scan))
	line("comparison of two members by their agents", s.Compare, "a pages scan of both at the same time", s.Pages, "s",
		ratio(s.Compare, s.Pages))
	line(fmt.Sprintf("incremental comparison, 2%% of the pages changed, %.1f%% read", 100*middle(s.Again)), s.Incremental,
		"a full comparison before", s.Compare, "s", ratio(s.Incremental, s.Compare))
	line("a client's p99 beside a pages scan of 20 MB/s", s.P99Pages, "without", s.P99, "ms", middle(s.P99Pages)/middle(s.P99))
	line("a client's p99 beside a comparison of 20 MB/s", s.P99Compare, "without", s.P99, "ms", middle(s.P99Compare)/middle(s.P99))
	fmt.Fprintf(out, "\n%d bytes were sent for each GB that was compared; %d windows were measured again.\n", s.SentPerGB, s.Lost)
}
