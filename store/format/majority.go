package format

import "fmt"

// VerifyMajority reads a signed note and insists that it is a checkpoint of the
// cluster which more than half of the keys signed, and none of them wrongly.
func VerifyMajority(text string, cluster ID, keys []NoteKey) (Checkpoint, error) {
	n, err := ParseNote(text)
	if err != nil {
		return Checkpoint{}, err
	}
	c, err := ParseCheckpoint(n.Text)
	if err != nil {
		return c, err
	}
	signed := 0
	for _, k := range keys {
		_, ok, spoilt := n.SignedBy(k)
		if spoilt {
			return c, fmt.Errorf("the signature of node %s does not verify", k.Name)
		}
		if ok {
			signed++
		}
	}
	switch {
	case c.Cluster != cluster:
		return c, fmt.Errorf("a checkpoint of cluster %x", c.Cluster[:])
	case signed*2 <= len(keys):
		return c, fmt.Errorf("%d of %d nodes signed, a majority is needed", signed, len(keys))
	}
	return c, nil
}
