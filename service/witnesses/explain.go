package witnesses

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"

	"github.com/sago-worm/sago/service/client/cosign"
	"github.com/sago-worm/sago/store/format"
)

// explain finds out what a refusal means, and says so: to the log when it is
// new, and in the status. It answers whether all is well in spite of it.
func (w *Witnesses) explain(ctx context.Context, to cosign.Witness, refused error) bool {
	var ahead *cosign.Ahead
	if !errors.As(refused, &ahead) && !errors.Is(refused, cosign.ErrContradiction) {
		w.say(to.Key.Name, "not cosigned: "+refused.Error())
		return false
	}
	theirs, note, err := w.shown(ctx, to)
	if had, ok := w.newest(to.Key); err != nil && ok {
		if what, _ := w.denies(had.cp); what != "" {
			theirs, note, err = had.cp, had.Note, nil // it signed this, and this node saw it do so
		}
	}
	if err != nil {
		// Its word alone is no proof: a witness may lie.
		w.say(to.Key.Name, fmt.Sprintf("not cosigned: %v; it shows no checkpoint of it: %v", refused, err))
		return false
	}
	seen := fmt.Sprintf("witness %s has seen size %d root %s", to.Key.Name, theirs.Size, base64.StdEncoding.EncodeToString(theirs.Root[:]))
	what, err := w.denies(theirs)
	has := w.log.Summary().Size
	switch {
	case err != nil:
		w.say(to.Key.Name, "not cosigned: "+seen+"; own tree: "+err.Error())
	case what != "":
		w.alarm(to.Key.Name, fmt.Sprintf("%s: %s; this node has %d records and another history", what, seen, has))
	case theirs.Size > has:
		w.say(to.Key.Name, fmt.Sprintf("%s; this node has %d records yet", seen, has))
	case ahead == nil || ahead.Size != theirs.Size:
		w.say(to.Key.Name, fmt.Sprintf("not cosigned: %v, but it shows size %d of this very history", refused, theirs.Size))
	default: // another node has shown it more than this one
		line, ok := note.LineOf(to.Key)
		if ok {
			w.keep(to.Key, theirs, line)
		}
		return ok
	}
	return false
}

// What a checkpoint that the nodes signed shows when their history contradicts
// it.
const (
	rollback = "ROLLBACK" // fewer records at a later time
	fork     = "FORK"     // other records
)

// denies says how this node's history contradicts the checkpoint, "" if it does
// not, or not yet: a node that is behind has fewer records at an earlier time.
func (w *Witnesses) denies(c format.Checkpoint) (string, error) {
	now := w.log.Summary()
	if c.Size > now.Size {
		if now.Clock.Now > c.Clock || now.Applied >= c.Entry {
			return rollback, nil
		}
		return "", nil
	}
	root, err := w.log.RootAt(c.Size)
	if err == nil && root != c.Root {
		return fork, nil
	}
	return "", err
}

// shown is the newest checkpoint that the witness has cosigned, if a majority of
// this appliance's nodes signed it.
func (w *Witnesses) shown(ctx context.Context, to cosign.Witness) (format.Checkpoint, format.Note, error) {
	n, err := to.Newest(ctx, format.Origin(w.log.Summary().Checkpoint.Checkpoint.Cluster))
	if err != nil {
		return format.Checkpoint{}, n, err
	}
	c, err := format.ParseCheckpoint(n.Text)
	if err != nil {
		return c, n, err
	}
	if c.Cluster != w.log.Summary().Checkpoint.Checkpoint.Cluster {
		return c, n, errors.New("that of another log")
	}
	members := w.log.Members()
	signed := 0
	for _, m := range members {
		if _, ok := n.LineOf(format.NoteKey{Name: m.Name, Type: format.NoteECDSA, Key: m.PublicKey}); ok {
			signed++
		}
	}
	if 2*signed <= len(members) {
		return c, n, fmt.Errorf("only %d of %d nodes signed it", signed, len(members))
	}
	return c, n, nil
}

// say puts what is wrong into the status.
func (w *Witnesses) say(name, what string) {
	w.mu.Lock()
	changed := w.detail[name] != what
	w.detail[name] = what
	w.mu.Unlock()
	if changed {
		w.out.Warn("checkpoint not witnessed", "witness", name, "detail", what)
	}
}

// alarm is say for what does not pass by itself. It is logged each time.
func (w *Witnesses) alarm(name, what string) {
	w.mu.Lock()
	changed := w.kept.alarms[name] != what
	w.mu.Unlock()
	w.out.Error(what, "witness", name)
	if changed {
		w.change(func() { w.kept.alarms[name] = what })
	}
}
