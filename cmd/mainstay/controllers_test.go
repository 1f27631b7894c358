package main

import (
	"net/http"
	"testing"

	"mainstay/controller/identity"
	"mainstay/controller/wire"
)

func three() wire.Controllers {
	return wire.Controllers{Leader: "c1", Members: []wire.Controller{
		{Name: "c1", Address: "10.0.1.5:7101", Leader: true, Reached: true}, {Name: "c2", Address: "10.0.2.5:7101", Reached: true},
		{RaftID: "c3-77", Name: "c3", Address: "10.0.3.5:7101", Error: "connection refused"},
	}}
}

func TestControllers(t *testing.T) {
	b, s := leader(t)
	s.answer("GET /v1/controllers", http.StatusOK, three())
	s.answer("POST /v1/controllers/init", http.StatusOK, struct{}{})
	s.answer("POST /v1/controllers", http.StatusOK, struct{}{})
	s.answer("DELETE /v1/controllers/c3", http.StatusOK, struct{}{})
	s.answer("POST /v1/controllers/transfer", http.StatusOK, struct{}{})
	b.want(exitDone, []string{"controllers", "list"}, "c1", "leader", "not reached", "connection refused")
	b.want(exitDone, []string{"controllers", "init", s.address, "127.0.0.1:1"}, "2 controllers now form one group")
	if body := s.body("POST /v1/controllers/init"); body != `{"addresses":["`+s.address+`","127.0.0.1:1"]}` {
		t.Errorf("asked for %s", body)
	}
	b.want(exitDone, []string{"controllers", "init"}, "a group of one, which tolerates no loss")
	b.want(exitDone, []string{"controllers", "add", "10.0.3.6:7101"}, "added 10.0.3.6:7101")
	b.want(exitDone, []string{"controllers", "remove", "c3", "--dry-run"}, "would remove c3: 2 would be left, tolerating the loss of 0",
		"nothing was changed")
	b.asks, b.stdin = true, "n\n"
	b.want(exitRefused, []string{"controllers", "remove", "c3"}, "remove c3? 2 would be left", "nothing was changed")
	if s.called("DELETE /v1/controllers/c3") != 0 {
		t.Error("it was removed all the same")
	}
	b.want(exitDone, []string{"controllers", "remove", "c3", "--yes"}, "removed c3")
	b.want(exitDone, []string{"controllers", "remove", "c3-77", "--dry-run"}, "2 would be left") // as `controllers list` tells it, by raft id
	b.want(exitRefused, []string{"controllers", "remove", "c9"}, "there is no controller c9")
	b.want(exitDone, []string{"controllers", "transfer", "--to", "c2"}, "leadership was handed to c2")
	b.want(exitDone, []string{"controllers", "transfer"}, "another controller")
}

// Without a leader every controller is asked separately.
func TestControllersWithoutLeader(t *testing.T) {
	b := newBench(t)
	c1, c2 := b.server(identity.RoleController, "c1"), b.server(identity.RoleController, "c2")
	for _, s := range []*server{c1, c2} {
		s.answer("GET /v1/controllers", http.StatusMisdirectedRequest, notLeader())
	}
	c1.answer("GET /v1/controller", http.StatusOK, wire.Identity{Name: "c1", RaftID: "c1-8f", Initialised: true, Version: "1.0.0"})
	c2.answer("GET /v1/controller", http.StatusOK, wire.Identity{Name: "c2"})
	b.contexts(c1.address, c2.address, "127.0.0.1:1")
	fresh := b.server(identity.RoleController, "c4") // answers for itself, as one that is in no group does
	fresh.answer("GET /v1/controllers", http.StatusOK, wire.Controllers{Members: []wire.Controller{{Name: "c4", Reached: true}}})
	fresh.answer("GET /v1/controller", http.StatusOK, wire.Identity{Name: "c4"})
	b.want(exitFailed, []string{"controllers", "list", "--controllers", fresh.address}, "c4", "not part of a group yet")
	b.want(exitFailed, []string{"controllers", "list"}, "c1-8f", "knows no leader", "not part of a group yet", "connection refused",
		"a majority answers", "!mainstay: ")
}
