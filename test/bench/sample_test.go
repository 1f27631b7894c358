package main

import (
	"testing"
	"time"

	"mainstay/controller/state"
)

func moment(t *testing.T, s string) time.Time {
	t.Helper()
	at, err := time.Parse(time.RFC3339, s)
	if err != nil {
		t.Fatal(err)
	}
	return at
}

func TestReadyAfter(t *testing.T) {
	const log = `2026-11-22 21:00:00.100 UTC [7] LOG:  database system is ready to accept connections
2026-11-22 21:00:03.500 UTC [7] LOG:  database system is ready to accept read-only connections
2026-11-22 21:00:04.250 UTC [7] LOG:  database system is ready to accept connections
2026-11-22 21:00:09.000 UTC [9] LOG:  database system is ready to accept connections
`
	for after, want := range map[string]string{
		"2026-11-22T21:00:01Z": "2026-11-22T21:00:04.25Z",
		"2026-11-22T21:00:05Z": "2026-11-22T21:00:09Z",
		"2026-11-22T21:00:10Z": "2026-11-22T21:00:10Z", // nothing is known
	} {
		if got := readyAfter(log, moment(t, after)); !got.Equal(moment(t, want)) {
			t.Errorf("after %s: %s, want %s", after, got, want)
		}
	}
}

func TestMoments(t *testing.T) {
	at := moments(state.Operation{Steps: []state.Step{
		{Name: "began", At: "2026-11-22T21:00:01.250Z"}, {Name: "seal", At: "not a time"}, {Name: "promote", At: "2026-11-22T21:00:02Z"},
	}})
	if len(at) != 2 || at["promote"].Sub(at["began"]) != 750*time.Millisecond {
		t.Errorf("moments: %v", at)
	}
}

func TestProblem(t *testing.T) {
	for want, op := range map[string]state.Operation{
		"PrimaryStuck": {Kind: state.Failover, Reason: "PrimaryStuck: feed-e1, new connections hang: for 2s"},
		"asked":        {Kind: state.Switchover, Reason: "kernel: update"},
	} {
		if got := problem(op); got != want {
			t.Errorf("%s: %q, want %q", op.Reason, got, want)
		}
	}
}
