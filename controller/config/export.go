package config

import (
	"bytes"
	"fmt"
	"regexp"
	"strconv"

	"mainstay/controller/platform"
)

var exportedLine = regexp.MustCompile(`^# exported from version ([0-9]{1,20})\r?(\n|$)`)

// Export writes a platform as a platform file that ParsePlatform reads back to an equal value. The form is canonical, so that two
// exports of one platform differ only in the version. Defaults are left out, except acks. version is the version of the replicated
// platform; `apply` reads it back with ExportedVersion and refuses a file whose platform has changed since.
func Export(p *platform.Platform, version uint64) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "# exported from version %d\nplatform: %s\n", version, scalar(p.Name))
	flows(&b, "", "sites", p.Sites, siteForm)
	flows(&b, "", "hosts", p.Hosts, hostForm)
	if len(p.Clusters) > 0 {
		b.WriteString("clusters:\n")
	}
	for _, c := range p.Clusters {
		block(&b, clusterForm(c), func() { flows(&b, "    ", "members", c.Members, memberForm) })
	}
	if len(p.Apps) > 0 {
		b.WriteString("apps:\n")
	}
	for _, a := range p.Apps {
		block(&b, appForm(a), nil)
		flows(&b, "    ", "instances", a.Instances, instanceForm)
	}
	flows(&b, "", "hooks", p.Hooks, hookForm)
	return b.Bytes()
}

// ExportedVersion reads the version from the first line of an exported file; false where it has none.
func ExportedVersion(data []byte) (uint64, bool) {
	m := exportedLine.FindSubmatch(data)
	if m == nil {
		return 0, false
	}
	v, err := strconv.ParseUint(string(m[1]), 10, 64)
	return v, err == nil
}

// flows writes a list with one line for each entry.
func flows[T any](b *bytes.Buffer, indent, key string, entries []T, form func(T) []setting) {
	if len(entries) == 0 {
		return
	}
	fmt.Fprintf(b, "%s%s:\n", indent, key)
	for _, e := range entries {
		fmt.Fprintf(b, "%s  - %s\n", indent, flow(form(e), ""))
	}
}

// block writes an entry with one line for each setting; members come before the durability, which refers to them.
func block(b *bytes.Buffer, settings []setting, members func()) {
	lead := "  - "
	for _, s := range nested(settings) {
		if s.key == "durability" && members != nil {
			members()
		}
		fmt.Fprintf(b, "%s%s: %s\n", lead, s.key, s.value)
		lead = "    "
	}
}
