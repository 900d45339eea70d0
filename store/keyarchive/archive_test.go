package keyarchive

import (
	"bytes"
	"crypto/ecdh"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/sago-worm/sago/store/format"
	"github.com/sago-worm/sago/store/keyring"
)

// TestTimesAndInverse holds the field's laws over all of it: GF(2^8) has 255
// invertible elements, and 2 times 0x80 is what the polynomial says.
func TestTimesAndInverse(t *testing.T) {
	if times(2, 0x80) != 0x1b || times(0x57, 0x83) != 0xc1 { // FIPS 197, 4.2
		t.Errorf("%#x, %#x", times(2, 0x80), times(0x57, 0x83))
	}
	for a := range 256 {
		if got := times(uint8(a), inverse(uint8(a))); got != 1 && a != 0 || a == 0 && got != 0 {
			t.Errorf("%d times its inverse is %d", a, got)
		}
	}
}

// TestAnyNeededSharesGiveTheSecret: any k of n do, in any order, and fewer give
// something else.
func TestAnyNeededSharesGiveTheSecret(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 16).Draw(t, "n")
		k := rapid.IntRange(1, n).Draw(t, "k")
		secret := [32]byte(rapid.SliceOfN(rapid.Byte(), 32, 32).Draw(t, "secret"))
		points, err := split(&secret, k, n)
		if err != nil {
			t.Fatal(err)
		}
		some := rapid.Permutation(points).Draw(t, "which")[:k]
		if combine(some) != secret {
			t.Fatalf("%d of %d do not give the secret", k, n)
		}
		if k > 1 && combine(some[:k-1]) == secret {
			t.Fatalf("%d of %d give it, %d are needed", k-1, n, k)
		}
	})
}

// TestOneShareLessSaysNothing: with k-1 shares fixed, every secret is as possible
// as any other: some k-th share leads to it.
func TestOneShareLessSaysNothing(t *testing.T) {
	secret := [32]byte{0xaa}
	points, err := split(&secret, 3, 5)
	if err != nil {
		t.Fatal(err)
	}
	known := points[:2]
	seen := map[byte]bool{}
	for y := range 256 {
		seen[combine(append(slices.Clone(known), Point{X: 3, Y: [32]byte{byte(y)}}))[0]] = true
	}
	if len(seen) != 256 {
		t.Errorf("%d secrets are possible", len(seen))
	}
}

// officers are holders with their private keys.
type officers struct {
	keys    []*ecdh.PrivateKey
	holders []format.ArchiveHolder
}

func newOfficers(t testing.TB, n int) (o officers) {
	for i := range n {
		key, err := NewPrivateKey()
		if err != nil {
			t.Fatal(err)
		}
		public := PublicOf(key.PublicKey())
		o.keys = append(o.keys, key)
		o.holders = append(o.holders, format.ArchiveHolder{Person: uint64(10 + i), PublicKey: public[:]})
	}
	return o
}

var head = format.ArchiveHead{Cluster: format.ID{1}, Period: format.ID{2}, From: 3, Sequence: 40, Needed: 2}

func slotOf(i int) format.Slot { return format.Slot{Block: format.ID{byte(i % 3)}, Index: uint32(i)} }

func keyOf(i int) (key [32]byte) {
	key[0], key[31] = byte(i), 1
	return key
}

