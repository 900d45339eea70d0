package sink

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/sago-worm/sago/internal/durable"
	"github.com/sago-worm/sago/store/format"
)

// cursor is how far the sink is for certain: the first record that is not, and
// the leaf hash of the one before it.
type cursor struct {
	next uint64
	leaf format.Digest
}

// cursorJSON is its file (docs/formats/sink-line.md).
type cursorJSON struct {
	Next uint64 `json:"next"`
	Leaf string `json:"leaf"`
}

// errCursor says that the cursor's file cannot be believed.
var errCursor = errors.New("the sink's cursor is damaged: everything is sent again")

// readCursor answers the beginning where there is no file.
func readCursor(path string) (cursor, error) {
	raw, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return cursor{}, nil
	}
	if err != nil {
		return cursor{}, err
	}
	var c cursorJSON
	if err := format.DecodeSummed(raw, &c); err != nil {
		return cursor{}, fmt.Errorf("%s: %w: %w", path, errCursor, err)
	}
	leaf, err := hex.DecodeString(c.Leaf)
	if err != nil || len(leaf) != len(format.Digest{}) || c.Next == 0 {
		return cursor{}, fmt.Errorf("%s: %w", path, errCursor)
	}
	return cursor{c.Next, format.Digest(leaf)}, nil
}

func (c cursor) write(path string) error {
	text, err := format.EncodeSummed(cursorJSON{c.next, hex.EncodeToString(c.leaf[:])})
	if err != nil {
		return err
	}
	return durable.WriteFile(path, text, 0o600)
}
