package render

import (
	"strings"

	"mainstay/controller/wire"
	"mainstay/fencing"
)

// protections shows the protection of each member, in one line for members with the same protection.
func (o Options) protections(members []wire.MemberStatus) string {
	var all []wire.MemberProtection
	for _, m := range members {
		all = append(all, wire.MemberProtection{Member: m.Name, Protection: m.Protection})
	}
	return o.protectionTable(all)
}

// protectionTable stars a protection that is not complete, as memberRow does, and names each gap below it.
func (o Options) protectionTable(members []wire.MemberProtection) string {
	var order []string
	of := map[string][]wire.MemberProtection{}
	for _, m := range members {
		alike := m.String() + "\n" + strings.Join(m.Missing, "\n")
		if of[alike] == nil {
			order = append(order, alike)
		}
		of[alike] = append(of[alike], m)
	}
	var rows []row
	for _, alike := range order {
		first, names := of[alike][0], []string{}
		for _, m := range of[alike] {
			names = append(names, m.Member)
		}
		star := "  "
		if len(first.Missing) > 0 {
			star = "* "
		}
		r := texts(star+strings.Join(names, ", "), first.String())
		for _, gap := range first.Missing {
			r.below = append(r.below, cell{"  missing: " + gap, yellow})
		}
		rows = append(rows, r)
	}
	return o.table("  ", nil, rows)
}

func (o Options) protectionOf(members []wire.MemberProtection) string {
	if len(members) == 0 {
		return ""
	}
	return o.title("what protects each member") + o.protectionTable(members)
}

// proofs lists the proofs that could fence the primary; if only an operator's word could, that comes first.
func (o Options) proofs(views []wire.ProofView) string {
	if len(views) == 0 {
		return ""
	}
	var rows []row
	only := true
	for _, v := range views {
		word := cell{"no", yellow}
		switch {
		case v.Possible && v.About > 0:
			word = cell{"in about " + Span(v.About), green}
		case v.Possible:
			word = cell{"possible", green}
		}
		if v.Kind == fencing.Operator {
			word.style = plain
		} else if v.Possible {
			only = false
		}
		rows = append(rows, row{cells: []cell{{string(v.Kind), plain}, word, {v.Why, plain}}})
	}
	head := ""
	if only {
		head = "  " + o.paint(red, "only an operator's word could fence it now") + "\n"
	}
	return o.title("proofs that could fence the primary now") + head + o.table("  ", nil, rows)
}
