package config

import (
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// full has every key that refers to another, so that each could cause a second mistake.
const full = `platform: social
sites:
  - {name: east}
  - {name: west}
  - {name: north, witness: true}
hosts:
  - {name: db-e1, site: east, address: 10.0.1.11, watchdog: required}
  - {name: db-e2, site: east, address: 10.0.1.12}
  - {name: db-w1, site: west, address: 10.0.2.11}
  - {name: db-w2, site: west, address: 10.0.2.12}
  - {name: app-e1, site: east, address: 10.0.1.21}
  - {name: app-w1, site: west, address: 10.0.2.21}
clusters:
  - name: feed
    tier: critical
    members:
      - {name: feed-e1, host: db-e1, port: 5433, priority: 100}
      - {name: feed-e2, host: db-e2, may-lead: false, may-ack: false}
      - {name: feed-w1, host: db-w1}
      - {name: feed-w2, host: db-w2}
    durability: {acks: 1, from: other-site, when-short: degrade}
    failover:
      across-sites: automatic
      when-incomplete: {accept: 30s}
      reachable-by: {app: web, http: "http://{address}/ready", after: 5s}
    lease: 10s
    slots-left-behind: refuse
    base-backups: wait
    integrity: {compare: {every: 168h, rate: 20, share: 25, full: 720h}, structure: {every: 336h}}
  - name: tags
    members:
      - {name: tags-e1, host: db-e1}
      - {name: tags-w1, host: db-w1, port: 5433}
    durability: {acks: 1}
    failover: {when-incomplete: {accept: 4s}}
    lease: 3s
apps:
  - name: web
    needs: [feed]
    run: with-primary
    minimum: 1
    drain: 1s
    quiesce: "http://{address}/quiesce"
    resume: "http://{address}/resume"
    verify: "http://{address}/verify"
    check: {http: "http://{address}/healthz", every: 1s, timeout: 1s, rise: 1, fall: 2, status: 200}
    instances:
      - {name: web-e1, site: east, address: "10.0.1.21:8080", host: app-e1}
      - {name: web-w1, site: west, address: "10.0.2.21:8080", host: app-w1}
`

// values are the places of all values in a document, but for keys.
func values(n *yaml.Node, add func(*yaml.Node)) {
	switch n.Kind {
	case yaml.MappingNode:
		for i := 1; i < len(n.Content); i += 2 {
			values(n.Content[i], add)
		}
	case yaml.ScalarNode:
		add(n)
	default:
		for _, c := range n.Content {
			values(c, add)
		}
	}
}

// TestOneCauseOneMistake: whichever value cannot be read, that is all an operator reads. What follows from it is not told as well.
func TestOneCauseOneMistake(t *testing.T) {
	if _, err := ParsePlatform("p.yaml", []byte(full)); err != nil {
		t.Fatalf("the sample itself: %v", err)
	}
	var doc yaml.Node
	if err := yaml.Unmarshal([]byte(full), &doc); err != nil {
		t.Fatal(err)
	}
	tried := 0
	values(&doc, func(n *yaml.Node) {
		tried++
		lines := strings.Split(full, "\n")
		line := lines[n.Line-1]
		rest := line[n.Column-1:]
		old := n.Value
		if n.Style == yaml.DoubleQuotedStyle {
			old = `"` + old + `"`
		}
		lines[n.Line-1] = line[:n.Column-1] + "[[]]" + strings.TrimPrefix(rest, old)
		_, err := ParsePlatform("p.yaml", []byte(strings.Join(lines, "\n")))
		if err == nil {
			t.Errorf("%q is accepted", lines[n.Line-1])
		} else if strings.Contains(err.Error(), "\n") || !strings.Contains(err.Error(), "not") {
			t.Errorf("%s\n%v", lines[n.Line-1], err)
		}
	})
	if tried < 70 {
		t.Errorf("%d values", tried)
	}
}
