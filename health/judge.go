package health

// JudgeInstance is the observers' verdict on an instance: Well or Down if the fresh observations of a majority of all expected observers
// agree, else unknown. nil is an observer without a fresh observation; it counts for neither.
func JudgeInstance(observations []*InstanceObservation, expected int) Working {
	return judge(observations, expected, func(v *InstanceObservation) Working { return v.Health })
}

// JudgeReaches is the observers' verdict on whether the instance reaches the primary of the cluster that its app's
// reachability check is about.
func JudgeReaches(observations []*InstanceObservation, expected int) Working {
	return judge(observations, expected, func(v *InstanceObservation) Working { return v.Reaches })
}

func judge(observations []*InstanceObservation, expected int, says func(*InstanceObservation) Working) Working {
	well, down := 0, 0
	for _, v := range observations {
		switch {
		case v == nil:
		case says(v) == Well:
			well++
		case says(v) == Down:
			down++
		}
	}
	switch most := max(expected, len(observations)); {
	case 2*well > most:
		return Well
	case 2*down > most:
		return Down
	}
	return WorkingUnknown
}
