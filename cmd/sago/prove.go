package main

import (
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/sago-worm/sago/service/client"
	"github.com/sago-worm/sago/store/format"
)

type historyProveCmd struct {
	Sequence       uint64 `arg:"" help:"${help_sequence}"`
	CheckpointSize uint64 `name:"checkpoint-size" help:"${help_size}" placeholder:"N"`
	To             string `name:"to" short:"o" help:"${help_proof_to}" default:"-" placeholder:"FILE"`
}

// Run proves one record.
func (c *historyProveCmd) Run(s *session) error {
	return s.with(func(cl *client.Client) error {
		p, err := cl.Prove(s.ctx, c.Sequence, c.CheckpointSize)
		return s.proof(p, c.To, err)
	})
}

type historyReceiptCmd struct {
	Sequence uint64 `help:"${help_sequence}" required:"" placeholder:"SEQUENCE"`
	LeafHash string `name:"leaf-hash" help:"${help_leaf_hash}" required:"" placeholder:"HEX"`
	To       string `name:"to" short:"o" help:"${help_proof_to}" default:"-" placeholder:"FILE"`
}

// Run gets the proof of a receipt, when a checkpoint covers it.
func (c *historyReceiptCmd) Run(s *session) error {
	r := client.Receipt{Sequence: c.Sequence}
	raw, err := hex.DecodeString(c.LeafHash)
	if err != nil || len(raw) != len(r.LeafHash) {
		return &inputError{"INVALID", "--leaf-hash is 64 hex digits"}
	}
	copy(r.LeafHash[:], raw)
	return s.with(func(cl *client.Client) error {
		p, err := cl.Receipt(s.ctx, r)
		return s.proof(p, c.To, err)
	})
}

// proof shows a verified proof: its file, here or where it is to go. A proof
// whose checkpoint contradicts the memory is shown all the same: it is evidence.
func (s *session) proof(p *client.Proof, to string, err error) error {
	if p == nil {
		return err
	}
	if to == "-" {
		if s.json {
			_, werr := s.stdout.Write(p.Encode())
			return errors.Join(err, werr)
		}
		return errors.Join(err, s.answer(nil, func(page *page) { proofPage(page, p) }))
	}
	f, werr := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if werr != nil {
		return errors.Join(err, &inputError{"FILE", werr.Error()})
	}
	_, werr = f.Write(p.Encode())
	if werr = errors.Join(werr, f.Close()); werr == nil {
		result := map[string]any{"sequence": p.Sequence, "leaf_hash": hexOf(p.LeafHash[:]), "checkpoint_size": p.Checkpoint.Checkpoint.Size, "file": filepath.Clean(to)}
		werr = s.answer(result, func(page *page) { proofPage(page, p); page.pair("파일", "file", filepath.Clean(to)) })
	}
	return errors.Join(err, werr)
}

func proofPage(page *page, p *client.Proof) {
	cp := p.Checkpoint.Checkpoint
	page.line("증명을 확인했습니다: "+decimal(p.Sequence), "proven: "+decimal(p.Sequence))
	page.pair("잎 해시", "leaf hash", hexOf(p.LeafHash[:]))
	page.pair("체크포인트 건수", "checkpoint records", cp.Size)
	page.pair("체크포인트 루트", "checkpoint root", hexOf(cp.Root[:]))
	page.pair("서명한 노드", "signed by", strings.Join(p.Checkpoint.Signers, ", "))
	page.pair("필요한 서명 수", "signatures needed", p.Checkpoint.Needed)
	page.pair("바이트", "encoded", hexOf(p.Record))
}

// keptJSON is what holding kept checkpoints against the appliance found.
type keptJSON struct {
	Intact  bool             `json:"intact"`
	Kept    []checkpointJSON `json:"kept"`
	Present *checkpointJSON  `json:"present"`
}

// verifyKept holds checkpoints from files against the running appliance.
func verifyKept(s *session, files []string) error {
	var notes, from []string // and the file of each
	for _, name := range files {
		b, err := os.ReadFile(name)
		if err != nil {
			return &inputError{"FILE", err.Error()}
		}
		found := notesIn(string(b))
		if len(found) == 0 {
			return damaged("%s: it holds no checkpoint", name)
		}
		notes = append(notes, found...)
		for range found {
			from = append(from, name)
		}
	}
	return s.with(func(cl *client.Client) error {
		result := keptJSON{Kept: []checkpointJSON{}}
		var verr error
		for i, note := range notes {
			present, kept, err := cl.VerifyKept(s.ctx, note)
			if verr = err; kept == nil {
				return fmt.Errorf("%w: in %s", err, from[i])
			}
			result.Kept = append(result.Kept, toCheckpoint(kept))
			if present != nil {
				shown := toCheckpoint(present)
				result.Present = &shown
			}
			if err != nil {
				break
			}
		}
		result.Intact = verr == nil
		return errors.Join(verr, s.answer(result, func(p *page) { keptPage(p, result) }))
	})
}

func toCheckpoint(c *client.SignedCheckpoint) checkpointJSON {
	return checkpointJSON{c.Checkpoint.Size, hexOf(c.Checkpoint.Root[:]), c.Checkpoint.Entry}
}

func keptPage(p *page, r keptJSON) {
	p.pair("확인됨", "verified", p.yes(r.Intact))
	for _, k := range r.Kept {
		p.pair("보관된 체크포인트", "kept checkpoint", decimal(k.Size)+" "+k.Root)
	}
	if r.Present != nil {
		p.pair("지금의 체크포인트", "present checkpoint", decimal(r.Present.Size)+" "+r.Present.Root)
	}
}

// notesIn finds the signed notes of a file: one as it is, or those of one line
// each. What is neither is left for the client to refuse.
func notesIn(text string) (notes []string) {
	if strings.Contains(text, "\n\n") {
		return []string{text}
	}
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(line); line == "" {
			continue
		}
		if n, err := format.ParseOneLine(strings.TrimSuffix(line, "|") + "|"); err == nil {
			line = n.String()
		}
		notes = append(notes, line)
	}
	return notes
}
