package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"mainstay/cmd/mainstay/render"
	"mainstay/controller/identity"
	"mainstay/controller/platform"
	"mainstay/controller/wakeup"
	"mainstay/controller/wire"
	"mainstay/health"
	"mainstay/health/integrity/compare"
)

const (
	depthPages     = "pages"
	depthStructure = "structure"
	depthCompare   = "compare"
	// checkEvery is how often the state of a check is asked for, checkSays how often the command says how far it is.
	checkEvery = time.Second
	checkSays  = 5 * time.Second
	// checkLost is for how long an agent may not answer before the command gives up. The check continues without it.
	checkLost = 30 * time.Second
)

func (p *program) integrityCheckVerb() *cobra.Command {
	check := check{p: p, depth: depthCompare, wait: 15 * time.Minute}
	c := &cobra.Command{
		Use:   "check [CLUSTER|MEMBER]",
		Short: "Check the data of running members now",
		Long: `Check the data of running members now. The agents read the files while PostgreSQL runs, at the rate of their scans
(` + "`integrity: {rate: 20}`" + ` in the agent's file), and change nothing.

--depth compare: the agents of a cluster summarise every page, and one of them compares the summaries of all members. Pages
of equal content are equal; a page with older content than its member has replayed and written out is a lost write. Pages that
are changing are compared again after the next checkpoint and restartpoint; what has not settled within --wait is counted as
not verified. With three members or more a majority names the one that is wrong; of two that differ both are suspect, and the
report says what would decide. A page that is broken, zeroed, missing or older than what its member has written out excludes
that member, as the scan's findings do; a replica is then rebuilt. Another content under the same LSN is only reported. CHECKPOINT
on the primary, and then on each replica, ends the wait for pages that are changing.

--incremental (compare): pages that no WAL has changed since the last comparison by the same agent are not read again. That finds
what has gone wrong with a write since then, and no damage that a disk has done to a page at rest: the report says how many pages
were not read again, and how old the oldest reading is. Where it cannot be told what has changed (another primary, another copy of
a member's data, WAL that is no longer there) every page is read, and the report says why.

--depth pages: each agent scans its member's files at once, instead of when the next scan is due. See ` + "`mainstay integrity show`" + `.

--depth structure: each member's agent, those of replicas first, has PostgreSQL's own functions check tables and their TOAST
values (verify_heapam), visibility maps (pg_visibility), btree indexes with every row (bt_index_check, with duplicate keys from
PostgreSQL 17 on) and GIN indexes (from 18 on), and compares the sizes of files with the catalog. It needs the extensions amcheck
and pg_visibility in each database. Without them, and of indexes without a check, it says "not verified"; --install-extensions
creates them through the primary, in the schema mainstay. --rate is an average: an index is checked at once. It gives way to
sessions that wait for its locks and to recovery, and pauses while the member is being changed.

One comparison of a cluster runs at a time; --stop ends it, or the checks of the structure. An interrupt (^C) ends what this command
has begun. The platform file can have both depths made regularly: see ` + "`mainstay help \"Damaged data\"`" + `. The exit code is 1 where damage was found, the check did not reach its
end, the agent of a member that runs did not answer, or neither tables nor indexes could be verified.`,
		Example: "  mainstay integrity check feed\n  mainstay integrity check feed-e2 --depth pages\n" +
			"  mainstay integrity check feed-e2 --depth structure --rate 100\n" +
			"  mainstay integrity check --depth compare --wait 1h\n" +
			"  mainstay integrity check feed --incremental",
		Args: words("[CLUSTER|MEMBER]"),
		RunE: p.verb(func(ctx context.Context, args []string) error {
			if check.depth != depthPages && check.depth != depthStructure && check.depth != depthCompare {
				return usagef("--depth %s: want pages, structure or compare", quote(check.depth))
			}
			if err := check.structureFlags.valid(check.depth); err != nil {
				return err
			}
			if check.incremental && check.depth != depthCompare {
				return usagef("--incremental is for --depth compare")
			}
			if check.wait < 0 {
				return usagef("--wait must not be negative")
			}
			if len(args) > 0 {
				check.name = args[0]
			}
			return check.run(ctx)
		}),
	}
	c.Flags().StringVar(&check.depth, "depth", check.depth,
		"pages: the checksums of each member; structure: what pages mean; compare: all members with each other")
	c.Flags().BoolVar(&check.incremental, "incremental", false, "read only what WAL has changed since the last comparison (compare)")
	c.Flags().DurationVar(&check.wait, "wait", check.wait, "for how long to look again at pages that are changing (compare)")
	check.structureFlags.add(c)
	p.completeClusters(c)
	return c
}

