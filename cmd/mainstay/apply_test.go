package main

import (
	"net/http"
	"strings"
	"testing"

	"mainstay/controller/config"
	"mainstay/controller/wire"
)

const platformText = `platform: social
sites: [{name: east}]
hosts:
  - {name: db-e1, site: east, address: 10.0.1.11}
  - {name: db-e2, site: east, address: 10.0.1.12}
clusters:
  - name: feed
    members:
      - {name: feed-e1, host: db-e1}
      - {name: feed-e2, host: db-e2}
    durability: {acks: 1}
`

// applied is a bench whose leader has platformText in force at version 7.
func applied(t *testing.T) (*bench, *server) {
	b, s := leader(t)
	p, err := config.ParsePlatform("p.yaml", []byte(platformText))
	if err != nil {
		t.Fatal(err)
	}
	s.answer("GET /v1/platform", http.StatusOK, wire.PlatformAnswer{Version: 7, Platform: p})
	s.answer("PUT /v1/platform", http.StatusOK, wire.ApplyAnswer{Version: 8, Applied: true})
	return b, s
}

func TestApply(t *testing.T) {
	b, s := applied(t)
	same := b.write("same.yaml", platformText)
	b.want(exitDone, []string{"apply", "-f", same}, "nothing to change")
	if s.called("PUT /v1/platform") != 0 {
		t.Error("a platform without changes was sent")
	}
	file := b.write("p.yaml", strings.Replace(platformText, "10.0.1.12", "10.0.1.13", 1))
	b.want(exitDone, []string{"diff", "-f", file}, "~ hosts[db-e2].address: 10.0.1.12 -> 10.0.1.13")
	b.want(exitDone, []string{"apply", "-f", file, "--dry-run"}, "10.0.1.12 -> 10.0.1.13", "the leader would accept this; nothing was changed")
	if body := s.body("PUT /v1/platform"); !strings.Contains(body, `"base":7,"dryRun":true`) {
		t.Errorf("asked for %s", body)
	}
	b.want(exitDone, []string{"apply", "-f", file, "--yes"}, "10.0.1.12 -> 10.0.1.13", "applied: the platform is at version 8", "![y/N]")
	if body := s.body("PUT /v1/platform"); !strings.Contains(body, `"base":7,"dryRun":false`) || !strings.Contains(body, "10.0.1.13") {
		t.Errorf("asked for %s", body)
	}
	b.stdin = strings.Replace(platformText, "10.0.1.12", "10.0.1.14", 1)
	b.want(exitDone, []string{"apply", "-f", "-", "--yes", "-o", "json"}, `"applied": true`, `"version": 8`, `"new": "10.0.1.14"`)
}

func TestApplyAsks(t *testing.T) {
	b, s := applied(t)
	file := b.write("p.yaml", strings.Replace(platformText, "10.0.1.12", "10.0.1.13", 1))
	b.asks, b.stdin = true, "n\n"
	b.want(exitRefused, []string{"apply", "-f", file}, "10.0.1.12 -> 10.0.1.13", "apply this change? [y/N]", "not confirmed")
	if s.called("PUT /v1/platform") != 0 {
		t.Error("it was applied all the same")
	}
	b.stdin = "yes\n"
	b.want(exitDone, []string{"apply", "-f", file}, "applied: the platform is at version 8")
	if n := strings.Count(b.out+b.err, "10.0.1.13"); n != 1 {
		t.Errorf("the change is shown %d times", n)
	}
}

func TestApplyRemove(t *testing.T) {
	b, s := applied(t)
	less := strings.Replace(platformText, "      - {name: feed-e2, host: db-e2}\n", "", 1)
	file := b.write("p.yaml", strings.Replace(less, "acks: 1", "acks: 0", 1))
	b.want(exitRefused, []string{"apply", "-f", file}, "feed-e2 would be removed", "--remove feed-e2")
	b.want(exitUsage, []string{"apply", "-f", file, "--remove", "feed-e2,feed-e1"}, "--remove feed-e1: this apply does not remove it")
	if s.called("PUT /v1/platform") != 0 {
		t.Error("it was applied all the same")
	}
	b.want(exitDone, []string{"apply", "-f", file, "--remove", "feed-e2", "--yes"}, "- clusters[feed].members[feed-e2]", "applied")
	if body := s.body("PUT /v1/platform"); !strings.Contains(body, `"remove":["feed-e2"]`) {
		t.Errorf("asked for %s", body)
	}
}

