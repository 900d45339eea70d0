package backup

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"

	"github.com/sago-worm/sago/store/format"
)

// Report says what a backup holds.
type Report struct {
	Manifest
	// NewMissing are those of Missing that this run found.
	NewMissing []uint64
	// Bundles is how many bundles are here, Ended how many places of ended ones.
	Bundles, Ended uint64
	// Size is the length of all files, bytes; Digest the manifest's.
	Size   uint64
	Digest format.Digest
}

// scan is what one pass over records finds.
type scan struct {
	ended map[uint64]bool // STORE records whose bundles the records say have ended
	root  format.Frontier
}

// Finish ends a run: the history here is that of the note, which the caller has
// verified. Of the bundles below Payload those that are not here and have not ended
// are told, and the places of those that have ended are overwritten; then the
// manifest is written.
func (d *Dir) Finish(ctx context.Context, note string, c format.Checkpoint) (Report, error) {
	f, err := d.Frontier()
	if err != nil {
		return Report{}, err
	}
	if c.Cluster != d.cluster || c.Size != f.Size() || c.Root != f.Root() {
		return Report{}, fmt.Errorf("%w: the checkpoint is of %d records, %d are here", ErrMismatch, c.Size, f.Size())
	}
	var before Manifest
	if d.run != nil {
		before = *d.run
	}
	ended := map[uint64]bool{}
	err = d.Kept(ctx, min(before.Records, before.Payload), c.Size, func(_ uint64, encoded []byte) error { return d.end(encoded, ended) })
	var found []uint64
	if err == nil {
		found, err = d.absent(ctx, before.Payload, ended)
	}
	for i := 0; i < len(d.payload) && err == nil; i++ {
		if d.payload[i].any(ended) {
			err = d.destroy(ctx, d.payload[i], ended)
		}
	}
	if err == nil {
		err = d.write(checkpointFile, []byte(note))
	}
	if err != nil {
		return Report{}, err
	}
	m := Manifest{Cluster: d.cluster, Records: c.Size, Root: c.Root, Payload: d.Payload(), Clock: c.Clock}
	if m.Keys, m.Lacking, err = d.chained(ctx, before, c.Size); err != nil {
		return Report{}, err
	}
	m.Archives = uint64(len(m.Keys))
	m.Missing = append(slices.DeleteFunc(slices.Clone(before.Missing), func(seq uint64) bool { return ended[seq] }), found...)
	raw, err := m.encode()
	if err == nil {
		err = d.write(manifestFile, raw)
	}
	if err != nil {
		return Report{}, err
	}
	d.run, d.brought, d.lacking = &m, nil, nil
	out := Report{Manifest: m, NewMissing: found, Digest: sha256.Sum256(raw)}
	out.Size, err = d.Size()
	return out, err
}

func (s span) any(of map[uint64]bool) bool {
	for seq := range of {
		if seq >= s.first && seq < s.end {
			return true
		}
	}
	return false
}

// end takes note of the bundle that a record says has ended.
func (d *Dir) end(encoded []byte, ended map[uint64]bool) error {
	rec, err := format.DecodeRecord(encoded)
	if err != nil {
		return err
	}
	store, ends, err := rec.Ends()
	if ends {
		ended[store] = true
	}
	return err
}

// absent lists the bundles stored from a sequence on that are not here and have not
// ended.
func (d *Dir) absent(ctx context.Context, from uint64, ended map[uint64]bool) (missing []uint64, err error) {
	have := map[uint64]bool{}
	for _, s := range d.payload {
		if s.end <= from {
			continue
		}
		if err := d.heads(ctx, s, func(p placed, _ *reader) error { have[p.Store] = true; return nil }); err != nil {
			return nil, err
		}
	}
	err = d.stores(ctx, from, d.Payload(), func(seq uint64, _ format.StoreEffect) error {
		if !have[seq] && !ended[seq] {
			missing = append(missing, seq)
		}
		return nil
	})
	return missing, err
}

// stores tells each of the STORE records [from, to) that are here.
func (d *Dir) stores(ctx context.Context, from, to uint64, each func(sequence uint64, e format.StoreEffect) error) error {
	return d.Kept(ctx, from, to, func(seq uint64, encoded []byte) error {
		rec, err := format.DecodeRecord(encoded)
		if err != nil || rec.Action != format.ActStore {
			return err
		}
		e, err := format.DecodeStoreEffect(rec.Effect)
		if err != nil {
			return err
		}
		return each(seq, e)
	})
}

// Stored is a STORE record's sequence and effect.
type Stored struct {
	Sequence uint64
	format.StoreEffect
}

// NextStore answers one after the other the STORE records [from, to) that are here,
// io.EOF behind the last; stop ends it.
func (d *Dir) NextStore(ctx context.Context, from, to uint64) (next func() (Stored, error), stop func()) {
	return pull(func(each func(Stored) error) error {
		return d.stores(ctx, from, to, func(seq uint64, e format.StoreEffect) error { return each(Stored{seq, e}) })
	})
}

