package e2e

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"

	"mainstay/controller/postgres"
	"mainstay/deploy/guide"
)

// The guide lists the settings that are ours, all of them and no other.
func TestGuideListsManagedSettings(t *testing.T) {
	text, ok := guide.Page("settings")
	if !ok {
		t.Fatal("there is no page settings")
	}
	_, list, _ := strings.Cut(text, "<!-- settings -->")
	list, _, _ = strings.Cut(list, "<!-- end -->")
	var got []string
	for _, m := range regexp.MustCompile("`([a-z_]+)`").FindAllStringSubmatch(list, -1) {
		got = append(got, m[1])
	}
	want := postgres.ManagedKeys()
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("deploy/guide/settings.md lists\n%v\nMainstay manages\n%v", got, want)
	}
}

// The guides have each block once that the day-one test runs or writes, and no other.
func TestGuideBlocks(t *testing.T) {
	want := []string{"agent", "apply", "certificates", "contexts", "controller", "init", "looks", "platform", "replace-add", "replace-issue"}
	if got := slices.Sorted(maps.Keys(guideBlocks(t))); !slices.Equal(got, want) {
		t.Errorf("the guides have the blocks %v, want %v", got, want)
	}
}

// guideBlocks gives the marked blocks of the guides: what is fenced by ``` after the line <!-- dayone: NAME -->. The day-one
// test writes these files and runs these commands, so the guides cannot promise what does not work.
func guideBlocks(t *testing.T) map[string]string {
	t.Helper()
	blocks := map[string]string{}
	for _, page := range guide.Pages() {
		text, _ := guide.Page(page)
		for _, m := range regexp.MustCompile("(?s)<!-- dayone: ([a-z-]+) -->\n```[a-z]*\n(.*?)```").FindAllStringSubmatch(text, -1) {
			if blocks[m[1]] != "" {
				t.Errorf("block %s is there twice, again in page %s", m[1], page)
			}
			blocks[m[1]] = m[2]
		}
	}
	return blocks
}

// guideHosts are the addresses of the guide's hosts.
var guideHosts = map[string]string{
	"db-e1": "10.0.1.11", "db-e2": "10.0.1.12", "db-w1": "10.0.2.21", "ctl-e": "10.0.1.31", "ctl-w": "10.0.2.32", "ctl-n": "10.0.3.33",
}

// addressed puts the testbed's addresses in the place of the guide's.
func (tr *trial) addressed(text string) string {
	var pairs []string
	for _, h := range tr.Hosts {
		pairs = append(pairs, guideHosts[h.Name], h.Address)
	}
	return strings.NewReplacer(pairs...).Replace(text)
}

// local turns the guide's file of one host into that of another, in the testbed's folders.
func (tr *trial) local(t *testing.T, text, like, host string) string {
	t.Helper()
	from, to := tr.Host(like), tr.Host(host)
	data := "agent-" + to.Name
	pairs := []string{"listen: " + guideHosts[from.Name], "listen: " + to.Address, "health: " + guideHosts[from.Name], "health: " + to.Address}
	if to.Controller != "" {
		data = "controller-" + to.Controller
		pairs = append(pairs, "name: "+from.Controller, "name: "+to.Controller, "controller-"+from.Controller, "controller-"+to.Controller,
			"site: "+from.Site, "site: "+to.Site)
	} else {
		pairs = append(pairs, "host: "+from.Name, "host: "+to.Name, "agent-"+from.Name, "agent-"+to.Name, "postgres-"+from.Name,
			"postgres-"+to.Name)
	}
	pairs = append(pairs, "data: /var/lib/mainstay", fmt.Sprintf("data: %s/%s", tr.Dir, data))
	return tr.addressed(strings.NewReplacer(pairs...).Replace(text))
}
