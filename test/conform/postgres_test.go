package conform

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"mainstay/controller/platform"
)

// TestPostgres: the model of PostgreSQL, its streams and its network against PostgreSQL as controller/postgres drives it.
func TestPostgres(t *testing.T) {
	t.Parallel()
	for _, file := range []string{"receiver", "seal", "sync", "promotion", "recovery", "rewind"} {
		t.Run(file, func(t *testing.T) {
			Check(t, file,
				func(_ *testing.T, seed uint64) Driver { return newServers(&modelServers{seed: seed}) },
				func(t *testing.T) Driver { return newServers(newRealServers(t)) })
		})
	}
}

// servers are the members of a cluster, a, b and c: each begins with a copy of the same cleanly stopped data. Whatever returns an error
// has not been done.
type servers interface {
	StartPrimary(ctx context.Context, name string, set platform.DurabilitySet) error
	StartStandby(ctx context.Context, name string) error
	Point(ctx context.Context, name, upstream string) error // "" is no upstream; at the next start if it is stopped
	Write(ctx context.Context, name string, id int) error   // a client's commit, which may wait
	Outcome(ctx context.Context, id int) (string, error)
	Leave(ctx context.Context, id int) error // the client ends its wait
	Load(ctx context.Context, name string, set platform.DurabilitySet) error
	Crash(ctx context.Context, name string) error
	Stop(ctx context.Context, name string) error
	EndReceiver(ctx context.Context, name string) error
	Seal(ctx context.Context, name string) error
	Promote(ctx context.Context, name string, to platform.Timeline, set platform.DurabilitySet) error
	Rewind(ctx context.Context, name, from string) error
	Cut(ctx context.Context, a, b string, severed bool) error
	Block(ctx context.Context, name string, blocked bool) error // a query that stands in replay's way
	Delay(ctx context.Context, name string, delayed bool) error // a wanted delay of replay, of an hour
	Pad(ctx context.Context, name string) error                 // 100 kB of WAL
	NextSegment(ctx context.Context, name string) error         // of its WAL
	See(ctx context.Context, name string) (server, error)
	Pass(d time.Duration)
}

// server is what can be seen of one.
type server struct {
	running, primary bool
	clean, asPrimary bool // of one that is stopped
	known, receives  bool // of a standby: whether end is that of its WAL, and whether a stream comes in
	timeline         platform.Timeline
	history          platform.History
	end              platform.LSN
	holds            []int // writes that its WAL has
	shows            []int // writes that a query finds
}

func (v server) String() string {
	what := []string{"stopped"}
	switch {
	case v.running && v.primary:
		what = []string{"primary"}
	case v.running:
		what = []string{"standby"}
		if v.receives {
			what = append(what, "streams")
		}
		if !v.known {
			return strings.Join(append(what, "end unknown"), ", ")
		}
	case v.clean:
		what = append(what, "clean")
	default:
		what = append(what, "not clean")
	}
	if !v.running && v.asPrimary {
		what = append(what, "was primary")
	}
	return strings.Join(append(what, fmt.Sprintf("timeline %d", v.timeline), "holds "+numbers(v.holds)), ", ")
}

func numbers(of []int) string {
	if len(of) == 0 {
		return "none"
	}
	slices.Sort(of)
	return strings.Trim(fmt.Sprint(of), "[]")
}

// line is a server's line of descent: each timeline with where it left it.
func (v server) line() platform.History {
	return append(v.history.Before(v.timeline), platform.Fork{Timeline: v.timeline, End: v.end})
}

// compare tells which of two has more WAL, as timelines and positions tell.
func compare(a, b server, nameA, nameB string) string {
	x, y := a.line(), b.line()
	for n := 0; ; n++ {
		switch {
		case n == len(x) && n == len(y):
			return "the same"
		case n == len(x):
			return nameB + " has more"
		case n == len(y):
			return nameA + " has more"
		case x[n].Timeline != y[n].Timeline:
			return "diverged"
		case x[n].End < y[n].End && n == len(x)-1:
			return nameB + " has more"
		case x[n].End > y[n].End && n == len(y)-1:
			return nameA + " has more"
		case x[n].End != y[n].End:
			return "diverged"
		}
	}
}

// script carries the steps of a case out with servers.
type script struct {
	servers
	marks map[platform.LSN]string
}

func newServers(s servers) Driver { return &script{s, map[platform.LSN]string{}} }