// Verify reads the whole backup: the history up to the checkpoint, whose note
// check verifies, and every bundle that has not ended against its STORE record.
// What is not as it was written is a *format.DamageError or wraps ErrMismatch.
func (d *Dir) Verify(ctx context.Context, check func(note string) (format.Checkpoint, error), progress func(done, of uint64)) (Report, error) {
	if d.run == nil {
		return Report{}, fmt.Errorf("%w: %s: no run has ended here", ErrDirectory, d.path)
	}
	c, s, err := d.verifyHistory(ctx, check, progress)
	if err != nil {
		return Report{}, err
	}
	out := Report{Manifest: *d.run}
	if c.Size != d.run.Records || c.Root != d.run.Root {
		return out, d.damage(manifestFile, 0, "manifest", fmt.Errorf("%d records, %d were signed", d.run.Records, c.Size))
	}
	effects := map[uint64]format.StoreEffect{}
	for _, p := range d.payload {
		if err := d.verifyPayload(ctx, p, s.ended, effects, &out); err != nil {
			return out, err
		}
	}
	if err := d.verifyArchives(ctx); err != nil {
		return out, err
	}
	raw, err := d.run.encode()
	if err != nil {
		return out, err
	}
	out.Digest = sha256.Sum256(raw)
	out.Size, err = d.Size()
	return out, err
}

func (d *Dir) verifyHistory(ctx context.Context, check func(string) (format.Checkpoint, error), progress func(done, of uint64)) (c format.Checkpoint, s scan, err error) {
	note, err := d.Note()
	if err != nil {
		return c, s, d.damage(checkpointFile, 0, "checkpoint", err)
	}
	if c, err = check(note); err != nil {
		return c, s, d.damage(checkpointFile, 0, "checkpoint", err)
	}
	if c.Size > d.Records() || c.Size < d.Whole() {
		return c, s, d.damage(historyDir, -1, fmt.Sprintf("record %d", d.Records()), fmt.Errorf("%d records were signed", c.Size))
	}
	s.ended = map[uint64]bool{}
	if d.beginning != nil {
		if err := d.verifyBeginning(ctx, &s); err != nil {
			return c, s, err
		}
	}
	err = d.Range(ctx, d.Whole(), c.Size, func(seq uint64, encoded []byte) error {
		s.root.Add(format.LeafHash(encoded))
		if progress != nil && seq%4096 == 0 {
			progress(seq, c.Size)
		}
		return d.end(encoded, s.ended)
	})
	if err == nil && s.root.Root() != c.Root {
		err = d.damage(historyDir, -1, fmt.Sprintf("the first %d records", c.Size), errors.New("they do not have the root that a majority signed"))
	}
	return c, s, err
}

// verifyBeginning takes in the leaf hashes, and holds the carried records against
// theirs.
func (d *Dir) verifyBeginning(ctx context.Context, s *scan) error {
	carried := map[uint64]format.Digest{}
	err := d.carried(ctx, func(seq uint64, encoded []byte) error {
		carried[seq] = format.LeafHash(encoded)
		return d.end(encoded, s.ended)
	})
	if err != nil {
		return err
	}
	err = d.leaves(ctx, func(leaf format.Digest) error {
		seq := s.root.Size()
		if own, ok := carried[seq]; ok && own != leaf {
			return d.damage(beginningFile, -1, fmt.Sprintf("carried record %d", seq), errors.New("it does not have its leaf hash"))
		}
		s.root.Add(leaf)
		return nil
	})
	if err == nil && s.root.Size() != d.Whole() {
		err = d.damage(beginningFile, -1, "leaf hashes", fmt.Errorf("%d of %d", s.root.Size(), d.Whole()))
	}
	return err
}

// verifyPayload holds one file's bundles against their STORE records.
func (d *Dir) verifyPayload(ctx context.Context, s span, ended map[uint64]bool, effects map[uint64]format.StoreEffect, out *Report) error {
	clear(effects)
	if err := d.stores(ctx, s.first, s.end, func(seq uint64, e format.StoreEffect) error { effects[seq] = e; return nil }); err != nil {
		return err
	}
	err := d.heads(ctx, s, func(p placed, r *reader) error {
		e, ok := effects[p.Store]
		delete(effects, p.Store)
		switch {
		case ended[p.Store]:
			out.Ended++
			return nil // zero, or what no restore takes
		case !ok || p.BundleHead != format.HeadOf(p.Store, e):
			return r.damage(fmt.Sprintf("the bundle of record %d", p.Store), errors.New("no STORE record is of it"))
		}
		out.Bundles++
		chunks, err := r.chunks(p.BundleHead)
		if err != nil {
			return err
		}
		digests := make([]format.Digest, len(chunks))
		for i, c := range chunks {
			digests[i] = c.Digest
			if c.Slot != e.Slot || int(c.Chunk) != i {
				return r.damage(fmt.Sprintf("the bundle of record %d", p.Store), errors.New("a chunk of another"))
			}
		}
		if format.BundleDigest(digests) != e.Digest {
			return r.damage(fmt.Sprintf("the bundle of record %d", p.Store), errors.New("its chunks do not have the digest that the record names"))
		}
		return nil
	})
	if err != nil {
		return err
	}
	for seq := range effects {
		if !ended[seq] && seq < d.run.Payload && !slices.Contains(d.run.Missing, seq) {
			return d.damage(s.name(payloadDir, payloadExt), -1, fmt.Sprintf("the bundle of record %d", seq), errors.New("it is missing, and no record says that it has ended"))
		}
	}
	return nil
}
