package decide

import "mainstay/health"

// instanceVotes are the fresh words of the expected observers about an instance; nil for one that says nothing.
func (in Input) instanceVotes(app, instance string) []*health.InstanceVote {
	votes := make([]*health.InstanceVote, 0, len(in.Controllers))
	for _, c := range in.Controllers {
		votes = append(votes, in.View.InstanceVote(c, app, instance, in.suspect(), in.Now))
	}
	return votes
}
