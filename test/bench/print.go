package main

import (
	"encoding/json"
	"fmt"
	"io"
	"runtime"
	"strings"
	"time"

	"mainstay/controller/state"
	"mainstay/test/bench/machine"
)

// unknown stands for a number of missing posts that could not be found out.
const unknown = -1

// result is what was measured of one fault.
type result struct {
	fault
	samples      []sample
	acknowledged int // posts
	missing      int // of them, or unknown
}

// part of an outage, and what it is called.
type part struct {
	key, words string // in JSON; for people
	of         func(sample) time.Duration
}

// parts in the order in which they follow each other. A switchover begins with the stop: there is nothing to detect. That of
// a site begins with its app servers.
func (r result) parts() []part {
	all := []part{
		{"detect", "detect", func(s sample) time.Duration { return s.detect }},
		{"fence", "fence, seal and choose", func(s sample) time.Duration { return s.fence }},
		{"promote", "promote", func(s sample) time.Duration { return s.promote }},
		{"reconnect", "reconnect", func(s sample) time.Duration { return s.reconnect }},
	}
	if r.on.sites {
		all[3].words = "start the apps and reconnect"
	}
	if r.kind == state.Switchover {
		all[0].words, all[1].words = "quiesce the apps, checkpoint", "stop and choose"
		if !r.on.sites {
			return all[1:]
		}
	}
	return all
}

func (r result) distribution(of func(sample) time.Duration) distribution {
	var measured []time.Duration
	for _, s := range r.samples {
		measured = append(measured, of(s))
	}
	return distribute(measured)
}

func outage(s sample) time.Duration { return s.outage }
func after(s sample) time.Duration  { return s.after }

// seen counts what the samples say, most first: `quorum-sealed 6, stopped 1`.
func (r result) seen(of func(sample) string) string {
	counts := tally{}
	for _, s := range r.samples {
		counts[of(s)]++
	}
	return counts.String()
}

func (r result) proofs() string   { return r.seen(func(s sample) string { return s.proof }) }
func (r result) problems() string { return r.seen(func(s sample) string { return s.problem }) }

// posts says how many acknowledged ones are missing.
func (r result) posts() string {
	if r.missing == unknown {
		return "not known"
	}
	return fmt.Sprintf("%d of %d", r.missing, r.acknowledged)
}

// printer prints each fault when it was measured, and all of them together at the end.
type printer struct {
	out      io.Writer
	json     bool
	postgres string // its version
	costs    machine.Costs
	all      []result
}

// begin prints what the figures depend on, before the first of them.
func (p *printer) begin(version string, costs machine.Costs) {
	p.postgres, p.costs = version, costs
	if !p.json {
		fmt.Fprintln(p.out, costs)
	}
}

func (p *printer) add(r result) {
	p.all = append(p.all, r)
	if p.json {
		return
	}
	client := ""
	if r.fresh {
		client = ", the client connects anew for each write"
	}
	fmt.Fprintf(p.out, "\n%s (%s%s), n=%d, problem: %s, proof: %s, acknowledged posts missing: %s\n", r.name, r.on, client, len(r.samples),
		r.problems(), r.proofs(), r.posts())
	fmt.Fprintf(p.out, "%-36s %8s %8s %8s %8s\n", "", "min", "p50", "p90", "max")
	p.line("outage", r.distribution(outage))
	for _, part := range r.parts() {
		p.line("  "+part.words, r.distribution(part.of))
	}
	p.line("longest pause afterwards, to health", r.distribution(after))
}

func (p *printer) line(name string, d distribution) {
	round := func(t time.Duration) time.Duration { return t.Round(time.Millisecond) }
	fmt.Fprintf(p.out, "%-36s %8s %8s %8s %8s\n", name, round(d.min), round(d.p50), round(d.p90), round(d.max))
}

// end prints the summary, which is the table of README.md beside this file.
func (p *printer) end() error {
	if p.json {
		return p.encode()
	}
	if len(p.all) == 0 {
		return nil
	}
	fmt.Fprintf(p.out,
		"\n%d CPUs, PostgreSQL %s, 3 controllers, 3 members on 2 sites (through app servers: 4), lease 5s, all on one machine\n%s\n\n",
		runtime.NumCPU(), p.postgres, p.costs)
	fmt.Fprintln(p.out,
		"| fault | acks | proof | n | min | p50 | p90 | max | where the median goes | missing |\n|---|---|---|---|---|---|---|---|---|---|")
	for _, r := range p.all {
		d := r.distribution(outage)
		fmt.Fprintf(p.out, "| %s | %d | %s | %d | %s | %s | %s | %s | %s | %s |\n", r.name, r.on.acks, r.proofs(), d.n, seconds(d.min),
			seconds(d.p50), seconds(d.p90), seconds(d.max), r.where(), r.posts())
	}
	return nil
}

// where names the median of each part.
func (r result) where() string {
	var words []string
	for _, part := range r.parts() {
		words = append(words, fmt.Sprintf("%s %.2f", part.words, r.distribution(part.of).p50.Seconds()))
	}
	return strings.Join(words, ", ")
}

func seconds(d time.Duration) string { return fmt.Sprintf("%.2f s", d.Seconds()) }

// encode prints everything as JSON, times in milliseconds.
func (p *printer) encode() error {
	faults := []any{}
	for _, r := range p.all {
		times := map[string]any{"outage": r.distribution(outage).milliseconds(), "afterwards": r.distribution(after).milliseconds()}
		for _, part := range r.parts() {
			times[part.key] = r.distribution(part.of).milliseconds()
		}
		one := map[string]any{"fault": r.name, "acks": r.on.acks, "networkNamespaces": r.on.network, "connectsAnew": r.fresh, "n": len(r.samples),
			"proofs": r.proofs(), "problems": r.problems(), "milliseconds": times, "acknowledged": r.acknowledged, "missing": r.missing}
		faults = append(faults, one)
	}
	return encode(p.out, map[string]any{"cpus": runtime.NumCPU(), "costsMS": p.costs.JSON(), "postgresql": p.postgres, "lease": "5s",
		"faults": faults})
}

func (d distribution) milliseconds() map[string]int64 {
	return map[string]int64{"min": d.min.Milliseconds(), "p50": d.p50.Milliseconds(), "p90": d.p90.Milliseconds(), "max": d.max.Milliseconds()}
}

func encode(out io.Writer, v any) error {
	e := json.NewEncoder(out)
	e.SetIndent("", "  ")
	return e.Encode(v)
}
