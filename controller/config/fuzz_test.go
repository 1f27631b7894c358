package config

import (
	"errors"
	"reflect"
	"strings"
	"testing"
)

// FuzzParsePlatform: whatever the bytes, either a platform that survives export and is valid by value, or Mistakes that
// each say what to do; never a panic.
func FuzzParsePlatform(f *testing.F) {
	for _, s := range []string{"", sample, exported, head, "a: &a [*a]", "<<: &a {<<: *a}", "? [a]\n: b", "sites: !!map [x]",
		"platform: \"\\0\"", "- - - -", "{", "%YAML 9\n", "\xff\xfe", "clusters: [{members: [~, {name: 1}]}]", "'': ''",
		"clusters:\n- &c {name: c}\n- *c\n", "hosts: [[[[[]]]]]", "platform: |\n  x\n", "sites:\n- <<: [1, {name: s}]\n"} {
		f.Add([]byte(s))
	}
	f.Add([]byte(head + "clusters: [{name: c, members: [{name: a, host: h}]}]\n"))
	f.Add([]byte("platform: p\nsites: [{name: s}]\nhosts: [{name: h, site: s, address: h, watchdog: automatic, fence: [{agent: fence_a," +
		" parameters: {y: 'x: #', no: x}, secrets: {k: /a b}, timeout: 1s, level: 2}, {exec: /x}]}]\n" +
		"clusters: [{name: c, members: [{name: a, host: h}]}]\n"))
	f.Add([]byte(head +
		"clusters: [{name: c, members: [{name: a, host: h}, {name: b, host: h, port: 1, may-ack: false}], failover: {reachable-by: {app: w," +
		" http: 'http://{address}/', after: 1m}}}]\napps: [{name: w, needs: [c], run: with-primary, minimum: 1, drain: 5s, " +
		"quiesce: 'http://{address}'," +
		" resume: 'http://{address}', verify: 'http://v', check: {exec: [/x, '{address}', ''], timeout: 2s, rise: 1, fall: 9}," +
		" instances: [{name: i, site: s, address: 'h:80', host: h}]}, {name: v, check: {http: 'https://{address}', status: 200, body: x: y," +
		" headers: {Host: 'a: #'}, ca: /c d}, instances: [{name: j, site: t, address: 'h:80'}]}]\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		p, err := ParsePlatform("p.yaml", data)
		if err != nil {
			checkMistakes(t, err)
			return
		}
		if err := Validate(p); err != nil {
			t.Fatalf("read as valid, but: %v", err)
		}
		again, err := ParsePlatform("p.yaml", Export(p, 1))
		if err != nil || !reflect.DeepEqual(p, again) {
			t.Fatalf("export does not read back: %v\n%s", err, Export(p, 1))
		}
	})
}

func checkMistakes(t *testing.T, err error) {
	t.Helper()
	var ms Mistakes
	if !errors.As(err, &ms) || len(ms) == 0 {
		t.Fatalf("got %T %v, want Mistakes", err, err)
	}
	for i, m := range ms {
		if m.What == "" || m.Do == "" || m.File != "p.yaml" || strings.ContainsAny(m.Error(), "\n\r\x00") {
			t.Fatalf("not a helpful line: %q", m.Error())
		}
		if i > 0 && m.Line < ms[i-1].Line {
			t.Fatalf("out of order:\n%v", err)
		}
	}
}
