package config

import (
	"fmt"
	"strconv"

	"go.yaml.in/yaml/v3"

	"mainstay/controller/platform"
)

// integrity reads when the data of a cluster's members is checked in depth, and whether replicas are frozen. A schedule without any check
// is none.
func (r *reader) integrity(c *platform.Cluster) reading {
	return func(n *yaml.Node, at where) {
		var s platform.CheckSchedule
		compare := r.checkPlan(&s.Compare, field{"full", r.every(&s.Compare.Full, longSpan)})
		r.section(field{"compare", compare}, field{"structure", r.checkPlan(&s.Structure)}, field{"freeze", word(r, &c.Freeze)})(n, at)
		if s != (platform.CheckSchedule{}) {
			c.Integrity = &s
		}
	}
}

// checkPlan reads a plan, and more that this depth has; off, and every: off, mean never, whatever else is there.
func (r *reader) checkPlan(p *platform.CheckPlan, more ...field) reading {
	return func(n *yaml.Node, at where) {
		if n.Kind == yaml.ScalarNode {
			if n.Value != "off" {
				r.unread(n, at, quote(n.Value)+" is not a schedule", "write how often, such as {every: 168h}, or off")
			}
			return
		}
		r.section(append([]field{{"every", r.every(&p.Every, longSpan)}, {"rate", r.integer(&p.Rate)}, {"share", r.integer(&p.Share)}},
			more...)...)(n, at)
		switch every := at.field("every"); {
		case n.Kind != yaml.MappingNode:
		case !r.given(every):
			r.unread(n, at, "every is missing", "write how often, such as {every: 168h}, or off")
		case p.Every == 0 && !r.broken[every.key]:
			*p = platform.CheckPlan{}
		default: // 0 is the default where the file gives none, so it may not give 0 itself
			for _, b := range planBounds(*p) {
				if b.value == 0 && r.given(at.field(b.key)) {
					r.add(at.field(b.key), b.wrong(), b.do)
				}
			}
		}
	}
}

// longSpan is what an interval of days may be.
const longSpan = "write a time such as 168h, or off"

// planBound is a number of a plan: 0, or between 1 and most.
type planBound struct {
	key         string
	value, most int
	do          string
}

func planBounds(p platform.CheckPlan) []planBound {
	return []planBound{{"rate", p.Rate, highestRate, "write the MB of each member to read in a second, such as 20"},
		{"share", p.Share, 100, "write the percent of each hour in which it may work, such as 25"}}
}

func (b planBound) wrong() string { return fmt.Sprintf("%d is not between 1 and %d", b.value, b.most) }

func (c *checks) checkSchedule(at where, s *platform.CheckSchedule) {
	for _, d := range []platform.CheckDepth{platform.CheckCompare, platform.CheckStructure} {
		p, at := s.Plan(d), at.field(string(d))
		switch {
		case p == platform.CheckPlan{}:
			continue
		case p.Every < shortestScans || p.Every > longestScans:
			c.add(at.field("every"), span(p.Every)+" is not between 1s and 8760h", longSpan)
		}
		for _, b := range planBounds(p) {
			if b.value < 0 || b.value > b.most {
				c.add(at.field(b.key), b.wrong(), b.do)
			}
		}
		if p.Full != 0 && (p.Full <= p.Every || p.Full > longestScans) {
			c.add(at.field("full"), span(p.Full)+" is not longer than every, "+span(p.Every)+", and at most 8760h",
				"write how old the last comparison of all pages may become, such as 720h, or leave it out: then all are")
		}
	}
}

func checkForm(key string, p platform.CheckPlan) setting {
	if p.Every == 0 {
		return setting{key, "off", true}
	}
	return setting{key, flow([]setting{{"every", span(p.Every), false}, {"rate", strconv.Itoa(p.Rate), p.Rate == 0},
		{"share", strconv.Itoa(p.Share), p.Share == 0}, {"full", span(p.Full), p.Full == 0}}, ""), false}
}

// checkNote says when the check will be made from now on.
func checkNote(what string, p platform.CheckPlan) string {
	if p.Every == 0 {
		return what + " is made only when an operator asks for it"
	}
	note := what + " is made " + span(p.Every) + " after the last one has ended; `mainstay integrity show` says when"
	if p.Full > 0 {
		note += "; it reads what has changed since, and all pages where that was not done for " + span(p.Full)
	}
	return note
}
