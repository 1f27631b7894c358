package config

import (
	"cmp"
	"encoding/json"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"mainstay/controller/platform"
)

// setting is one value of an entry, as the platform file writes it. Its key is dotted where the value is in a section of its own:
// durability.acks.
type setting struct {
	key, value string
	silent     bool // it is the default, which Export leaves out
}

// Entries of the platform as lists of settings: the form that Export writes and Diff compares.

func siteForm(s platform.Site) []setting {
	return []setting{
		{"name", scalar(s.Name), false},
		{"witness", strconv.FormatBool(s.Witness), !s.Witness},
	}
}

func hostForm(h platform.Host) []setting {
	return []setting{
		{"name", scalar(h.Name), false},
		{"site", scalar(h.Site), false},
		{"address", scalar(h.Address), false},
		{"fence", fenceForm(h.Fence), len(h.Fence) == 0},
		{"watchdog", watchdogWord(h.Watchdog), h.Watchdog == platform.WatchdogOff},
	}
}

// clusterForm omits the members. It always has acks: their default depends on the number of members, and adding a member to an
// exported file must not change the durability as well.
func clusterForm(c platform.Cluster) []setting {
	f := c.Failover
	incomplete := scalar(f.WhenIncomplete)
	if f.WhenIncomplete == platform.AcceptWhenIncomplete {
		incomplete = "{accept: " + span(f.AcceptAfter) + "}"
	}
	d := c.Durability
	return append([]setting{
		{"name", scalar(c.Name), false},
		{"tier", scalar(c.Tier), c.Tier == ""},
		{"durability.acks", strconv.Itoa(d.Acks), false},
		{"durability.from", scalar(d.From), d.From == platform.FromAny},
		{"durability.when-short", scalar(d.WhenShort), d.WhenShort == platform.BlockWhenShort},
		{"failover.across-sites", scalar(f.AcrossSites), f.AcrossSites == platform.AcrossAutomatic},
		{"failover.when-incomplete", incomplete, f.WhenIncomplete == platform.WaitWhenIncomplete},
		{"failover.on-corruption", string(cmp.Or(f.OnCorruption, platform.WaitOnCorruption)), f.OnCorruption == ""},
		{"failover.reachable-by", reachableByForm(f.ReachableBy), f.ReachableBy == nil},
		{"integrity.freeze", string(cmp.Or(c.Freeze, platform.FreezeAutomatic)), c.Freeze == ""},
		{"lease", span(c.Lease), c.Lease == platform.DefaultLease},
		{"slots-left-behind", string(cmp.Or(c.SlotsLeft, platform.AllowSlotsLeft)), c.SlotsLeft == ""},
		{"base-backups", string(cmp.Or(c.BaseBackups, platform.EndBackups)), c.BaseBackups == ""},
		checkForm("integrity.compare", c.Integrity.Plan(platform.CheckCompare)),
		checkForm("integrity.structure", c.Integrity.Plan(platform.CheckStructure)),
	}, backupForm(c.Backup)...)
}

func memberForm(m platform.Member) []setting {
	return []setting{
		{"name", scalar(m.Name), false},
		{"host", scalar(m.Host), false},
		{"port", strconv.Itoa(m.Port), m.Port == defaultPort},
		{"priority", strconv.Itoa(m.Priority), m.Priority == 0},
		{"may-lead", strconv.FormatBool(m.MayLead), m.MayLead},
		{"may-ack", strconv.FormatBool(!m.NoAck), !m.NoAck},
	}
}

// text is a setting that is silent where it is empty.
func text(key, value string) setting { return setting{key, scalar(value), value == ""} }

// number is a setting that is silent at its default.
func number(key string, value, otherwise int) setting {
	return setting{key, strconv.Itoa(value), value == otherwise}
}

// flow writes settings in one line, {name: feed-e1, host: db-e1}, without those that are silent or of the key except.
func flow(settings []setting, except string) string {
	var parts []string
	for _, s := range nested(settings) {
		if s.key != except {
			parts = append(parts, s.key+": "+s.value)
		}
	}
	return "{" + strings.Join(parts, ", ") + "}"
}

// nested drops the silent settings and joins those with a dotted key into one setting for their section.
func nested(settings []setting) (out []setting) {
	for _, s := range settings {
		if s.silent {
			continue
		}
		section, key, dotted := strings.Cut(s.key, ".")
		if !dotted {
			out = append(out, s)
			continue
		}
		inner := key + ": " + s.value
		if last := len(out) - 1; last >= 0 && out[last].key == section {
			out[last].value = strings.TrimSuffix(out[last].value, "}") + ", " + inner + "}"
		} else {
			out = append(out, setting{key: section, value: "{" + inner + "}"})
		}
	}
	return out
}

// plainNot are words that some YAML reader does not take for text.
var plainNot = []string{"y", "n", "yes", "no", "on", "off", "true", "false", "null"}

// scalar writes a text so that every YAML reader reads it back as that text: plain where it is a name or an IPv4 address, otherwise
// in JSON's quotes, which are valid YAML.
func scalar[T ~string](word T) string {
	s := string(word)
	ip, err := netip.ParseAddr(s)
	if isName(s) && !slices.Contains(plainNot, s) || err == nil && ip.Is4() {
		return s
	}
	var b strings.Builder
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(s) // a string always encodes, and a Builder takes it
	return strings.TrimSuffix(b.String(), "\n")
}
