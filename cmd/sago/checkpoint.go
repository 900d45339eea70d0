package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/sago-worm/sago/service/client"
	"github.com/sago-worm/sago/service/client/cosign"
	"github.com/sago-worm/sago/store/format"
)

type historyCheckpointCmd struct {
	Last       bool          `help:"${help_cp_last}" xor:"which"`
	Size       *uint64       `help:"${help_cp_size}" placeholder:"N" xor:"which"`
	Dir        string        `short:"o" help:"${help_cp_dir}" placeholder:"DIR"`
	Line       bool          `help:"${help_cp_line}"`
	QR         bool          `name:"qr" help:"${help_cp_qr}"`
	PNG        string        `name:"png" help:"${help_cp_png}" placeholder:"FILE"`
	Witness    string        `help:"${help_cp_witness}" placeholder:"URL" and:"witness"`
	WitnessKey string        `name:"witness-key" help:"${help_cp_witness_key}" placeholder:"VKEY" and:"witness"`
	Wait       time.Duration `help:"${help_cp_wait}" default:"0s"`
}

// anchorJSON is a checkpoint to keep outside the appliance.
type anchorJSON struct {
	Size            uint64   `json:"size"`
	Root            string   `json:"root"`
	Entry           uint64   `json:"entry"`
	Clock           *string  `json:"clock"`
	State           string   `json:"state"`
	Signers         []string `json:"signers"`
	Needed          int      `json:"needed"`
	Witnesses       uint32   `json:"witnesses"`
	WitnessesNeeded uint32   `json:"witnesses_needed"`
	CosignedBy      string   `json:"cosigned_by"`
	Note            string   `json:"note"`
	Line            string   `json:"line"`
	File            string   `json:"file"`
}

// Run takes a checkpoint, unless told otherwise, and anchors it where it is told.
func (c *historyCheckpointCmd) Run(s *session) error {
	if s.json && c.QR {
		return &inputError{"USAGE", "--qr is for people: with --output json take --png, or line"}
	}
	return s.with(func(cl *client.Client) error {
		cp, err := cl.Checkpoint(s.ctx, client.CheckpointQuery{Fresh: !c.Last && c.Size == nil, Size: c.Size})
		if err == nil {
			cp, err = c.awaitWitnesses(s, cl, cp)
		}
		if err != nil {
			return err
		}
		note, err := format.ParseNote(cp.Note)
		if err != nil {
			return damaged("%v", err)
		}
		cosigned, refused := c.submit(s, cl, cp.Checkpoint, &note)
		var away *waitError // a witness that is takes nothing from what the nodes signed
		if refused != nil && !errors.As(refused, &away) {
			return refused
		}
		if err := c.anchor(s, cp, note, cosigned); err != nil {
			return err
		}
		if cp.Witnesses < cp.WitnessesNeeded {
			counts := fmt.Sprintf("%d/%d", cp.Witnesses, cp.WitnessesNeeded)
			s.say("주의: 이 체크포인트에는 아직 증인 서명이 모자랍니다: "+counts, "caution: not witnessed yet: "+counts)
		}
		return refused
	})
}

// awaitEvery is how often the appliance is asked for its witnesses.
const awaitEvery = 250 * time.Millisecond

// awaitWitnesses gives the policy's witnesses time. That they did not sign is no
// failure: how many did stands in the answer.
func (c *historyCheckpointCmd) awaitWitnesses(s *session, cl *client.Client, cp *client.SignedCheckpoint) (*client.SignedCheckpoint, error) {
	if c.Wait > 0 && cp.Witnesses < cp.WitnessesNeeded {
		ctx, cancel := context.WithTimeout(s.ctx, c.Wait)
		defer cancel()
		tick := time.NewTicker(awaitEvery)
		defer tick.Stop()
		for size := cp.Checkpoint.Size; cp.Witnesses < cp.WitnessesNeeded && ctx.Err() == nil; {
			select {
			case <-ctx.Done():
			case <-tick.C:
				again, err := cl.Checkpoint(s.ctx, client.CheckpointQuery{Size: &size})
				if err != nil {
					return nil, err
				}
				cp = again
			}
		}
	}
	return cp, nil
}

