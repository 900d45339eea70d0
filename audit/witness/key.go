package witness

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/sago-worm/sago/internal/durable"
	"github.com/sago-worm/sago/store/format"
)

// keyFile is in the witness's directory: one line, "PRIVATE+KEY+" and, as in a
// verifier key, name, key id in hex, and base64 of type ‖ Ed25519 seed.
const keyFile = "witness.key"

const keyPrefix = "PRIVATE+KEY+"

// Key is a witness's name and private key.
type Key struct {
	name    string
	private ed25519.PrivateKey
}

// OpenKey reads the key of a witness's directory, and makes it, and the
// directory, where there is none. name is the new key's; "" is taken for an
// existing one, which any other name than its own contradicts.
func OpenKey(dir, name string) (Key, error) {
	k, err := ReadKey(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return createKey(dir, name)
	}
	if err == nil && name != "" && name != k.name {
		err = fmt.Errorf("%s is the key of %q, not of %q: a witness keeps its name", filepath.Join(dir, keyFile), k.name, name)
	}
	return k, err
}

func createKey(dir, name string) (Key, error) {
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return Key{}, err
	}
	k := Key{name, private}
	if _, err := format.ParseVKey(k.Public().VKey()); err != nil || strings.Contains(name, "|") {
		return Key{}, fmt.Errorf("the name %q is not fit for a witness: no spaces, no plus sign, no bar", name)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return Key{}, err
	}
	public := k.Public()
	secret := base64.StdEncoding.EncodeToString(append([]byte{public.Type}, private.Seed()...))
	line := fmt.Sprintf("%s%s+%08x+%s\n", keyPrefix, name, public.ID(), secret)
	return k, durable.WriteFile(filepath.Join(dir, keyFile), []byte(line), 0o600)
}

// ReadKey reads the key of a witness's directory. Without one the error wraps
// fs.ErrNotExist.
func ReadKey(dir string) (Key, error) {
	path := filepath.Join(dir, keyFile)
	raw, err := os.ReadFile(path)
	if err != nil {
		return Key{}, err
	}
	line, private := strings.CutPrefix(strings.TrimSuffix(string(raw), "\n"), keyPrefix)
	parts := strings.SplitN(line, "+", 3)
	if !private || len(parts) != 3 {
		return Key{}, fmt.Errorf("%s: not a witness's key", path)
	}
	secret, err := base64.StdEncoding.Strict().DecodeString(parts[2])
	if err != nil || len(secret) != 1+ed25519.SeedSize || secret[0] != format.NoteCosignature {
		return Key{}, fmt.Errorf("%s: not a witness's key", path)
	}
	k := Key{parts[0], ed25519.NewKeyFromSeed(secret[1:])}
	if parts[1] != fmt.Sprintf("%08x", k.Public().ID()) {
		return Key{}, fmt.Errorf("%s: name and key do not belong together", path)
	}
	return k, nil
}

// Public is what others know the witness by.
func (k Key) Public() format.NoteKey {
	return format.NoteKey{Name: k.name, Type: format.NoteCosignature, Key: k.private.Public().(ed25519.PublicKey)}
}

// cosign signs a checkpoint's text at this instant, seconds since the Unix epoch.
func (k Key) cosign(text string, seconds uint64) format.NoteLine {
	signature := ed25519.Sign(k.private, []byte(format.CosignatureMessage(text, seconds)))
	return format.NoteLine{Name: k.name, KeyID: k.Public().ID(), Signature: append(binary.BigEndian.AppendUint64(nil, seconds), signature...)}
}
