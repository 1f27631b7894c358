package backup

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// stepping is a run without a disk, in a bubble of fake time.
func stepping(t *testing.T, test func(*testing.T, *run)) {
	synctest.Test(t, func(t *testing.T) {
		r := &run{tell: func(Progress) {}, proof: &Proof{}}
		r.limits.fill()
		test(t, r)
	})
}

// TestStall: a step that does nothing is given up, and named.
func TestStall(t *testing.T) {
	stepping(t, func(t *testing.T, r *run) {
		began := time.Now()
		err := r.step(t.Context(), StepPack, func(ctx context.Context, w *watch) error {
			time.Sleep(time.Minute)
			w.add(1) // it works for a while
			<-ctx.Done()
			return ctx.Err()
		})
		var step *StepError
		if !errors.As(err, &step) || step.Step != StepPack || !errors.Is(err, errStalled) || r.hung {
			t.Errorf("%v", err)
		}
		if took := time.Since(began); took < time.Minute+defaultStall || took > time.Minute+defaultStall+time.Second {
			t.Errorf("given up after %v", took)
		}
	})
}

// TestHung: a step that does not even end when it must leaves the run hung, in bounded time.
func TestHung(t *testing.T) {
	stepping(t, func(t *testing.T, r *run) {
		free := make(chan struct{})
		began := time.Now()
		err := r.step(t.Context(), StepTake, func(context.Context, *watch) error {
			<-free // a call into a disk that does not answer
			return nil
		})
		if !errors.Is(err, ErrHung) || !strings.Contains(err.Error(), "step take") || !r.hung {
			t.Errorf("%v", err)
		}
		if took := time.Since(began); took > defaultStall+giveUp+time.Second {
			t.Errorf("given up after %v", took)
		}
		close(free)
		r.calls.Wait()
	})
}

// TestPatient: what has a deadline of its own may be quiet for longer, and a context's end is heeded at once.
func TestPatient(t *testing.T) {
	stepping(t, func(t *testing.T, r *run) {
		err := r.step(t.Context(), StepStop, func(_ context.Context, w *watch) error {
			w.patient(2 * defaultStall)
			time.Sleep(defaultStall + time.Minute)
			return nil
		})
		if err != nil {
			t.Error(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		err = r.step(ctx, StepStop, func(ctx context.Context, _ *watch) error {
			<-ctx.Done()
			return errors.New("killed")
		})
		if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "killed") {
			t.Error(err)
		}
		if len(r.proof.Steps) != 2 || r.proof.Steps[0].Took < defaultStall {
			t.Errorf("%+v", r.proof.Steps)
		}
	})
}

// TestProgress: what is left follows from the rate until now.
func TestProgress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &watch{began: time.Now()}
		if p := w.progress(StepTake); p.Percent != -1 || p.Left != 0 {
			t.Errorf("%+v", p)
		}
		time.Sleep(10 * time.Second)
		w.at(25, 100)
		if p := w.progress(StepTake); p.Percent != 25 || p.Left != 30*time.Second || p.Step != StepTake {
			t.Errorf("%+v", p)
		}
		w.at(120, 100) // the total is an estimate
		if p := w.progress(StepTake); p.Percent != 100 || p.Left != 0 {
			t.Errorf("%+v", p)
		}
	})
}

// TestPaced: reads keep to a rate on average.
func TestPaced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		from := newPaced(t.Context(), strings.NewReader(strings.Repeat("x", 1000)), nil, 100)
		for b := make([]byte, 100); ; {
			if _, err := from.Read(b); err != nil {
				break
			}
		}
		if took := time.Since(began); took != 10*time.Second {
			t.Errorf("1000 bytes at 100 a second took %v", took)
		}
	})
}

// TestConclude: damage outweighs whatever else has failed, and only what was checked through is good.
func TestConclude(t *testing.T) {
	failed := errors.New("no room")
	good, bad, open := Check{Kind: CheckStop, Verdict: Good}, Check{Kind: CheckPages, Verdict: Bad, Detail: "block 7"},
		Check{Kind: CheckAssertion, Verdict: Unverified, Detail: "syntax"}
	for name, c := range map[string]struct {
		checks  []Check
		err     error
		verdict Verdict
		failed  bool
		words   string
	}{
		"good":              {[]Check{good}, nil, Good, false, "stop"},
		"bad":               {[]Check{good, bad, open}, nil, Bad, false, "block 7"},
		"bad and failed":    {[]Check{bad}, failed, Bad, false, "block 7"},
		"found":             {nil, &StepError{StepTake, &finding{CheckSource, "block 9"}}, Bad, false, "block 9"},
		"failed":            {[]Check{good}, failed, Unverified, true, "no room"},
		"not asked":         {[]Check{good, open}, nil, Unverified, true, "syntax"},
		"failed, not asked": {[]Check{open}, failed, Unverified, true, "no room"},
	} {
		p := Proof{Checks: c.checks}
		err := p.conclude(c.err)
		if p.Verdict != c.verdict || (err != nil) != c.failed || !strings.Contains(p.Evidence, c.words) {
			t.Errorf("%s: %v: %+v", name, err, p)
		}
	}
}
