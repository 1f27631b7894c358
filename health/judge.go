package health

// JudgeInstance is what the observers together say of an instance: Well or Down where the fresh votes of a majority of all
// expected observers agree, else unknown. nil is an observer without a fresh vote; it is counted against nobody.
func JudgeInstance(votes []*InstanceVote, expected int) Working {
	return judge(votes, expected, func(v *InstanceVote) Working { return v.Health })
}

// JudgeReaches is the same of whether the instance reaches the primary of the cluster that its app is a witness of.
func JudgeReaches(votes []*InstanceVote, expected int) Working {
	return judge(votes, expected, func(v *InstanceVote) Working { return v.Reaches })
}

func judge(votes []*InstanceVote, expected int, says func(*InstanceVote) Working) Working {
	count := map[Working]int{}
	for _, v := range votes {
		if v != nil {
			count[says(v)]++
		}
	}
	for _, w := range []Working{Well, Down} {
		if 2*count[w] > max(expected, len(votes)) {
			return w
		}
	}
	return WorkingUnknown
}