// check is one run of the verb.
type check struct {
	p      *program
	name   string // of a cluster or member; "" for all clusters
	depth  string
	wait   time.Duration
	status wire.Status
	agents caller
	// incremental: what has not changed since the last comparison is not read again.
	incremental bool
	structureFlags
}

func (c *check) run(ctx context.Context) error {
	s, err := c.p.connect()
	if err != nil {
		return err
	}
	defer s.Close()
	if err := c.p.ask(ctx, s, http.MethodGet, "/v1/status", nil, &c.status); err != nil {
		return err
	}
	c.p.remember(s.name, c.status)
	c.agents = c.p.dial(agentsOf(c.status), s.store.ClientConfig(identity.RoleAgent, "", identity.ProtoHTTP))
	defer c.agents.Close()
	var all []wire.ClusterState
	for _, cl := range c.status.Clusters {
		if c.name == "" || c.name == cl.Name || hasMember(cl, c.name) {
			all = append(all, cl)
		}
	}
	if len(all) == 0 && c.name != "" {
		return refusedf("there is no cluster or member %s; `mainstay status` lists them", c.name)
	}
	switch c.depth {
	case depthPages:
		return c.pages(ctx, all)
	case depthStructure:
		return c.structure(ctx, all)
	}
	if c.stop {
		return c.stopComparisons(ctx, all)
	}
	return c.compare(ctx, all)
}

func hasMember(c wire.ClusterState, name string) bool {
	return slices.ContainsFunc(c.Members, func(m wire.MemberStatus) bool { return m.Name == name })
}

// address is that of a member's agent.
func (c *check) address(m wire.MemberStatus) (string, error) {
	for _, h := range c.status.Hosts {
		if h.Name == m.Host && h.Address != "" {
			if _, _, err := net.SplitHostPort(h.Address); err != nil {
				return net.JoinHostPort(h.Address, agentPort), nil
			}
			return h.Address, nil
		}
	}
	return "", refusedf("the agent of %s has no known address", m.Name)
}

// ask asks a member's agent.
func (c *check) ask(ctx context.Context, m wire.MemberStatus, method, what string, in, out any) error {
	address, err := c.address(m)
	if err != nil {
		return err
	}
	ctx, cancel := c.p.request(ctx)
	defer cancel()
	return c.agents.DoAt(ctx, address, method, "/v1/integrity/"+m.Name+what, in, out)
}

// watch looks at a member's check until it has ended.
func (c *check) watch(ctx context.Context, m wire.MemberStatus, ended func(wire.IntegrityAnswer) bool, says func(wire.IntegrityAnswer)) (
	a wire.IntegrityAnswer, err error) {
	said, heard := time.Now(), time.Now()
	for {
		var now wire.IntegrityAnswer
		switch err := c.ask(ctx, m, http.MethodGet, "", nil, &now); {
		case err == nil:
			a, heard = now, time.Now()
			if ended(a) {
				return a, nil
			}
		case ctx.Err() == nil && time.Since(heard) > checkLost:
			return a, err
		}
		if time.Since(said) >= checkSays {
			said = time.Now()
			says(a)
		}
		if wakeup.Pause(ctx, checkEvery) != nil {
			return a, ctx.Err()
		}
	}
}

// comparedCluster is a comparison with its cluster, for JSON.
type comparedCluster struct {
	Cluster string `json:"cluster"`
	*health.Comparison
	Error string `json:"error,omitempty"`
}

