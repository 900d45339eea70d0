package replication

import (
	"crypto/sha256"
	"testing"

	"github.com/sago-worm/sago/store/format"
)

// TestP46_RootBesideTheKeys: the root is that of the greatest size written down,
// survives a restart of the account, and another one of that size is damage.
func TestP46_RootBesideTheKeys(t *testing.T) {
	dir := t.TempDir()
	rootAt := func(size uint64) (format.Digest, error) { return sha256.Sum256([]byte{byte(size)}), nil }
	a, err := openAttestor(dir)
	if err == nil {
		err = a.begin(format.ID{1}, "")
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := a.checkRoot(rootAt); err != nil {
		t.Errorf("before anything was durable: %v", err)
	}
	for _, size := range []uint64{5, 9, 7, 0} { // what is not more changes nothing
		root, _ := rootAt(size)
		if err := a.raise(size, 1, size, root); err != nil {
			t.Fatal(err)
		}
	}
	if a, err = openAttestor(dir); err != nil {
		t.Fatal(err)
	}
	if err := a.checkRoot(rootAt); err != nil || a.have.Size != 9 {
		t.Errorf("size %d: %v", a.have.Size, err)
	}
	if err := a.checkRoot(func(uint64) (format.Digest, error) { return format.Digest{}, nil }); !isDamage(err) {
		t.Errorf("another root: %v", err)
	}
}
