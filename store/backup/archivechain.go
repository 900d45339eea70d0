package backup

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"

	"github.com/sago-worm/sago/store/format"
)

// Key archives of a period are a chain: each begins where the one before it ended.
// The manifest names them by their digests, and the history names the manifest, so
// that nobody who can write to the directory makes a run pass over keys.

// KeyArchive is a key archive as a manifest names it.
type KeyArchive struct {
	Sequence uint64 // of its BACKUP record
	From     uint64 // its keys are of bundles that were stored from this record on
	Period   format.ID
	Digest   format.Digest // SHA-256 of the whole file
}

type archiveJSON struct {
	Sequence uint64 `json:"sequence"`
	From     uint64 `json:"from"`
	Period   string `json:"period"`
	Digest   string `json:"digest"`
}

func archivesJSON(list []KeyArchive) (out []archiveJSON) {
	for _, a := range list {
		out = append(out, archiveJSON{a.Sequence, a.From, hex.EncodeToString(a.Period[:]), hex.EncodeToString(a.Digest[:])})
	}
	return out
}

var errNotNamed = errors.New("not the archive that the manifest names")

// checkKeys refuses what no run could have written.
func (m *Manifest) checkKeys() error {
	for i, a := range m.Keys {
		if a.From > a.Sequence || i > 0 && m.Keys[i-1].Sequence >= a.Sequence {
			return fmt.Errorf("%w: key archives do not ascend", format.ErrMalformed)
		}
	}
	for i := range m.Lacking {
		if i > 0 && m.Lacking[i-1] >= m.Lacking[i] {
			return fmt.Errorf("%w: lacking keys do not ascend", format.ErrMalformed)
		}
	}
	return nil
}

// newestNamed is the sequence of the newest archive that the manifest names; 0 for
// none.
func (d *Dir) newestNamed() uint64 {
	if d.run == nil || len(d.run.Keys) == 0 {
		return 0
	}
	return d.run.Keys[len(d.run.Keys)-1].Sequence
}

// KeyChain is how far the key archives of the newest period here reach.
type KeyChain struct {
	Period format.ID
	// Sequence is the end of the chain: the next archive begins there. 0: it brings
	// every key.
	Sequence uint64
	// Lacking are STORE records before Sequence whose keys the archives lack.
	Lacking []uint64
	// Manifest is the digest of the manifest that says so, Records its records.
	Manifest format.Digest
	Records  uint64
	// Doubt says why archives that are here are not relied on; nil: all are.
	Doubt error
}

// KeyChain reads the key archives of the newest period and follows the chain to the
// last one that is good. What the manifest does not name is not relied on. Whether
// the history names the manifest, the appliance says.
func (d *Dir) KeyChain(ctx context.Context) (c KeyChain, err error) {
	if d.run == nil || len(d.run.Keys) == 0 {
		if len(d.archives) > 0 {
			c.Doubt = d.damage(archiveName(d.archives[0]), -1, "key archive", errNotNamed)
		}
		return c, nil
	}
	raw, err := d.run.encode()
	if err != nil {
		return c, err
	}
	c.Manifest, c.Records, c.Period = sha256.Sum256(raw), d.run.Records, d.run.Keys[len(d.run.Keys)-1].Period
	for _, k := range d.run.Keys {
		if k.Period != c.Period {
			continue
		}
		if err := ctx.Err(); err != nil {
			return c, err
		}
		if c.Doubt, err = d.follows(k, c.Sequence); c.Doubt != nil || err != nil {
			break
		}
		c.Sequence = k.Sequence
	}
	for _, store := range d.run.Lacking {
		if store < c.Sequence {
			c.Lacking = append(c.Lacking, store)
		}
	}
	if n := len(d.archives); err == nil && c.Doubt == nil && n > 0 && d.archives[n-1] > c.Sequence {
		c.Doubt = d.damage(archiveName(d.archives[n-1]), -1, "key archive", errNotNamed)
	}
	return c, err
}

// follows says why an archive does not go on where a chain ends.
func (d *Dir) follows(k KeyArchive, end uint64) (doubt, err error) {
	var damage *format.DamageError
	switch _, err := d.Archive(k.Sequence); {
	case errors.As(err, &damage):
		return err, nil
	case err != nil:
		return nil, err
	case k.From > end:
		return d.damage(archiveName(k.Sequence), -1, "key archive", fmt.Errorf("it begins at record %d, the one before it ends at %d", k.From, end)), nil
	}
	return nil, nil
}

// chained are the archives that the manifest of a run's end names, and the records whose
// keys they lack: those of the manifest before as far as the history names it, and
// the one that the run brought in place of those whose range it covers.
func (d *Dir) chained(ctx context.Context, before Manifest, size uint64) (keys []KeyArchive, lacking []uint64, err error) {
	if len(before.Keys) > 0 || len(before.Lacking) > 0 {
		named, err := d.named(ctx, before, size)
		if err != nil {
			return nil, nil, err
		}
		if named {
			keys, lacking = before.Keys, before.Lacking
		}
	}
	if d.brought == nil {
		return keys, lacking, nil
	}
	keys = slices.DeleteFunc(slices.Clone(keys), func(k KeyArchive) bool {
		return k.Period == d.brought.Period && k.Sequence > d.brought.From
	})
	return append(keys, *d.brought), d.lacking, nil
}

// named reports whether the records behind a manifest, up to size, name it.
func (d *Dir) named(ctx context.Context, m Manifest, size uint64) (named bool, err error) {
	raw, err := m.encode()
	if err != nil {
		return false, err
	}
	err = d.Kept(ctx, m.Records, size, func(_ uint64, encoded []byte) error {
		ends, err := format.EndsBackup(encoded, sha256.Sum256(raw), m.Records)
		named = named || ends
		return err
	})
	return named, err
}
