package member

import "mainstay/health"

// mends tells whether a page of the present data must be replaced. Only a standby's is, and only once for each operation.
func mends(in *Input) bool {
	done := uint64(0)
	if m := in.Durable.Mended; m != nil {
		done = m.Number
	}
	s := in.Seen
	return in.Goal.Mends(in.Durable.Incarnation, done) && s.Data == health.DataPresent && !(s.Process == health.ProcessEnded && s.AsPrimary)
}

// mend stops the replica, replaces the page, and leaves the start to what follows.
func mend(in *Input) Act {
	switch s := in.Seen; {
	case s.Process == health.ProcessEnded:
		return in.act(Mend, in.Goal.Mend.Page)
	case s.Role == health.RoleStandby:
		return in.act(StopClean, "to mend "+in.Goal.Mend.Page)
	}
	return in.wait("waiting for PostgreSQL to answer before it is stopped to mend " + in.Goal.Mend.Page)
}
