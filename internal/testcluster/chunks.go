package testcluster

import (
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"

	"github.com/sago-worm/sago/store/format"
)

// Chunk is one chunk of a bundle as a node's files hold it.
type Chunk struct {
	// File is the segment's path, Offset where the ciphertext begins in it.
	File   string
	Offset int64
	Header format.ChunkHeader
	// Ciphertext is the chunk's bytes; SealedKey the 64 bytes of its key slot.
	Ciphertext, SealedKey []byte
}

// Chunks reads every chunk of node i's segments, in order, by the format alone. The
// node may be running: a chunk that is not whole yet ends the reading of its file.
func (c *Cluster) Chunks(i int) ([]Chunk, error) {
	files, err := filepath.Glob(filepath.Join(c.DataDir(i), "segments", "*.seg"))
	if err != nil {
		return nil, err
	}
	var all []Chunk
	for _, f := range files {
		found, err := c.chunksOf(i, f)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", f, err)
		}
		all = append(all, found...)
	}
	return all, nil
}

func (c *Cluster) chunksOf(i int, file string) (found []Chunk, err error) {
	raw, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	for at := format.FileHeaderSize; at+format.ChunkHeaderSize <= len(raw); {
		h, err := format.DecodeChunkHeader(raw[at:])
		if err != nil {
			return found, nil
		}
		at += format.ChunkHeaderSize
		if h.Erased {
			continue
		}
		if at+int(h.Length) > len(raw) {
			return found, nil
		}
		sealed, err := c.keySlot(i, h.Slot)
		if err != nil {
			return nil, err
		}
		found = append(found, Chunk{file, int64(at), h, raw[at : at+int(h.Length)], sealed})
		at += int(h.Length)
	}
	return found, nil
}

// keySlotSize is the length in bytes of a slot (docs/formats/key-block.md).
const keySlotSize = 64

// keySlot reads the bytes of a key slot on node i.
func (c *Cluster) keySlot(i int, slot format.Slot) (sealed []byte, err error) {
	f, err := os.Open(filepath.Join(c.DataDir(i), "keys", hex.EncodeToString(slot.Block[:])+".kb"))
	if err != nil {
		return nil, err
	}
	defer f.Close() // opened for reading: nothing can be lost
	sealed = make([]byte, keySlotSize)
	_, err = f.ReadAt(sealed, format.FileHeaderSize+keySlotSize*int64(slot.Index))
	return sealed, err
}
