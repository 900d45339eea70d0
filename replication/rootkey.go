package replication

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/sago-worm/sago/internal/durable"
	"github.com/sago-worm/sago/store"
)

// formerFile is the root key before the present one while a rotation goes on:
//
//	absent             no rotation
//	root.key itself    a second name of it: the rotation had not begun
//	another key        key blocks may still be sealed under it
//	zeros              destroyed; the rotation is not on record yet
const formerFile = "root.key.old"

// rootText is the length of a root key's file in bytes: hex and a line feed.
const rootText = 2*len(store.RootKey{}) + 1

// rotationState is how far a node's rotation has come.
type rotationState uint8

const (
	rotationNone rotationState = iota
	rotationRewrapping
	rotationRecording
)

// readRoot reads a root key's file; fs.ErrNotExist without one.
func readRoot(path string) (key store.RootKey, err error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return key, err
	}
	defer clear(text)
	if n, err := hex.Decode(make([]byte, len(key)+1), bytes.TrimSpace(text)); err != nil || n != len(key) {
		return key, fmt.Errorf("%s is not 32 bytes of hex", filepath.Base(path))
	}
	_, err = hex.Decode(key[:], bytes.TrimSpace(text))
	return key, err
}

func writeRoot(path string, key store.RootKey) error {
	text := append(hex.AppendEncode(make([]byte, 0, rootText), key[:]), '\n')
	defer clear(text)
	return durable.WriteFile(path, text, 0o600)
}

// readRoots reads the present root key, and the one before while it is needed.
func readRoots(dir string) (root, former store.RootKey, state rotationState, err error) {
	if root, err = readRoot(filepath.Join(dir, rootKeyFile)); err != nil {
		return root, former, state, err
	}
	path := filepath.Join(dir, formerFile)
	raw, err := os.ReadFile(path)
	defer clear(raw)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return root, former, rotationNone, nil
	case err != nil:
		return root, former, state, err
	case bytes.Equal(raw, make([]byte, len(raw))):
		return root, former, rotationRecording, nil
	}
	if former, err = readRoot(path); err != nil {
		return root, former, state, err
	}
	if former == root {
		return root, store.RootKey{}, rotationNone, nil
	}
	return root, former, rotationRewrapping, nil
}

// tidyRoots takes away what a rotation that had not begun left: a second name of
// the root key, or a new key that was never used.
func tidyRoots(dir string) error {
	root := filepath.Join(dir, rootKeyFile)
	if err := wipeFile(root + ".tmp"); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	} else if err == nil {
		if err := durable.Remove(root + ".tmp"); err != nil {
			return err
		}
	}
	now, err := os.Stat(root)
	if err != nil {
		return err
	}
	second, err := os.Stat(filepath.Join(dir, formerFile))
	if errors.Is(err, fs.ErrNotExist) || err == nil && !os.SameFile(now, second) {
		return nil
	}
	if err != nil {
		return err
	}
	return durable.Remove(filepath.Join(dir, formerFile))
}

// wipeFile zeroes a small file in place, durably.
func wipeFile(path string) error {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	st, err := f.Stat()
	if err == nil {
		_, err = f.WriteAt(make([]byte, st.Size()), 0)
	}
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

// drawRoot draws a root key.
func drawRoot() (key store.RootKey) {
	_, _ = rand.Read(key[:]) // never fails
	return key
}
