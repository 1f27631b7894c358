package main

import (
	"net/http"
	"sync/atomic"
	"testing"

	"mainstay/controller/state"
	"mainstay/controller/wire"
)

// devices let a fence of db-e1 be asked for, and answer as the test says each time that its state is asked for.
func devices(s *server, answer func(look int32) (status int, value any)) {
	var looks atomic.Int32
	plan := wire.OperationAnswer{Plan: []string{"cut the power of host db-e1 by its fence devices"}}
	s.answer("POST /v1/hosts/db-e1/fence", http.StatusOK, plan)
	s.answer("POST /v1/hosts/db-e1/unfence", http.StatusOK, plan)
	s.mux.HandleFunc("GET /v1/hosts/db-e1/fence", func(w http.ResponseWriter, _ *http.Request) {
		status, value := answer(looks.Add(1))
		reply(w, status, value)
	})
}

// The loss of a leader does not end the fence: the next leader continues it.
func TestFenceOverAChangeOfLeader(t *testing.T) {
	b, s := leader(t)
	devices(s, func(look int32) (int, any) {
		if look == 1 {
			return http.StatusMisdirectedRequest, notLeader()
		}
		return http.StatusOK, wire.FenceState{Host: "db-e1", Fence: &state.Fence{Off: true, Detail: "status: off"}}
	})
	b.want(exitDone, []string{"fence", "db-e1", "--reason", "it lies", "--yes"}, "1. cut the power", "db-e1 is off: status: off")
}

// After a vain wait for the devices the message says what to do.
func TestFenceNotConfirmed(t *testing.T) {
	b, s := leader(t)
	devices(s, func(int32) (int, any) {
		return http.StatusOK, wire.FenceState{Host: "db-e1", Fence: &state.Fence{Detail: "no answer"}}
	})
	b.want(exitTimeout, []string{"fence", "db-e1", "--reason", "it lies", "--yes", "--wait", "100ms"},
		"not confirmed: no answer; trying again",
		"not confirmed it within 100ms", "mainstay status", "switch the host off by hand",
		"mainstay failover CLUSTER --to MEMBER --accept-loss REASON --fenced")
	b.want(exitTimeout, []string{"unfence", "db-e1", "--wait", "100ms"}, "not confirmed it within 100ms", "repair them", "!--fenced")
}
