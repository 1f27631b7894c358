package controller

import (
	"strings"
	"testing"
	"time"

	"mainstay/controller/identity"
	"mainstay/controller/wire"
)

// A promise that this build cannot keep is refused, not stored.
func TestPromisesThatAreNotBuiltAreRefused(t *testing.T) {
	b := newBed(t)
	b.one()
	c := b.client(identity.RoleOperator, "jane")
	p := social()
	p.Clusters[0].Durability.From = "other-site"
	err := c.Do(b.ctx(10*time.Second), "PUT", "/v1/platform", wire.ApplyRequest{Platform: p}, nil)
	if r := refusal(t, err); !strings.Contains(r.Err.Message, "durability from: other-site is not supported yet") {
		t.Errorf("the refusal says %q", r.Err.Message)
	}
	b.apply(c, social())
}