// write makes an archive of n keys.
func (o officers) write(t testing.TB, h format.ArchiveHead, n int) []byte {
	var out bytes.Buffer
	w, err := NewWriter(&out, h, o.holders)
	if err != nil {
		t.Fatal(err)
	}
	for i := range n {
		if err := w.Add(slotOf(i), keyOf(i)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.End(); err != nil {
		t.Fatal(err)
	}
	if w.key != [32]byte{} {
		t.Error("the writer still knows the key")
	}
	return out.Bytes()
}

func check(t testing.TB, raw []byte) *Archive {
	t.Helper()
	a, err := Check(bytes.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// open opens an archive with the keys of some officers.
func (o officers) open(raw []byte, who ...int) (map[format.Slot][32]byte, error) {
	a, err := Check(bytes.NewReader(raw))
	if err != nil {
		return nil, err
	}
	var points []Point
	for _, i := range who {
		p, err := a.Point(o.keys[i])
		if err != nil {
			return nil, err
		}
		points = append(points, p)
	}
	key, err := a.Key(points)
	if err != nil {
		return nil, err
	}
	out := map[format.Slot][32]byte{}
	err = a.Open(bytes.NewReader(raw), key, func(s format.Slot, key [32]byte) error { out[s] = key; return nil })
	return out, err
}

// TestArchiveOpensWithEnoughHolders: any two of three, and nobody else.
func TestArchiveOpensWithEnoughHolders(t *testing.T) {
	o := newOfficers(t, 3)
	raw := o.write(t, head, 7)
	for _, who := range [][]int{{0, 1}, {2, 0}, {1, 2}, {2, 1, 0}} {
		got, err := o.open(raw, who...)
		if err != nil || len(got) != 7 {
			t.Fatalf("%v: %d keys, %v", who, len(got), err)
		}
		for i := range 7 {
			if got[slotOf(i)] != keyOf(i) {
				t.Errorf("%v: slot %d holds another key", who, i)
			}
		}
	}
	for _, who := range [][]int{{}, {1}, {1, 1}} {
		if _, err := o.open(raw, who...); !errors.Is(err, ErrTooFew) {
			t.Errorf("%v: %v", who, err)
		}
	}
	stranger, err := NewPrivateKey()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := check(t, raw).Point(stranger); !errors.Is(err, ErrNotHolder) {
		t.Error(err)
	}
	if got, err := o.open(o.write(t, head, 0), 0, 1); err != nil || len(got) != 0 {
		t.Errorf("an archive without keys: %d, %v", len(got), err)
	}
	two := head
	two.Needed = 4
	if _, err := NewWriter(&bytes.Buffer{}, two, o.holders); err == nil {
		t.Error("four of three")
	}
}

// TestAlteredArchivesAreRefused changes each byte, cuts at each place and adds one:
// never another key, and never fewer of them. So it is when checksums and digest are
// made to fit.
func TestAlteredArchivesAreRefused(t *testing.T) {
	o := newOfficers(t, 2)
	raw := o.write(t, head, 2)
	for i := range raw {
		bent := bytes.Clone(raw)
		bent[i] ^= 0x10
		if _, err := o.open(bent, 0, 1); err == nil {
			t.Errorf("byte %d is of no account", i)
		}
		if _, err := Check(bytes.NewReader(raw[:i])); !errors.Is(err, ErrDamaged) {
			t.Errorf("cut at %d: %v", i, err)
		}
		if i < format.FileHeaderSize {
			continue
		}
		mended := mend(bent)
		if _, err := o.open(mended, 0, 1); err == nil && !bytes.Equal(mended, raw) {
			t.Errorf("byte %d is of no account once checksums fit", i)
		}
	}
	if _, err := Check(bytes.NewReader(append(bytes.Clone(raw), 0))); !errors.Is(err, ErrDamaged) {
		t.Error(err)
	}
	other := o.write(t, head, 2)
	mixed := mend(append(bytes.Clone(raw[:len(raw)-format.ArchiveEndSize-format.ArchiveEntrySize]), other[len(raw)-format.ArchiveEndSize-format.ArchiveEntrySize:]...))
	if _, err := Check(bytes.NewReader(mixed)); err != nil {
		t.Fatal("not mended:", err)
	}
	if _, err := o.open(mixed, 0, 1); !errors.Is(err, ErrDamaged) {
		t.Error(err)
	}
}

// mend makes checksums and digest of an archive right where its lengths are.
func mend(raw []byte) []byte {
	raw = bytes.Clone(raw)
	size := format.ArchiveHeadSize(raw[:format.ArchivePrefixSize])
	if size > len(raw) {
		return raw
	}
	sum := func(b []byte) {
		var w format.Writer
		w.U32(format.Checksum(b[:len(b)-4]))
		copy(b[len(b)-4:], w.Bytes())
	}
	sum(raw[format.FileHeaderSize:size])
	end := len(raw) - format.ArchiveEndSize
	for at := size; at+format.ArchiveEntrySize <= end; at += format.ArchiveEntrySize {
		sum(raw[at : at+format.ArchiveEntrySize])
	}
	e, err := format.DecodeArchiveEnd(raw[end:])
	if err != nil {
		return raw
	}
	a := counted{sum: sha256.New()}
	a.sum.Write(raw[:end])
	e.Digest = format.Digest(a.sum.Sum(nil))
	copy(raw[end:], e.Encode())
	return raw
}

// TestSharesAreReleasedToOneRequest: what holders released to a node's request
// opens their archives, for it alone.
func TestSharesAreReleasedToOneRequest(t *testing.T) {
	o := newOfficers(t, 3)
	later := head
	later.From, later.Sequence = 40, 60
	first, second := o.write(t, head, 3), o.write(t, later, 2)
	archives := []*Archive{check(t, first), check(t, second)}
	node, err := NewPrivateKey()
	if err != nil {
		t.Fatal(err)
	}
	q, err := ParseRequest(RequestText(format.ReleaseRequest{Cluster: head.Cluster, Node: 2, Key: PublicOf(node.PublicKey()), Signature: []byte{1}}))
	if err != nil {
		t.Fatal(err)
	}
	points := map[uint64][]Point{}
	for _, i := range []int{2, 0} {
		given, err := Release(q, o.keys[i], archives)
		if err != nil {
			t.Fatal(err)
		}
		if given, err = ParseRelease(ReleaseText(given)); err != nil || given.Person != uint64(10+i) || given.Period != head.Period {
			t.Fatal(given.Person, err)
		}
		got, err := Take(node, given)
		if err != nil {
			t.Fatal(err)
		}
		for seq, p := range got {
			points[seq] = append(points[seq], p)
		}
		given.Shares[0].Sequence, given.Shares[1].Sequence = 60, 40
		if _, err := Take(node, given); !errors.Is(err, keyring.ErrSealed) {
			t.Error("shares of one archive were taken for another's:", err)
		}
		if _, err := Take(o.keys[0], given); err == nil {
			t.Error("another's request was answered")
		}
	}
	for i, raw := range [][]byte{first, second} {
		a := archives[i]
		key, err := a.Key(points[a.Sequence])
		if err != nil {
			t.Fatal(err)
		}
		n := 0
		err = a.Open(bytes.NewReader(raw), key, func(format.Slot, [32]byte) error { n++; return nil })
		if err != nil || n != 3-i {
			t.Errorf("%d keys, %v", n, err)
		}
		if _, err := a.Key(points[100-a.Sequence]); !errors.Is(err, ErrDamaged) {
			t.Error("another archive's shares opened it:", err)
		}
	}
	q.Cluster[0]++
	if _, err := Release(q, o.keys[0], archives); err == nil {
		t.Error("released to another cluster's node")
	}
}

// TestPrivateKeyText reads what it wrote, and nothing that is no key of P-256.
func TestPrivateKeyText(t *testing.T) {
	key, err := NewPrivateKey()
	if err != nil {
		t.Fatal(err)
	}
	text, err := PrivateKeyText(key)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := ParsePrivateKey(text); err != nil || !got.Equal(key) {
		t.Error(err)
	}
	other, err := ecdh.P384().GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	if text, err = PrivateKeyText(other); err != nil {
		t.Fatal(err)
	}
	for _, bad := range [][]byte{nil, []byte("x"), text} {
		if _, err := ParsePrivateKey(bad); err == nil {
			t.Errorf("%q was taken", bad)
		}
	}
}

// FuzzCheck: no panic, and what is taken is what a writer would have written.
func FuzzCheck(f *testing.F) {
	o := newOfficers(f, 2)
	f.Add(o.write(f, head, 0))
	f.Add(o.write(f, head, 3))
	f.Fuzz(func(t *testing.T, raw []byte) {
		for _, b := range [][]byte{raw, mendSafely(raw)} {
			a, err := Check(bytes.NewReader(b))
			if err != nil {
				if !errors.Is(err, ErrDamaged) {
					t.Fatal(err)
				}
				continue
			}
			want := len(a.Encode()) + int(a.End.Entries)*format.ArchiveEntrySize + format.ArchiveEndSize
			if len(b) != want || !bytes.HasPrefix(b, a.Encode()) || !bytes.HasSuffix(b, a.End.Encode()) {
				t.Fatalf("%d bytes were taken for %d", len(b), want)
			}
		}
	})
}

func mendSafely(raw []byte) []byte {
	if len(raw) < format.ArchivePrefixSize+format.ArchiveEndSize {
		return raw
	}
	return mend(raw)
}

// TestTheKeyThatSealedIsWiped: what sealed a share cannot be asked to open it.
func TestTheKeyThatSealedIsWiped(t *testing.T) {
	holder, err := NewPrivateKey()
	if err != nil {
		t.Fatal(err)
	}
	own, err := keyring.NewEphemeral(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	before, err := own.ECDH(holder.PublicKey())
	if err != nil {
		t.Fatal(err)
	}
	secret := [32]byte{7}
	ephemeral, in, err := sealFrom(own, holder.PublicKey(), PublicOf(holder.PublicKey()), labelShare, nil, &secret)
	if err != nil {
		t.Fatal(err)
	}
	if after, err := own.ECDH(holder.PublicKey()); err == nil && bytes.Equal(after, before) {
		t.Error("the key works still")
	}
	if got, err := openFrom(holder, labelShare, nil, ephemeral, in); err != nil || got != secret {
		t.Errorf("the holder opens %x: %v", got, err)
	}
}
