package probe

import (
	"context"
	"errors"
	"net"
	"strings"
	"sync"
	"time"
	"unicode"

	"mainstay/controller/platform"
	"mainstay/fencing/process"
	"mainstay/health"
)

// mostEvidence bounds a server's or program's own text in an observation, in bytes.
const mostEvidence = 200

// InstanceTarget is one app server to check.
type InstanceTarget struct {
	App       string
	Instance  platform.Instance
	Check     platform.AppCheck // its defaults are filled in
	Reachable string            // URL of the reachability check, made beside the check; "" if the app has none
}

// instanceKey names an app server: at another address it is another one.
type instanceKey struct{ app, instance, address string }

func (t InstanceTarget) key() instanceKey {
	return instanceKey{t.App, t.Instance.Name, t.Instance.Address}
}

// instance is the knowledge of one app server.
type instance struct {
	asked           bool
	begun           time.Duration // of the last finished check
	health, reaches health.Count
	err             error         // why the last check failed; nil if it did not
	running         chan struct{} // closed when the last program has ended; nil if none was run
}

// unable is the error of a check that this controller could not make: it says nothing about the app server.
type unable struct{ error }

// unanswered is the error of a reachability check without a valid answer.
type unanswered struct{ error }

// askInstance makes the check and the reachability check beside it, within the check's timeout, and adds their results.
func (p *Prober) askInstance(ctx context.Context, t InstanceTarget, known instance) instance {
	known.asked, known.begun = true, p.now()
	ctx, cancel := context.WithTimeout(ctx, t.Check.Timeout)
	defer cancel()
	var reaches error
	var beside sync.WaitGroup
	if t.Reachable != "" {
		beside.Go(func() { reaches = p.askReachable(ctx, t) })
	}
	known.err = p.check(ctx, t, &known)
	beside.Wait()
	known.health = counted(known.health, known.err, t.Check)
	if t.Reachable == "" {
		known.reaches = health.Count{}
		return known
	}
	known.reaches = counted(known.reaches, reaches, t.Check)
	if known.err == nil && reaches != nil {
		known.err = &reachableError{reaches}
	}
	return known
}

// reachableError is the error of the reachability check.
type reachableError struct{ error }

func (e *reachableError) Error() string { return "reachability check: " + e.error.Error() }

// counted adds one check to a count. A check without a result resets the count: an earlier verdict says nothing about now.
func counted(c health.Count, err error, k platform.AppCheck) health.Count {
	var own *unable
	var none *unanswered
	if errors.As(err, &own) || errors.As(err, &none) {
		return health.Count{}
	}
	return c.Add(err == nil, k.Rise, k.Fall)
}

// check makes one check; the error is *unable, or the reason why the app server is not well.
func (p *Prober) check(ctx context.Context, t InstanceTarget, known *instance) (err error) {
	switch {
	case t.Check.HTTP != "":
		err = p.checkHTTP(ctx, t)
	case len(t.Check.Exec) > 0:
		err = known.checkExec(ctx, t, p.allowed)
	default:
		err = checkTCP(ctx, t.Instance.Address)
	}
	if process.Starved(err) {
		return &unable{err}
	}
	return err
}

// checkTCP connects. The kernel accepts connections for a process that hangs, so this shows less than a request would.
func checkTCP(ctx context.Context, address string) error {
	c, err := new(net.Dialer).DialContext(ctx, "tcp", address)
	if err != nil {
		return err
	}
	return c.Close()
}

// InstanceObservations are the observations on all app servers that were checked, at now, in the order of the targets.
func (p *Prober) InstanceObservations(now time.Duration) (observations []health.InstanceObservation) {
	p.instances.each(func(k instanceKey, i instance, _ time.Duration) {
		if !i.asked {
			return
		}
		v := health.InstanceObservation{App: k.app, Instance: k.instance, Health: i.health.Verdict, Reaches: i.reaches.Verdict,
			AgeMS: (now - i.begun).Milliseconds()}
		if i.err != nil {
			v.Error = evidence(i.err.Error())
		}
		observations = append(observations, v)
	})
	return observations
}

// evidence is the first line of a text that is not empty, printable and short.
func evidence(s string) string {
	for line := range strings.Lines(strings.ToValidUTF8(s, "?")) {
		line = strings.TrimSpace(strings.Map(func(r rune) rune {
			if !unicode.IsPrint(r) {
				return ' '
			}
			return r
		}, line))
		if line != "" {
			return strings.ToValidUTF8(line[:min(len(line), mostEvidence)], "")
		}
	}
	return ""
}
