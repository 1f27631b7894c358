package health

// Count turns one controller's checks of one instance into a verdict that does not flap: from Down to Well it takes rise good checks
// in a row, and to Down fall bad ones. The zero value knows nothing: its first verdict needs a single good check, but fall
// bad ones, because a controller that has only just begun must not see every app down.
type Count struct {
	Verdict Working
	against int // checks in a row that contradict the verdict
}

// Add is the count after one more check. rise and fall are at least 1.
func (c Count) Add(good bool, rise, fall int) Count {
	says, enough := Down, fall
	switch {
	case good && c.Verdict == WorkingUnknown:
		says, enough = Well, 1
	case good:
		says, enough = Well, rise
	}
	if says == c.Verdict {
		return Count{Verdict: says}
	}
	if c.against++; c.against >= enough {
		return Count{Verdict: says}
	}
	return c
}
