package retention

import "slices"

// Choose picks, from all votes that answered the open round, the largest group
// that one entry may carry: sound votes of distinct voters that agree within the
// policy. It is a proposer's help and decides nothing: whether the group is
// enough, Advance says. Where an honest majority agrees, the group is at least
// as large, whatever the other voters answer.
func (c Clock) Choose(voters []uint32, votes []Vote, p ClockPolicy) []Vote {
	sorted := slices.Sorted(slices.Values(voters))
	var sound []Vote
	for _, v := range votes {
		line, known := lineOf(c.Lines, v.Voter)
		backward := known && line.BootID == v.BootID && v.BootReading < line.Last
		again := slices.ContainsFunc(sound, func(s Vote) bool { return s.Voter == v.Voter })
		if v.check(sorted, c.Round) == nil && !backward && !again {
			sound = append(sound, v)
		}
	}
	var best []Vote
	for _, first := range sound {
		var group []Vote
		for _, v := range sound {
			if v.Earliest >= first.Earliest && v.Latest.since(first.Earliest) <= p.Agreement {
				group = append(group, v)
			}
		}
		if len(group) > len(best) {
			best = group
		}
	}
	return best
}
