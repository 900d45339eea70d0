package testntp

import (
	"crypto/aes"
	"crypto/hmac"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/binary"
	"time"

	"github.com/aead/cmac"
)

const (
	packetSize = 48
	// AnswerZeroStratum as Behaviour.Stratum answers stratum 0 without a kiss code.
	AnswerZeroStratum = 255

	ntpUnixSeconds = 2_208_988_800 // from 1900-01-01 to 1970-01-01
)

// Key is a symmetric key of NTPv4.
type Key struct {
	ID     uint32
	Kind   string // sha1, sha256, sha512, aes128-cmac or aes256-cmac
	Secret []byte
}

// mac is the authenticator of a packet: at most 20 bytes in NTPv4.
func (k *Key) mac(packet []byte) []byte {
	keyed := append(append([]byte(nil), k.Secret...), packet...)
	switch k.Kind {
	case "sha1":
		sum := sha1.Sum(keyed)
		return sum[:]
	case "sha256":
		sum := sha256.Sum256(keyed)
		return sum[:20]
	case "sha512":
		sum := sha512.Sum512(keyed)
		return sum[:20]
	}
	block, err := aes.NewCipher(k.Secret)
	if err != nil {
		panic(err) // a test with a key of a wrong size
	}
	sum, err := cmac.Sum(packet, block, block.BlockSize())
	if err != nil {
		panic(err)
	}
	return sum
}

// accepts says whether the query carries this key's authenticator. No key accepts
// every query.
func (k *Key) accepts(query []byte) bool {
	if k == nil {
		return true
	}
	tail := query[packetSize:]
	return len(tail) > 4 && binary.BigEndian.Uint32(tail) == k.ID && hmac.Equal(tail[4:], k.mac(query[:packetSize]))
}

// reply builds the answer to a query of at least 48 bytes, stamped now.
func (b *Behaviour) reply(query []byte) []byte {
	now := b.now().Add(b.Offset)
	r := make([]byte, packetSize)
	stratum := b.Stratum
	switch {
	case b.Kiss != "" || stratum == AnswerZeroStratum:
		stratum = 0
	case stratum == 0:
		stratum = 1
	}
	r[0] = b.Leap<<6 | 4<<3 | 4 // version 4, mode server
	r[1] = stratum
	r[2] = query[2]
	r[3] = 0xe9 // 2^-23 s
	binary.BigEndian.PutUint32(r[4:], short(b.RootDelay))
	binary.BigEndian.PutUint32(r[8:], short(b.RootDispersion))
	copy(r[12:16], "TEST")
	if b.Kiss != "" {
		copy(r[12:16], b.Kiss)
	}
	binary.BigEndian.PutUint64(r[16:], Timestamp(now.Add(-b.StaleReference)))
	if !b.ZeroOrigin {
		copy(r[24:32], query[40:48])
	}
	binary.BigEndian.PutUint64(r[32:], Timestamp(now))
	if !b.ZeroTransmit {
		binary.BigEndian.PutUint64(r[40:], Timestamp(b.now().Add(b.Offset)))
	}
	if b.Key != nil {
		mac := b.Key.mac(r)
		r = append(binary.BigEndian.AppendUint32(r, b.Key.ID), mac...)
	}
	return r
}

// Timestamp is t as the 64 bits of NTP, whose seconds wrap in 2036.
func Timestamp(t time.Time) uint64 {
	seconds := uint64(uint32(t.Unix() + ntpUnixSeconds))
	return seconds<<32 | uint64(t.Nanosecond())<<32/1_000_000_000
}

// short is d as an NTP short: 16.16 seconds.
func short(d time.Duration) uint32 { return uint32(d << 16 / time.Second) }
