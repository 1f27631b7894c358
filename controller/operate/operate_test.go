package operate

import (
	"context"
	"testing"
	"time"

	"go.uber.org/zap"

	"mainstay/controller/platform"
	"mainstay/controller/state"
	"mainstay/fencing"
)

// bmc does what it is told.
type bmc struct{}

func (bmc) Off(context.Context) fencing.PowerResult {
	return fencing.PowerResult{Verdict: fencing.Fenced}
}

func (bmc) On(context.Context) ([]fencing.Answer, error) { return nil, nil }

// The devices' answer is proposed under the number of the fence that asked for it.
func TestResultNamesItsFence(t *testing.T) {
	results := make(chan state.Command, 1)
	submit := func(_ context.Context, c state.Command) error { results <- c; return nil }
	r := New(func(platform.Host) Switch { return bmc{} }, nil, submit, zap.NewNop())
	defer r.Close()
	s := state.New()
	s.Platform = &platform.Platform{Hosts: []platform.Host{{Name: "h1"}, {Name: "h2"}}}
	for _, e := range []state.Effect{{Kind: state.PowerOff, Host: "h1", Fence: 7}, {Kind: state.PowerOn, Host: "h2", Fence: 8}} {
		r.Want([]state.Effect{e}, s)
		select {
		case c := <-results:
			if c.Fenced != nil && (c.Fenced.Fence != 7 || !c.Fenced.Off) || c.Unfenced != nil && (c.Unfenced.Fence != 8 || !c.Unfenced.On) ||
				(c.Fenced == nil) == (c.Unfenced == nil) {
				t.Errorf("%+v: fenced %+v, unfenced %+v", e, c.Fenced, c.Unfenced)
			}
		case <-time.After(10 * time.Second):
			t.Fatalf("%+v: no result", e)
		}
	}
}
