package config

import (
	"go.yaml.in/yaml/v3"

	"mainstay/controller/platform"
)

// Defaults of the platform file.
const defaultPort = 5432

// defaultAcks is 1 where the loss of a replica still leaves one to acknowledge, else 0: by default, a restart of the only replica must
// not stop commits.
func defaultAcks(members []platform.Member) (acks int) {
	all := ackers(members)
	for _, m := range members {
		switch {
		case !m.MayLead:
		case beside(all, m) < 2:
			return 0
		default:
			acks = 1
		}
	}
	return acks
}

// ackers counts the members whose acknowledgements may count.
func ackers(members []platform.Member) (n int) {
	for _, m := range members {
		if !m.NoAck {
			n++
		}
	}
	return n
}

// beside is the number of ackers that remain where m is primary.
func beside(all int, m platform.Member) int {
	if m.NoAck {
		return all
	}
	return all - 1
}

// ParsePlatform reads a platform file, fills in every default, and validates it. name is the file's name in the mistakes. The error is
// a Mistakes.
func ParsePlatform(name string, data []byte) (*platform.Platform, error) {
	var p platform.Platform
	r := readFile(name, data, func(r *reader) []field { return r.platform(&p) })
	if r.given(where{}) {
		checkPlatform(r, &p)
	}
	if err := r.found.err(); err != nil {
		return nil, err
	}
	return &p, nil
}

// Validate checks a platform that is not from a file by the same rules; defaults must be filled in. The error is a Mistakes without
// lines.
func Validate(p *platform.Platform) error {
	r := newReport("")
	checkPlatform(r, p)
	return r.found.err()
}

func (r *reader) platform(p *platform.Platform) []field {
	return []field{
		{"platform", r.text(&p.Name)},
		{"sites", list(r, &p.Sites, r.site)},
		{"hosts", list(r, &p.Hosts, r.host)},
		{"clusters", list(r, &p.Clusters, r.cluster)},
		{"apps", list(r, &p.Apps, r.app)},
		{"hooks", list(r, &p.Hooks, r.hook)},
	}
}

func (r *reader) site(n *yaml.Node, at where, s *platform.Site) {
	r.section(
		field{"name", r.text(&s.Name)},
		field{"witness", r.boolean(&s.Witness)},
	)(n, at)
}

func (r *reader) host(n *yaml.Node, at where, h *platform.Host) {
	r.section(
		field{"name", r.text(&h.Name)},
		field{"site", r.text(&h.Site)},
		field{"address", r.text(&h.Address)},
		field{"fence", list(r, &h.Fence, r.fenceDevice)},
		field{"watchdog", r.watchdog(&h.Watchdog)},
	)(n, at)
}

func (r *reader) cluster(n *yaml.Node, at where, c *platform.Cluster) {
	c.Durability = platform.Durability{From: platform.FromAny, WhenShort: platform.BlockWhenShort}
	c.Failover = platform.Failover{AcrossSites: platform.AcrossAutomatic, WhenIncomplete: platform.WaitWhenIncomplete}
	c.Lease = platform.DefaultLease
	r.section(
		field{"name", r.text(&c.Name)},
		field{"tier", r.text(&c.Tier)},
		field{"members", list(r, &c.Members, r.member)},
		field{"durability", r.section(
			field{"acks", r.integer(&c.Durability.Acks)},
			field{"from", word(r, &c.Durability.From)},
			field{"when-short", word(r, &c.Durability.WhenShort)},
		)},
		field{"failover", r.section(
			field{"across-sites", word(r, &c.Failover.AcrossSites)},
			field{"when-incomplete", r.whenIncomplete(&c.Failover)},
			field{"on-corruption", word(r, &c.Failover.OnCorruption)},
			field{"reachable-by", r.reachableBy(&c.Failover.ReachableBy)},
		)},
		field{"lease", r.duration(&c.Lease)},
		field{"slots-left-behind", word(r, &c.SlotsLeft)},
		field{"base-backups", word(r, &c.BaseBackups)},
		field{"integrity", r.integrity(c)},
		field{"backup", r.backup(&c.Backup)},
	)(n, at)
	if c.SlotsLeft == platform.AllowSlotsLeft {
		c.SlotsLeft = "" // the default is stored as "", so that controllers of an earlier build can read it
	}
	if c.Failover.OnCorruption == platform.WaitOnCorruption {
		c.Failover.OnCorruption = "" // likewise
	}
	if c.Freeze == platform.FreezeAutomatic {
		c.Freeze = "" // likewise
	}
	if c.BaseBackups == platform.EndBackups {
		c.BaseBackups = "" // likewise
	}
	if !r.given(at.field("durability").field("acks")) {
		c.Durability.Acks = defaultAcks(c.Members)
	}
}

func (r *reader) member(n *yaml.Node, at where, m *platform.Member) {
	m.Port, m.MayLead = defaultPort, true
	r.section(
		field{"name", r.text(&m.Name)},
		field{"host", r.text(&m.Host)},
		field{"port", r.integer(&m.Port)},
		field{"priority", r.integer(&m.Priority)},
		field{"may-lead", r.boolean(&m.MayLead)},
		field{"may-ack", r.not(&m.NoAck)},
	)(n, at)
}

// not reads true or false into its opposite.
func (r *reader) not(dst *bool) reading {
	return func(n *yaml.Node, at where) {
		value := !*dst
		r.boolean(&value)(n, at)
		*dst = !value
	}
}

// whenIncomplete reads the word wait, or a section with the time after which a bounded loss is accepted.
func (r *reader) whenIncomplete(f *platform.Failover) reading {
	return func(n *yaml.Node, at where) {
		if n.Kind != yaml.MappingNode {
			word(r, &f.WhenIncomplete)(n, at)
			return
		}
		f.WhenIncomplete = platform.AcceptWhenIncomplete
		r.section(field{"accept", r.duration(&f.AcceptAfter)})(n, at)
	}
}