// Do knows these verbs:
//
//	primary A [ACKS NAME...]     start it as a primary, with a durability set
//	replica A UPSTREAM           point it at that and start it as a standby
//	standby A                    start it as a standby, pointed as it was
//	point A UPSTREAM|none        the same settings, while it runs
//	write A N, leave N           a client's commit, and its end while it waits
//	list A ACKS [NAME...]        another durability set
//	crash A, stop A              every process is killed; a clean stop, to its end
//	end-receiver A, seal A
//	promote A TIMELINE [ACKS NAME...]
//	rewind A FROM
//	cut A B, join A B            the network between two
//	block A, unblock A           a query that stands in the way of replay
//	delay A, undelay A           a wanted delay of replay
//	pad A, next-segment A        100 kB of WAL; its WAL continues in another file
//	mark P A                     remember where its WAL ends
//
// What may be refused is seen to be "done" or "refused", where the script asks. To look:
//
//	see A, outcome N             a member, and what a client knows
//	holds A, rows A              the writes that its WAL has, and those that a query shows
//	at A P                       where its WAL ends: "before", "at" or "past" the mark
//	forks A                      its history: each timeline with the mark where it was left
//	compare A B
func (p *script) Do(ctx context.Context, s Step) (string, error) {
	a := append(slices.Clone(s.Args), "", "", "")
	switch s.Verb {
	case "see":
		v, err := p.See(ctx, a[0])
		return v.String(), err
	case "holds":
		v, err := p.See(ctx, a[0])
		return numbers(v.holds), err
	case "rows":
		v, err := p.See(ctx, a[0])
		return numbers(v.shows), err
	case "outcome":
		return p.Outcome(ctx, number(a[0]))
	case "mark":
		v, err := p.See(ctx, a[1])
		p.marks[v.end] = a[0]
		return "", err
	case "at":
		return p.at(ctx, a[0], a[1])
	case "forks":
		return p.forks(ctx, a[0])
	case "compare":
		return p.compare(ctx, a[0], a[1])
	}
	err := p.act(ctx, s.Verb, a)
	switch {
	case s.Want == "":
		return "", err
	case err != nil && s.Want == "refused":
		return "refused", nil
	}
	return "done", err
}

func (p *script) act(ctx context.Context, verb string, a []string) error {
	switch verb {
	case "primary":
		return p.StartPrimary(ctx, a[0], set(a[1:]))
	case "replica":
		if err := p.Point(ctx, a[0], a[1]); err != nil {
			return err
		}
		return p.StartStandby(ctx, a[0])
	case "standby":
		return p.StartStandby(ctx, a[0])
	case "point":
		return p.Point(ctx, a[0], strings.TrimPrefix(a[1], "none"))
	case "write":
		return p.Write(ctx, a[0], number(a[1]))
	case "leave":
		return p.Leave(ctx, number(a[0]))
	case "list":
		return p.Load(ctx, a[0], set(a[1:]))
	case "crash":
		return p.Crash(ctx, a[0])
	case "stop":
		return p.Stop(ctx, a[0])
	case "end-receiver":
		return p.EndReceiver(ctx, a[0])
	case "seal":
		return p.Seal(ctx, a[0])
	case "promote":
		return p.Promote(ctx, a[0], platform.Timeline(number(a[1])), set(a[2:]))
	case "rewind":
		return p.Rewind(ctx, a[0], a[1])
	case "cut", "join":
		return p.Cut(ctx, a[0], a[1], verb == "cut")
	case "block", "unblock":
		return p.Block(ctx, a[0], verb == "block")
	case "pad":
		return p.Pad(ctx, a[0])
	case "next-segment":
		return p.NextSegment(ctx, a[0])
	case "delay", "undelay":
		return p.Delay(ctx, a[0], verb == "delay")
	}
	return fmt.Errorf("there is no verb %s", verb)
}

// number is 0 for none, which names nothing.
func number(text string) int {
	n, _ := strconv.Atoi(text)
	return n
}

// set is "ACKS NAME...", and waits for no replica if it is empty.
func set(words []string) platform.DurabilitySet {
	s := platform.DurabilitySet{Acks: number(words[0])}
	for _, name := range words[1:] {
		if name != "" {
			s.Names = append(s.Names, name)
		}
	}
	return s
}

func (p *script) at(ctx context.Context, name, mark string) (string, error) {
	v, err := p.See(ctx, name)
	for lsn, named := range p.marks {
		switch {
		case named != mark:
		case v.end < lsn:
			return "before", err
		case v.end > lsn:
			return "past", err
		default:
			return "at", err
		}
	}
	return "", fmt.Errorf("there is no mark %s", mark)
}

func (p *script) forks(ctx context.Context, name string) (string, error) {
	v, err := p.See(ctx, name)
	var all []string
	for _, f := range v.history.Before(v.timeline) {
		mark := p.marks[f.End]
		if mark == "" {
			mark = "no mark"
		}
		all = append(all, fmt.Sprintf("%d at %s", f.Timeline, mark))
	}
	return fmt.Sprintf("%s then %d", strings.Join(all, ", "), v.timeline), err
}

func (p *script) compare(ctx context.Context, a, b string) (string, error) {
	x, err := p.See(ctx, a)
	if err != nil {
		return "", err
	}
	y, err := p.See(ctx, b)
	return compare(x, y, a, b), err
}
