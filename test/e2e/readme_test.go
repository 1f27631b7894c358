package e2e

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"mainstay/controller/postgres"
)

// The README lists the settings that are ours, all of them and no other.
func TestReadmeListsManagedSettings(t *testing.T) {
	raw, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, list, _ := strings.Cut(string(raw), "<!-- settings -->")
	list, _, _ = strings.Cut(list, "<!-- end -->")
	var got []string
	for _, m := range regexp.MustCompile("`([a-z_]+)`").FindAllStringSubmatch(list, -1) {
		got = append(got, m[1])
	}
	want := postgres.ManagedKeys()
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("README.md lists\n%v\nMainstay manages\n%v", got, want)
	}
}

// readme gives the marked blocks of README.md: what is fenced by ``` after the line <!-- dayone: NAME -->. The day-one
// test writes these files and runs these commands, so the README cannot promise what does not work.
func readme(t *testing.T) map[string]string {
	t.Helper()
	raw, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	blocks := map[string]string{}
	for _, m := range regexp.MustCompile("(?s)<!-- dayone: ([a-z-]+) -->\n```[a-z]*\n(.*?)```").FindAllStringSubmatch(string(raw), -1) {
		blocks[m[1]] = m[2]
	}
	return blocks
}

// readmeHosts are the addresses of the README's hosts.
var readmeHosts = map[string]string{
	"db-e1": "10.0.1.11", "db-e2": "10.0.1.12", "db-w1": "10.0.2.21", "ctl-e": "10.0.1.31", "ctl-w": "10.0.2.32", "ctl-n": "10.0.3.33",
}

// addressed puts the stand's addresses in the place of the README's.
func (tr *trial) addressed(text string) string {
	var pairs []string
	for _, h := range tr.Hosts {
		pairs = append(pairs, readmeHosts[h.Name], h.Address)
	}
	return strings.NewReplacer(pairs...).Replace(text)
}

// local turns the README's file of one host into that of another, in the stand's folders.
func (tr *trial) local(t *testing.T, text, like, host string) string {
	t.Helper()
	from, to := tr.Host(like), tr.Host(host)
	data := "agent-" + to.Name
	pairs := []string{"listen: " + readmeHosts[from.Name], "listen: " + to.Address, "health: " + readmeHosts[from.Name], "health: " + to.Address}
	if to.Controller != "" {
		data = "controller-" + to.Controller
		pairs = append(pairs, "name: "+from.Controller, "name: "+to.Controller, "controller-"+from.Controller, "controller-"+to.Controller,
			"site: "+from.Site, "site: "+to.Site)
	} else {
		pairs = append(pairs, "host: "+from.Name, "host: "+to.Name, "agent-"+from.Name, "agent-"+to.Name, "postgres-"+from.Name, "postgres-"+to.Name)
	}
	pairs = append(pairs, "data: /var/lib/mainstay", fmt.Sprintf("data: %s/%s", tr.Dir, data))
	return tr.addressed(strings.NewReplacer(pairs...).Replace(text))
}
