package health

// JudgeInstance is the observers' verdict on an instance: Well or Down if the fresh votes of a majority of all expected observers
// agree, else unknown. nil is an observer without a fresh vote; it counts for neither.
func JudgeInstance(votes []*InstanceVote, expected int) Working {
	return judge(votes, expected, func(v *InstanceVote) Working { return v.Health })
}

// JudgeReaches is the observers' verdict on whether the instance reaches the primary of the cluster that its app is a witness of.
func JudgeReaches(votes []*InstanceVote, expected int) Working {
	return judge(votes, expected, func(v *InstanceVote) Working { return v.Reaches })
}

func judge(votes []*InstanceVote, expected int, says func(*InstanceVote) Working) Working {
	well, down := 0, 0
	for _, v := range votes {
		switch {
		case v == nil:
		case says(v) == Well:
			well++
		case says(v) == Down:
			down++
		}
	}
	switch most := max(expected, len(votes)); {
	case 2*well > most:
		return Well
	case 2*down > most:
		return Down
	}
	return WorkingUnknown
}