// compare compares one cluster after the other.
func (c *check) compare(ctx context.Context, clusters []wire.ClusterState) error {
	all, whole := []comparedCluster{}, true
	for _, cl := range clusters {
		done, err := c.compareCluster(ctx, cl)
		one := comparedCluster{Cluster: cl.Name, Comparison: done}
		if err != nil {
			if done == nil && len(clusters) == 1 {
				return err
			}
			if ctx.Err() == nil { // an interrupt has been said, and is no fault of the check
				one.Error = err.Error()
			}
		}
		whole = whole && err == nil && done.Complete && done.Differ == 0 && len(done.LeftOut) == 0
		all = append(all, one)
	}
	err := c.p.show(all, func(o render.Options) (text string) {
		for n, one := range all {
			if n > 0 {
				text += "\n"
			}
			if one.Error != "" {
				text += one.Cluster + ": " + one.Error + "\n"
			}
			if one.Comparison != nil {
				text += render.Compared(one.Cluster, one.Comparison, o)
			}
		}
		return text
	})
	if err == nil && !whole {
		err = quietError{exitFailed}
	}
	return err
}

// stopComparisons ends the comparisons that agents run.
func (c *check) stopComparisons(ctx context.Context, clusters []wire.ClusterState) error {
	stopped := 0
	for _, cl := range clusters {
		for _, m := range cl.Members {
			if m.Seen == nil || !m.Seen.Checks.Of(platform.CheckCompare).Running || c.name != "" && c.name != cl.Name && c.name != m.Name {
				continue
			}
			if err := c.ask(ctx, m, http.MethodPost, "/cancel", nil, nil); err != nil {
				return err
			}
			stopped++
			c.p.say("%s: the comparison by the agent of %s was ended", cl.Name, m.Name)
		}
	}
	if stopped == 0 {
		return refusedf("no agent runs a comparison; `mainstay integrity show` shows the last")
	}
	return nil
}

// compareCluster has one agent compare: that of the named member, or else of a replica.
func (c *check) compareCluster(ctx context.Context, cl wire.ClusterState) (*health.Comparison, error) {
	by, ok := c.comparer(cl)
	if !ok {
		return nil, refusedf("no member of %s runs", cl.Name)
	}
	for _, m := range cl.Members {
		if m.Seen != nil && m.Seen.Checks.Of(platform.CheckCompare).Running && m.Name != by.Name {
			return nil, refusedf("%v", &compare.BusyError{By: m.Name})
		}
	}
	req := wire.CompareRequest{Wait: c.wait, Incremental: c.incremental}
	for _, m := range cl.Members {
		switch {
		case m.Name == by.Name:
		case running(m):
			req.Members = append(req.Members, m.Name)
		default:
			c.p.say("%s: not compared: %s does not run", cl.Name, m.Name)
		}
	}
	if len(req.Members) == 0 {
		return nil, refusedf("%s is the only member of %s that runs: a comparison needs two", by.Name, cl.Name)
	}
	if err := c.ask(ctx, by, http.MethodPost, "/compare", req, nil); err != nil {
		if c.incremental && unknown(err) {
			err = refusedf("the agent of %s is of an earlier version, which makes no incremental comparison: leave --incremental out, or update "+
				"it first", by.Name)
		}
		return nil, err
	}
	said := saying{cluster: cl.Name}
	a, err := c.watch(ctx, by, compared, func(a wire.IntegrityAnswer) {
		if line := said.next(a.Comparison, time.Now()); line != "" {
			c.p.say("%s", line)
		}
	})
	if ctx.Err() != nil {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), checkSays)
		defer cancel()
		if c.ask(ctx, by, http.MethodPost, "/cancel", nil, nil) != nil {
			c.p.say("%s: the agent of %s did not answer: the comparison may continue there", cl.Name, by.Name)
			return a.Comparison, err
		}
		c.p.say("%s: the comparison was cancelled", cl.Name)
		if last, lost := c.watch(ctx, by, compared, func(wire.IntegrityAnswer) {}); lost == nil {
			a = last
		}
		return a.Comparison, err
	}
	if err == nil && a.Comparison == nil {
		err = errors.New("the agent of " + by.Name + " knows of no comparison any more: it was started again, or the data was replaced")
	}
	return a.Comparison, err
}