func TestApplyRemoveCluster(t *testing.T) {
	b, s := leader(t)
	p, err := config.ParsePlatform("p.yaml", []byte(platformText))
	if err != nil {
		t.Fatal(err)
	}
	s.answer("GET /v1/platform", http.StatusOK, wire.PlatformAnswer{Version: 7, Platform: p})
	gone := b.write("gone.yaml", strings.Split(platformText, "clusters:")[0])
	b.want(exitRefused, []string{"apply", "-f", gone}, "feed would be removed", "--remove feed")
	s.answer("PUT /v1/platform", http.StatusConflict,
		wire.Error{Message: "cluster feed: run `mainstay pause feed --reason REASON` first", Code: "refused"})
	b.want(exitRefused, []string{"apply", "-f", gone, "--remove", "feed", "--dry-run"}, "run `mainstay pause feed")
}

func TestApplyExported(t *testing.T) {
	b, s := applied(t)
	b.want(exitDone, []string{"export"}, "# exported from version 7", "platform: social")
	exported := b.out
	file := b.write("p.yaml", strings.Replace(strings.Replace(exported, "version 7", "version 6", 1), "10.0.1.12", "10.0.1.13", 1))
	b.want(exitRefused, []string{"apply", "-f", file}, "was exported from version 6, but the platform is now at version 7")
	same := b.write("same.yaml", strings.Replace(exported, "version 7", "version 6", 1))
	b.want(exitDone, []string{"apply", "-f", same, "-o", "json"}, `"changes": []`)
	if s.called("PUT /v1/platform") != 0 {
		t.Error("it was applied all the same")
	}
}

func TestApplyMistakes(t *testing.T) {
	b, _ := applied(t)
	file := b.write("p.yaml", strings.Replace(platformText, "acks: 1", "acks: 5", 1))
	for _, verb := range []string{"apply", "diff", "validate"} {
		b.want(exitFailed, []string{verb, "-f", file}, file+":11:", "clusters[feed].durability.acks")
	}
	b.want(exitFailed, []string{"apply", "-f", b.home + "/none.yaml"}, "none.yaml: does not exist; create it, or name another file")
	b.want(exitFailed, []string{"validate", "-f", b.home + "/none.yaml"},
		"none.yaml: does not exist; create it, or name another file", "!open /")
}

func TestFirstApply(t *testing.T) {
	b, s := leader(t)
	s.answer("GET /v1/platform", http.StatusOK, wire.PlatformAnswer{})
	s.answer("PUT /v1/platform", http.StatusConflict,
		wire.Error{Message: "the controllers are not initialised; run `mainstay controllers init`", Code: "refused"})
	b.want(exitRefused, []string{"apply", "-f", b.write("p.yaml", platformText), "--yes"}, "run `mainstay controllers init`")
	b.want(exitRefused, []string{"export"}, "no platform has been applied yet")
}

func TestValidate(t *testing.T) {
	b := newBench(t)
	b.contexts("127.0.0.1:7101")
	b.issue("controller", "c1")
	b.issue("agent", "db-e1")
	tls := func(who string) string {
		return "tls: {ca: ca/ca.crt, cert: ca/" + who + ".crt, key: ca/" + who + ".key}\n"
	}
	good := map[string]string{
		"platform":   b.write("p.yaml", platformText),
		"controller": b.write("c.yaml", "name: c1\nsite: east\nlisten: 127.0.0.1:7101\ndata: data\n"+tls("controller-c1")),
		"agent": b.write("a.yaml", "host: db-e1\ncontrollers: [\"127.0.0.1:7101\"]\nlisten: 127.0.0.1:7201\ndata: data\n"+
			tls("agent-db-e1")),
		"contexts": b.home + "/.config/mainstay/config.yaml",
	}
	withCheck := platformText + "apps:\n  - name: web\n    needs: [feed]\n    check: {exec: [/usr/local/bin/check, \"{address}\"]}\n" +
		"    instances:\n      - {name: web-e1, site: east, address: \"10.0.1.11:8080\"}\n"
	b.want(exitDone, []string{"validate", "-f", b.write("check.yaml", withCheck)}, "no mistakes (platform file)",
		"each controller's own file must contain `programs: [/usr/local/bin/check]`")
	all := []string{"validate"}
	for kind, file := range good {
		b.want(exitDone, []string{"validate", "-f", file}, "no mistakes ("+kind+" file)")
		b.want(exitFailed, []string{"validate", "-f", b.write("broken.yaml", "nonsense: 1\n"), "--kind", kind}, "broken.yaml:1", "nonsense")
		all = append(all, "-f", file)
	}
	b.want(exitDone, all, "platform file", "agent file")
	b.want(exitFailed, append(all, b.write("other.yaml", "a: 1\n"), "-o", "json"), "the kind of this file is not clear", `"mistakes": []`)
}
