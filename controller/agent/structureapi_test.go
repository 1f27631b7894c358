package agent

import (
	"net/http"
	"strings"
	"testing"

	"mainstay/controller/identity"
	"mainstay/controller/member"
	"mainstay/controller/wire"
)

func TestStructureAPI(t *testing.T) {
	o := newOffice(t)
	manage(t, o.Agent, "feed-e1", member.Durable{})
	const path = "/v1/integrity/feed-e1/structure"
	var a wire.StructureAnswer
	if status, why := o.ask(identity.RoleViewer, http.MethodGet, path, nil, &a); status != 200 || a.Check != nil || a.Host != "db-e1" ||
		a.Member != "feed-e1" {
		t.Errorf("before: %d %s: %+v", status, why, a)
	}
	for _, c := range []struct {
		role, method, path string
		in                 any
		status             int
		why                string
	}{
		{identity.RoleAgent, http.MethodGet, path, nil, 403, "operator or viewer"},
		{identity.RoleViewer, http.MethodPost, path, wire.StructureRequest{}, 403, "needs a certificate of role operator"},
		{identity.RoleOperator, http.MethodGet, "/v1/integrity/feed-e2/structure", nil, 404, "has no member feed-e2"},
		{identity.RoleOperator, http.MethodPost, path, wire.StructureRequest{Rate: 1001}, 400, "1 to 1000 MB"},
		{identity.RoleOperator, http.MethodPost, path, wire.StructureRequest{Rate: -1}, 400, "1 to 1000 MB"},
		{identity.RoleOperator, http.MethodPost, path, wire.StructureRequest{Stop: true, Install: true}, 400, "a stop has neither"},
		{identity.RoleOperator, http.MethodPost, path, map[string]bool{"installs": true}, 400, "a check of the structure has"},
	} {
		if status, why := o.ask(c.role, c.method, c.path, c.in, &a); status != c.status || !strings.Contains(why, c.why) {
			t.Errorf("%s %s %+v: %d %s, want %d %s", c.method, c.path, c.in, status, why, c.status, c.why)
		}
	}
	if status, why := o.ask(identity.RoleOperator, http.MethodPost, path, wire.StructureRequest{Install: true}, &a); status != 200 ||
		a.Check == nil || !a.Check.Running {
		t.Errorf("begun: %d %s: %+v", status, why, a)
	}
	if said := o.logs.FilterMessage("an operator asks for a check of the structure of the data").All(); len(said) != 1 ||
		said[0].ContextMap()["by"] != "p-operator" || said[0].ContextMap()["install"] != true {
		t.Errorf("logged: %+v", said)
	}
	if status, why := o.ask(identity.RoleOperator, http.MethodPost, path, wire.StructureRequest{}, &a); status != 409 ||
		!strings.Contains(why, "running") {
		t.Errorf("another: %d %s", status, why)
	}
	a = wire.StructureAnswer{}
	if status, why := o.ask(identity.RoleOperator, http.MethodPost, path, wire.StructureRequest{Stop: true}, &a); status != 200 ||
		a.Check.Running || a.Check.Ended != "stopped by an operator" {
		t.Errorf("stopped: %d %s: %+v", status, why, a.Check)
	}
}
