package main

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"mainstay/controller/state"
)

func measured(name string) result {
	r := result{acknowledged: 300, missing: 2}
	for _, f := range faults {
		if f.name == name {
			r.fault = f
		}
	}
	for i := 1; i <= 3; i++ {
		s := time.Duration(i) * time.Second
		r.samples = append(r.samples, sample{outage: s, detect: s / 2, fence: s / 4, promote: s / 8, reconnect: s / 8, after: s / 100,
			proof: "quorum-sealed", problem: "PrimaryUnreachable"})
	}
	r.samples[2].proof = "stopped"
	return r
}

func TestSummary(t *testing.T) {
	var out bytes.Buffer
	p := printer{out: &out, postgres: "15.18"}
	p.add(measured("host-cut"))
	p.add(result{fault: measured("switchover").fault, missing: unknown})
	if err := p.end(); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"host-cut (network namespaces, acks 1), n=3, problem: PrimaryUnreachable 3, proof: quorum-sealed 2, stopped 1, " +
			"acknowledged posts missing: 2 of 300",
		"| host-cut | 1 | quorum-sealed 2, stopped 1 | 3 | 1.00 s | 2.00 s | 3.00 s | 3.00 s | detect 1.00, fence, seal and choose 0.50, " +
			"promote 0.25, reconnect 0.25 | 2 of 300 |",
		"| switchover | 1 |  | 0 | 0.00 s | 0.00 s | 0.00 s | 0.00 s | stop and choose 0.00, promote 0.00, reconnect 0.00 | not known |",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("missing: %s\nin:\n%s", want, out.String())
		}
	}
}

func TestJSON(t *testing.T) {
	var out bytes.Buffer
	p := printer{out: &out, json: true, postgres: "15.18"}
	p.add(measured("host-cut-async"))
	if err := p.end(); err != nil {
		t.Fatal(err)
	}
	var got struct {
		PostgreSQL string
		Faults     []struct {
			Fault, Proofs    string
			Acks, N, Missing int
			Milliseconds     map[string]struct{ Min, P50, P90, Max int }
		}
	}
	if err := json.Unmarshal(out.Bytes(), &got); err != nil {
		t.Fatalf("%v in %s", err, out.String())
	}
	f := got.Faults[0]
	if got.PostgreSQL != "15.18" || f.Fault != "host-cut-async" || f.Acks != 0 || f.N != 3 || f.Missing != 2 ||
		f.Proofs != "quorum-sealed 2, stopped 1" {
		t.Errorf("JSON: %+v", got)
	}
	if d := f.Milliseconds["detect"]; f.Milliseconds["outage"].P50 != 2000 || d.Min != 500 || d.Max != 1500 ||
		f.Milliseconds["afterwards"].P90 != 30 {
		t.Errorf("JSON's times: %+v", f.Milliseconds)
	}
}

// TestFaults: what the table says of each fault fits where it is measured.
func TestFaults(t *testing.T) {
	seen := map[string]bool{}
	for _, f := range faults {
		if seen[f.name] {
			t.Errorf("two faults are named %s", f.name)
		}
		seen[f.name] = true
		if apart := strings.Contains(f.name, "-cut") || f.on.sites; apart != f.on.network {
			t.Errorf("%s is measured on %s", f.name, f.on)
		}
		if asynchronous := strings.HasSuffix(f.name, "-async"); asynchronous != (f.on.acks == 0) {
			t.Errorf("%s is measured on %s", f.name, f.on)
		}
		if (f.kind == state.Switchover) != strings.HasSuffix(f.name, "switchover") || f.do == nil {
			t.Errorf("%s is answered by a %s", f.name, f.kind)
		}
	}
}
