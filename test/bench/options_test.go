package main

import (
	"errors"
	"flag"
	"io"
	"reflect"
	"strings"
	"testing"
	"time"
)

func TestParse(t *testing.T) {
	for _, c := range []struct {
		args string
		want options
		err  string // part of the error; "" for none
	}{
		{"", options{n: 10, burn: beside(), size: 2048}, ""},
		{"-n 7 -json", options{n: 7, json: true, burn: beside(), size: 2048}, ""},
		{"-only host-cut,switchover", options{n: 10, only: []string{"host-cut", "switchover"}, burn: beside(), size: 2048}, ""},
		{"-calm 30m -json", options{n: 10, json: true, calm: 30 * time.Minute, burn: beside(), size: 2048}, ""},
		{"-calm 30m -burn cpu=9,forks,fsync",
			options{n: 10, calm: 30 * time.Minute, size: 2048, burn: loops{"cpu": 9, "forks": 1, "fsync": 1}}, ""},
		{"-cost -json", options{n: 10, json: true, cost: true, burn: beside(), size: 2048}, ""},
		{"-n 0", options{}, "-n 0: measure at least once"},
		{"-n many", options{}, `invalid value "many"`},
		{"-only host-cut,host-gone", options{}, `no fault "host-gone"; use one of postmaster-killed,`},
		{"-calm 0s", options{}, "a time above 0"},
		{"-calm -5m", options{}, "a time above 0"},
		{"-calm 30m -n 7", options{}, "leave -n and -only out"},
		{"-calm 30m -only switchover", options{}, "leave -n and -only out"},
		{"-calm 30m -burn disk", options{}, `"disk" is not a kind of loop`},
		{"-burn forks", options{}, "give both"},
		{"-cost -n 3", options{}, "leave -n, -only and -calm out"},
		{"-integrity", options{n: 3, integrity: true, burn: beside(), size: 2048}, ""},
		{"-integrity -n 5 -size 100 -json", options{n: 5, json: true, integrity: true, burn: beside(), size: 100}, ""},
		{"-integrity -cost", options{}, "leave -only, -calm and -cost out"},
		{"-size 100", options{}, "-size is for -integrity and -backup"},
		{"-backup -size 500", options{n: 3, backup: true, burn: beside(), size: 500}, ""},
		{"-backup -integrity", options{}, "leave -only, -calm, -cost and -integrity out"},
		{"-integrity -size 5", options{}, "give 16 to"},
		{"-cost -calm 3m", options{}, "leave -n, -only and -calm out"},
		{"switchover", options{}, `"switchover" is no flag`},
	} {
		got, err := parse(strings.Fields(c.args), io.Discard)
		switch {
		case c.err == "" && (err != nil || !reflect.DeepEqual(got, c.want)):
			t.Errorf("%q: %+v, %v; want %+v", c.args, got, err, c.want)
		case c.err != "" && (err == nil || !strings.Contains(err.Error(), c.err)):
			t.Errorf("%q: error %v, want one with %q", c.args, err, c.err)
		}
	}
	if _, err := parse([]string{"-help"}, io.Discard); !errors.Is(err, flag.ErrHelp) {
		t.Errorf("-help: %v", err)
	}
}

func TestWants(t *testing.T) {
	all, some := options{}, options{only: []string{"host-cut"}}
	for _, f := range faults {
		if !all.wants(f) {
			t.Errorf("without -only %s is left out", f.name)
		}
		if got, want := some.wants(f), f.name == "host-cut"; got != want {
			t.Errorf("-only host-cut and %s: %t", f.name, got)
		}
	}
}
