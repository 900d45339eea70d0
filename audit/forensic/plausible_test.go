package forensic

import (
	"testing"

	"github.com/sago-worm/sago/store/format"
)

// TestWhatNoStoreTakesIsNoTarget: rows behind a bundle's key that is another row's value
// decode by accident, now and then.
func TestWhatNoStoreTakesIsNoTarget(t *testing.T) {
	good := target{Institution: 1, Slot: format.Slot{Block: format.ID{1}}, Size: 1216, Sealed: 1216 + 2*format.ChunkOverhead, Chunks: 1}
	if !good.plausible() {
		t.Fatal("a bundle is none")
	}
	for name, change := range map[string]func(*target){
		"no slot":   func(t *target) { t.Slot = format.Slot{} },
		"too large": func(t *target) { t.Size = 10211410236815319574 },
		"no chunk":  func(t *target) { t.Chunks = 0 },
		"too many":  func(t *target) { t.Chunks = 1 << 20 },
		"too short": func(t *target) { t.Sealed = 1 },
		"too long":  func(t *target) { t.Sealed = 1 << 60 },
	} {
		bad := good
		if change(&bad); bad.plausible() {
			t.Error(name)
		}
	}
}
