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
		theirs, note, err = had.cp, had.Note, nil // it signed this, and this node saw it do so
	}
	if err != nil {
		// Its word alone is no proof: a witness may lie.
		w.say(to.Key.Name, fmt.Sprintf("not cosigned: %v; it shows no checkpoint of it: %v", refused, err))
		return false
	}
	now := w.log.Summary()
	seen := fmt.Sprintf("witness %s has seen size %d root %s", to.Key.Name, theirs.Size, base64.StdEncoding.EncodeToString(theirs.Root[:]))
	switch {
	case theirs.Size > now.Size && (now.Clock.Now > theirs.Clock || now.Applied >= theirs.Entry):
		w.alarm(to.Key.Name, fmt.Sprintf("ROLLBACK: %s; this node has %d records at a later time", seen, now.Size))
	case theirs.Size > now.Size:
		w.say(to.Key.Name, fmt.Sprintf("%s; this node has %d records yet", seen, now.Size))
	default:
		return w.compare(to.Key, theirs, note, seen, refused)
	}
	return false
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
		if _, ok := lineOf(n, format.NoteKey{Name: m.Name, Type: format.NoteECDSA, Key: m.PublicKey}); ok {
			signed++
		}
	}
	if 2*signed <= len(members) {
		return c, n, fmt.Errorf("only %d of %d nodes signed it", signed, len(members))
	}
	return c, n, nil
}

// compare holds a checkpoint of the nodes against this node's own tree.
func (w *Witnesses) compare(key format.NoteKey, theirs format.Checkpoint, note format.Note, seen string, refused error) bool {
	root, err := w.log.RootAt(theirs.Size)
	switch {
	case err != nil:
		w.say(key.Name, "not cosigned: own tree: "+err.Error())
	case root != theirs.Root:
		w.alarm(key.Name, fmt.Sprintf("FORK: %s; this node's root of that size is %s", seen, base64.StdEncoding.EncodeToString(root[:])))
	case errors.Is(refused, cosign.ErrContradiction):
		w.say(key.Name, fmt.Sprintf("not cosigned: %v, but it shows a checkpoint of this very history", refused))
	default: // another node has shown it more than this one
		if line, ok := lineOf(note, key); ok {
			w.keep(key, theirs, line)
			return true
		}
	}
	return false
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
	if changed {
		w.change(func() { w.kept.alarms[name] = what })
	}
	w.out.Error(what, "witness", name)
}
