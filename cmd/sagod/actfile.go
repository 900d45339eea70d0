package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/sago-worm/sago/internal/durable"
	"github.com/sago-worm/sago/store/format"
)

// actBlock is the type of the text block that a signed act travels in: its
// canonical encoding in base64 between BEGIN and END lines.
const actBlock = "SAGO ACT"

func actText(signed format.SignedAct) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: actBlock, Bytes: signed.Encode()})
}

// readAct reads a signed act's file; there must be nothing else in it.
func readAct(path string) (format.SignedAct, error) {
	raw, err := os.ReadFile(path)
	if err != nil {
		return format.SignedAct{}, err
	}
	block, rest := pem.Decode(raw)
	if block == nil || block.Type != actBlock || len(bytes.TrimSpace(rest)) > 0 {
		return format.SignedAct{}, fmt.Errorf("%s is not one %q block", path, actBlock)
	}
	signed, err := format.DecodeSignedAct(block.Bytes)
	if err != nil {
		return signed, fmt.Errorf("%s: %w", path, err)
	}
	return signed, nil
}

// readCeremony reads the document of a ceremony, signed or not.
func readCeremony(path string) (format.SignedAct, format.Act, format.Ceremony, error) {
	var c format.Ceremony
	signed, err := readAct(path)
	if err != nil {
		return signed, format.Act{}, c, err
	}
	act, err := format.DecodeAct(signed.Document)
	if err == nil && act.Kind != format.ActKindCeremony {
		err = fmt.Errorf("the act is of kind %d, not a ceremony", act.Kind)
	}
	if err == nil {
		c, err = format.DecodeCeremony(act.Params)
	}
	if err != nil {
		return signed, act, c, fmt.Errorf("%s: %w", path, err)
	}
	return signed, act, c, c.Check()
}

func digestOf(signed format.SignedAct) format.Digest { return sha256.Sum256(signed.Document) }

// writeNew writes a file for its owner alone, which must not exist; its name is
// on disk when it returns.
func writeNew(path string, data []byte) error {
	f, err := durable.CreateExclusive(path, os.O_WRONLY, 0o600)
	if errors.Is(err, os.ErrExist) {
		return inputf("%s exists and is not overwritten", path)
	}
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

// beside is name as a file in dir names it.
func beside(dir, name string) string {
	if name == "" || filepath.IsAbs(name) {
		return name
	}
	return filepath.Join(dir, name)
}

// replaceAct writes an act's file anew, with another signature.
func replaceAct(path string, signed format.SignedAct) error {
	return durable.WriteFile(path, actText(signed), 0o600)
}
