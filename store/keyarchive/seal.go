package keyarchive

import (
	"crypto/ecdh"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"

	"github.com/sago-worm/sago/store/format"
	"github.com/sago-worm/sago/store/keyring"
)

// Labels of derived keys and associated data. A label is never used twice.
const (
	labelShare   = "sago archive share v1"
	labelEntry   = "sago archive entry v1"
	labelEnd     = "sago archive end v1"
	labelRelease = "sago archive release v1"
)

// PublicKey is a public key as formats hold it: a compressed point of P-256.
type PublicKey = [format.PublicKeySize]byte

type sealed = [format.SealedKeySize]byte

// PublicOf compresses a public key of P-256.
func PublicOf(key *ecdh.PublicKey) PublicKey { return compressed(key.Bytes()) }

// compressed makes that of an uncompressed point: 4, x, y.
func compressed(b []byte) (out PublicKey) {
	out[0] = 2 + b[len(b)-1]&1
	copy(out[1:], b[1:])
	return out
}

// NewPrivateKey draws a key that something may be sealed to.
func NewPrivateKey() (*ecdh.PrivateKey, error) { return ecdh.P256().GenerateKey(rand.Reader) }

const privateBlock = "PRIVATE KEY"

// PrivateKeyText is a private key as its file holds it: PKCS #8 in PEM. The caller
// wipes it.
func PrivateKeyText(key *ecdh.PrivateKey) ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	defer clear(der)
	return pem.EncodeToMemory(&pem.Block{Type: privateBlock, Bytes: der}), nil
}

// ParsePrivateKey reads a private key of P-256 from its file's text.
func ParsePrivateKey(text []byte) (*ecdh.PrivateKey, error) {
	block, _ := pem.Decode(text)
	if block == nil || block.Type != privateBlock {
		return nil, errors.New("no private key in PEM")
	}
	defer clear(block.Bytes)
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, err
	}
	own, ok := key.(interface {
		ECDH() (*ecdh.PrivateKey, error)
	})
	if !ok {
		return nil, errors.New("not a key of P-256")
	}
	private, err := own.ECDH()
	if err == nil && private.Curve() != ecdh.P256() {
		err = errors.New("not a key of P-256")
	}
	return private, err
}

// sealTo seals 32 bytes to a public key: an ephemeral key's ECDH secret, KBKDF over
// both public keys, AES-256-GCM. The ephemeral key is used once and wiped.
func sealTo(to PublicKey, label string, data []byte, secret *[32]byte) (ephemeral PublicKey, out sealed, err error) {
	public, err := format.RecoveryPublicKey(to[:])
	if err != nil {
		return ephemeral, out, err
	}
	own, err := keyring.NewEphemeral(rand.Reader)
	if err != nil {
		return ephemeral, out, err
	}
	return sealFrom(own, public, to, label, data, secret)
}

// sealFrom seals with a key of its own, which it wipes.
func sealFrom(own *keyring.Ephemeral, public *ecdh.PublicKey, to PublicKey, label string, data []byte, secret *[32]byte) (ephemeral PublicKey, out sealed, err error) {
	defer own.Wipe()
	ephemeral = compressed(own.Public())
	key, err := agreed(own, public, ephemeral, to, label)
	if err != nil {
		return ephemeral, out, err
	}
	defer clear(key[:])
	copy(out[:], keyring.SealNth(key, 0, labelled(label, data), secret[:]))
	return ephemeral, out, nil
}

// openFrom opens what sealTo sealed; keyring.ErrSealed for anything else.
func openFrom(own *ecdh.PrivateKey, label string, data []byte, ephemeral PublicKey, in sealed) (secret [32]byte, err error) {
	public, err := format.RecoveryPublicKey(ephemeral[:])
	if err != nil {
		return secret, err
	}
	key, err := agreed(own, public, ephemeral, PublicOf(own.PublicKey()), label)
	if err != nil {
		return secret, err
	}
	defer clear(key[:])
	return open32(key, 0, labelled(label, data), in[:])
}

// agreed derives the key that only the two keys' owners know.
func agreed(own interface {
	ECDH(*ecdh.PublicKey) ([]byte, error)
}, other *ecdh.PublicKey, ephemeral, to PublicKey, label string) ([32]byte, error) {
	shared, err := own.ECDH(other)
	if err != nil {
		return [32]byte{}, err
	}
	defer clear(shared)
	return keyring.DeriveKey([32]byte(shared), label, append(ephemeral[:], to[:]...)), nil
}

func open32(key [32]byte, n uint64, data, in []byte) (out [32]byte, err error) {
	defer clear(key[:])
	plain, err := keyring.OpenNth(key, n, data, in)
	if err != nil {
		return out, err
	}
	defer clear(plain)
	if copy(out[:], plain) != len(plain) || len(plain) != len(out) {
		return [32]byte{}, keyring.ErrSealed
	}
	return out, nil
}

func labelled(label string, data []byte) []byte { return append([]byte(label+"\x00"), data...) }