// witnessWithin bounds one call of a witness.
const witnessWithin = 15 * time.Second

// submit has the witness that was named cosign the checkpoint, adds its line and
// answers its name.
func (c *historyCheckpointCmd) submit(s *session, cl *client.Client, cp format.Checkpoint, note *format.Note) (string, error) {
	if c.Witness == "" {
		return "", nil
	}
	key, err := format.ParseVKey(c.WitnessKey)
	if err != nil || key.Type != format.NoteCosignature {
		return "", &inputError{"USAGE", "--witness-key: not the key of a witness"}
	}
	w := cosign.Witness{URL: c.Witness, Key: key, HTTP: cosign.HTTP(nil, witnessWithin)}
	line, err := w.Ask(s.ctx, *note, cp.Size, 0, func(ctx context.Context, old uint64) ([]format.Digest, error) {
		return cl.ConsistencyProof(ctx, old, cp.Size)
	})
	var ahead *cosign.Ahead
	switch {
	case errors.As(err, &ahead), errors.Is(err, cosign.ErrContradiction):
		return "", c.contradicted(s.ctx, cl, w, cp, err)
	case errors.Is(err, cosign.ErrAnswer):
		return "", damaged("%s: %v", c.Witness, err)
	case err != nil:
		return "", &waitError{"WITNESS", c.Witness + ": " + err.Error()}
	}
	if _, ok := note.LineOf(key); !ok { // the appliance may have had it cosigned already
		note.Lines = append(note.Lines, line)
	}
	return key.Name, nil
}

// contradicted holds what the witness has cosigned against the appliance, which
// says whether the history was rolled back or forked.
func (c *historyCheckpointCmd) contradicted(ctx context.Context, cl *client.Client, w cosign.Witness, cp format.Checkpoint, refused error) error {
	theirs, err := w.Newest(ctx, format.Origin(cp.Cluster))
	if err != nil {
		return damaged("%v; it shows no checkpoint: %v", refused, err)
	}
	if _, _, err := cl.VerifyKept(ctx, theirs.String()); err != nil {
		return err
	}
	// A past checkpoint was shown, or others have shown it more meanwhile.
	return &waitError{"WITNESS", refused.Error() + ", which is of this history; take a new checkpoint"}
}

// anchor keeps and shows the note, and which witness that was asked cosigned it.
func (c *historyCheckpointCmd) anchor(s *session, cp *client.SignedCheckpoint, note format.Note, cosigned string) error {
	k := cp.Checkpoint
	result := anchorJSON{
		Size: k.Size, Root: hexOf(k.Root[:]), Entry: k.Entry, Clock: utc(clockOf(k.Clock)), State: hexOf(k.State[:]),
		Signers: append([]string{}, cp.Signers...), Needed: cp.Needed, Witnesses: cp.Witnesses, WitnessesNeeded: cp.WitnessesNeeded,
		CosignedBy: cosigned, Note: note.String(), Line: note.OneLine(),
	}
	if c.Dir != "" {
		var err error
		if result.File, err = keepAnchor(c.Dir, k, note); err != nil {
			return err
		}
	}
	if c.PNG != "" {
		if err := writePNG(c.PNG, result.Line); err != nil {
			return err
		}
	}
	if c.Line && !s.json {
		_, err := fmt.Fprintln(s.stdout, result.Line)
		return err
	}
	code := ""
	if c.QR {
		var err error
		if code, err = terminalQR(result.Line); err != nil {
			return err
		}
	}
	if err := s.answer(result, func(p *page) { anchorText(p, result, k.Clock) }); err != nil {
		return err
	}
	_, err := fmt.Fprint(s.stdout, code)
	return err
}
