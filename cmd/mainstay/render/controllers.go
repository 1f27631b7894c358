package render

import (
	"fmt"

	"mainstay/controller/wire"
)

// Controllers is the list of the controllers, with the next command where some are not reached.
func Controllers(c wire.Controllers, o Options) string {
	var rows []row
	for _, m := range c.Members {
		rows = append(rows, row{cells: []cell{{or(m.Name, "?"), bold}, {m.Address, plain}, standing(m), {or(m.Version, "-"), plain},
			{m.RaftID, dim}}, below: remark(m)})
	}
	s := o.table("", []string{"CONTROLLER", "ADDRESS", "STATE", "VERSION", "RAFT ID"}, rows)
	up, all := reached(c.Members), len(c.Members)
	switch {
	case c.Leader != "":
	case up > all/2:
		s += "\nno leader: a majority answers, so an election should end within seconds; otherwise read the controllers' logs\n"
	default:
		s += fmt.Sprintf("\nno leader: %d of %d known controllers answer, but a majority is needed; start the others, or check the network "+
			"between them\n", up, all)
	}
	return s
}

func standing(m wire.Controller) cell {
	switch {
	case m.Leader:
		return cell{"leader", green}
	case m.Reached:
		return cell{"reached", plain}
	}
	return cell{"not reached", red}
}

func remark(m wire.Controller) (below []cell) {
	if m.Error != "" {
		below = append(below, cell{m.Error, red})
	}
	if m.CertificateEnds != "" {
		below = append(below, cell{"its certificate ends " + m.CertificateEnds +
			": issue a new one with `mainstay cert issue`, copy it, and reload the controller", yellow})
	}
	return below
}
