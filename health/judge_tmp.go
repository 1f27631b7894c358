package health

// JudgeInstance combines the fresh votes.
func JudgeInstance(votes []*InstanceVote, expected int) Working {
	return judge(votes, expected, func(v *InstanceVote) Working { return v.Health })
}

// JudgeReach is the same of the witness check.
func JudgeReach(votes []*InstanceVote, expected int) Working {
	return judge(votes, expected, func(v *InstanceVote) Working { return v.Reaches })
}

func judge(votes []*InstanceVote, expected int, of func(*InstanceVote) Working) Working {
	n := map[Working]int{}
	for _, v := range votes {
		if v != nil {
			n[of(v)]++
		}
	}
	for _, w := range []Working{Well, Down} {
		if 2*n[w] > expected {
			return w
		}
	}
	return WorkingUnknown
}
