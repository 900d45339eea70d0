package main

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/sago-worm/sago/store/format"
)

// readNodeKeys reads NUMBER=FILE, where the file is the request that init node wrote
// with the new key.
func readNodeKeys(args []string) ([]format.NodeKey, error) {
	var keys []format.NodeKey
	for _, arg := range args {
		text, path, _ := strings.Cut(arg, "=")
		number, err := strconv.ParseUint(text, 10, 32)
		if err != nil || path == "" {
			return nil, inputf("--node-key %s: not NUMBER=FILE", arg)
		}
		node, err := readRequest(path)
		if err != nil {
			return nil, inputf("--node-key %s: %v", arg, err)
		}
		if uint64(node.Number) != number {
			return nil, inputf("--node-key %s: the request is node %d's", arg, node.Number)
		}
		keys = append(keys, format.NodeKey{Number: node.Number, PublicKey: node.PublicKey})
	}
	slices.SortFunc(keys, func(a, b format.NodeKey) int { return cmp.Compare(a.Number, b.Number) })
	return keys, nil
}

// keysText names the nodes that go on with new keys, for two persons to compare.
func keysText(p format.RestoreParams) string {
	if len(p.Keys) == 0 {
		return "none"
	}
	var out []string
	for _, k := range p.Keys {
		out = append(out, fmt.Sprintf("node %d: %s", k.Number, keyPrint(k.PublicKey)))
	}
	return strings.Join(out, ", ")
}

// agrees holds what the command line says of a loss against the act.
func (c *restoreCmd) agrees(signed format.SignedAct) error {
	act, err := format.DecodeAct(signed.Document)
	if err != nil {
		return &inputError{err.Error()}
	}
	p, err := format.DecodeRestoreParams(act.Params)
	if err != nil || act.Kind != format.ActKindRestore {
		return inputf("%s is no act of restore", c.Act)
	}
	if p.DeclaresLoss() != c.DeclareLoss {
		return inputf("--declare-loss is for an act that declares a loss, and this one: %s", lostText(p))
	}
	return nil
}
