package audit

import (
	"context"
	"encoding/hex"
	"errors"
	"time"

	"github.com/sago-worm/sago/store/format"
)

const (
	checkpointName = "checkpoint"
	maxCheckpoint  = 64 << 10
)

// Options are what a caller may add to a verification.
type Options struct {
	// Kept are checkpoint notes of other days; the export's tree must contain them.
	Kept []string
	// Progress, if set, is told now and then how many hashes and records of how
	// many are done.
	Progress func(done, total uint64)
}

// run is one verification under way.
type run struct {
	ctx      context.Context
	dir      folder
	manifest manifest
	tree     format.Checkpoint // signed
	kept     []*kept
	progress func(done, total uint64)
	done     uint64
	total    uint64
}

// step counts what is done and ends the work when the caller wants it ended.
func (r *run) step(n int) error {
	r.done += uint64(n)
	if r.progress != nil {
		r.progress(min(r.done, r.total), r.total)
	}
	return r.ctx.Err()
}

// VerifyExport verifies the export in dir by the keys, in the order of checks of
// docs/formats/export.md, and stops at the first that fails. The error is nil
// only for the result OK; otherwise it is a *Failure, or the context's. The
// report says what was found as far as it came.
func VerifyExport(ctx context.Context, dir string, keys Keys, o Options) (Report, error) {
	report := newReport(keys)
	err := (&run{ctx: ctx, dir: folder(dir), progress: o.Progress}).verify(keys, o.Kept, &report)
	report.end(err)
	return report, err
}

func (r *run) verify(keys Keys, notes []string, report *Report) (err error) {
	if err := keys.check(); err != nil {
		return failed(KeysUnreadable, "", "the keys: %v", err)
	}
	if r.kept, err = readKept(notes, keys); err != nil {
		return err
	}
	if err := r.readManifest(); err != nil {
		return err
	}
	r.manifest.report(report)
	cp, err := r.readCheckpoint(keys)
	if err != nil {
		return err
	}
	r.tree = cp.Checkpoint
	report.Size, report.Root, report.Clock = cp.Size, hex.EncodeToString(cp.Root[:]), instant(uint64(cp.Clock))
	report.Signers, report.Witnesses = cp.signers, cp.witnesses
	if err := r.manifest.fits(r.tree); err != nil {
		return err
	}
	if err := r.checkBody(report); err != nil {
		return err
	}
	if err := compareKept(r.kept, r.tree, report); err != nil {
		return err
	}
	if len(cp.witnesses) < keys.Needed {
		return failed(Unwitnessed, checkpointName, "%d witnesses cosigned, %d are needed", len(cp.witnesses), keys.Needed)
	}
	return nil
}

// checkBody holds every file behind the checkpoint against it.
func (r *run) checkBody(report *Report) error {
	r.total = r.manifest.end - r.manifest.first
	if r.manifest.tree() {
		r.total += r.tree.Size
		if err := (&tiles{run: r}).check(); err != nil {
			return err
		}
	}
	c, err := newContents(r)
	if err != nil {
		return err
	}
	err = c.check()
	report.Records = c.records
	if cerr := c.readable.close(); err == nil {
		err = cerr
	}
	if err != nil {
		return err
	}
	return r.walk("", expected{r.manifest.tree(), r.tree.Size, c.bundles, c.singular}, 0)
}

func (r *run) readManifest() error {
	text, err := r.dir.read(manifestName, maxManifest)
	var f *Failure
	if errors.As(err, &f) && f.Reason != IOError {
		return failed(NotAnExport, manifestName, "there is none, or it is too long")
	}
	if err == nil {
		r.manifest, err = parseManifest(text)
	}
	return err
}

func (r *run) readCheckpoint(keys Keys) (checked, error) {
	text, err := r.dir.read(checkpointName, maxCheckpoint)
	var f *Failure
	if errors.As(err, &f) && f.Reason == FileExtra {
		return checked{}, failed(CheckpointMalformed, checkpointName, "%s", f.Detail)
	}
	if err != nil {
		return checked{}, err
	}
	return checkNote(string(text), keys)
}

func (m manifest) report(r *Report) {
	r.Scope, r.Cluster, r.Institution, r.InstitutionCode = m.scope, m.cluster, m.institution, m.code
	r.Since, r.Until, r.First, r.End, r.Minimum = instant(m.since), instant(m.until), m.first, m.end, m.minimum
	r.ExportSequence = m.exports
}

// lastInstant is the end of the year 9999, which is as far as RFC 3339 goes.
const lastInstant = 253402300799999999

// instant writes microseconds since 1970 as RFC 3339; nil for 0, and for what RFC
// 3339 cannot say.
func instant(micros uint64) *string {
	if micros == 0 || micros > lastInstant {
		return nil
	}
	s := time.UnixMicro(int64(micros)).UTC().Format("2006-01-02T15:04:05.000000Z")
	return &s
}