// saying is what was last said of a comparison: the same is said again once a minute only.
type saying struct {
	cluster string
	last    string
	at      time.Time
}

// next is the line to print at that time; "" for none.
func (s *saying) next(c *health.Comparison, now time.Time) string {
	if c == nil {
		return ""
	}
	line := fmt.Sprintf("%s: %d%% of the pages read, %d wait for a checkpoint", s.cluster, c.Percent, c.Waiting)
	if line == s.last && now.Sub(s.at) < time.Minute {
		return ""
	}
	s.last, s.at = line, now
	if c.Percent == 100 && c.Waiting > 0 {
		line += " (CHECKPOINT on the primary, then on each replica, hastens that)"
	}
	return line
}

// compared tells whether the agent's comparison has ended.
func compared(a wire.IntegrityAnswer) bool { return a.Comparison == nil || !a.Comparison.Running }

// forbidden tells whether an agent refuses what the certificate does not allow: then every other agent does.
func forbidden(err error) bool {
	var answer *wire.RefusalError
	return errors.As(err, &answer) && answer.Status == http.StatusForbidden
}

// unknown tells whether an agent does not know a field of a request: it is of an earlier version.
func unknown(err error) bool {
	var answer *wire.RefusalError
	return errors.As(err, &answer) && answer.Status == http.StatusBadRequest && strings.Contains(answer.Err.Message, "unknown field")
}

func running(m wire.MemberStatus) bool {
	return m.Seen != nil && m.Seen.Process == health.ProcessRunning
}

// comparer is the member whose agent compares: of those that may, a replica; for an incremental comparison the one whose agent has made the
// last.
func (c *check) comparer(cl wire.ClusterState) (by wire.MemberStatus, ok bool) {
	done := func(m wire.MemberStatus) int64 {
		if age := m.Seen.Checks.Of(platform.CheckCompare).DoneMS; age > 0 && c.incremental {
			return age + m.Age.Milliseconds()
		}
		return math.MaxInt64
	}
	for _, m := range cl.Members {
		if !running(m) || c.name != "" && c.name != cl.Name && m.Name != c.name {
			continue
		}
		if !ok || done(m) < done(by) || done(m) == done(by) && by.Name == cl.Primary {
			by, ok = m, true
		}
	}
	return by, ok
}

// pages scans the members, all at the same time, and shows the verdicts.
func (c *check) pages(ctx context.Context, clusters []wire.ClusterState) error {
	all, whole := []render.Integrity{}, true
	type asked struct {
		cluster string
		member  wire.MemberStatus
		begun   time.Time
	}
	var running []asked
	for _, cl := range clusters {
		for _, m := range cl.Members {
			if c.name != "" && c.name != cl.Name && c.name != m.Name {
				continue
			}
			now := time.Now()
			if err := c.ask(ctx, m, http.MethodPost, "/scan", nil, nil); err != nil {
				if forbidden(err) {
					return err
				}
				whole = false
				all = append(all, render.Integrity{Cluster: cl.Name, Member: m.Name, Verdict: render.Unheard, Evidence: err.Error()})
				continue
			}
			running = append(running, asked{cl.Name, m, now})
		}
	}
	for _, r := range running {
		a, err := c.watch(ctx, r.member,
			func(a wire.IntegrityAnswer) bool {
				return a.Scan != nil && a.Scan.Complete && time.Duration(a.Scan.AgeMS)*time.Millisecond < time.Since(r.begun)
			},
			func(a wire.IntegrityAnswer) {
				if a.Scan != nil {
					c.p.say("%s: %d%% read", r.member.Name, a.Scan.Percent)
				}
			})
		seen := r.member
		seen.Seen, seen.Age = &health.Member{Scan: a.Scan, Damage: a.Damage}, 0
		i := render.IntegrityOf(r.cluster, seen)
		if err != nil {
			i.Evidence = err.Error()
		}
		whole = whole && err == nil && (i.Verdict == render.NotFound || i.Verdict == render.NoSums)
		all = append(all, i)
	}
	err := c.p.show(all, func(o render.Options) string { return render.Verdicts(all, o) })
	if err == nil && !whole {
		err = quietError{exitFailed}
	}
	return err
}
