package format_test

import (
	"bytes"
	"crypto/elliptic"
	"slices"
	"testing"

	"github.com/sago-worm/sago/store/format"
)

// exampleHolder holds the n-th test key as a recovery key, signed with the key of
// the number behind it.
func exampleHolder(n byte) format.ArchiveHolder {
	k := key(n)
	h := format.ArchiveHolder{Person: uint64(n), PublicKey: elliptic.MarshalCompressed(k.Curve, k.X, k.Y)}
	h.Signature = sign(n+1, format.RecoveryKeyMessage(exampleCluster, h.Person, h.PublicKey))
	return h
}

func exampleArchive() format.ArchiveParams {
	return format.ArchiveParams{Particulars: exampleParticulars().Digest(), Step: format.ArchiveOpen, Period: id(0x70), Needed: 2, Days: 90,
		Holders: []format.ArchiveHolder{exampleHolder(5), exampleHolder(7), exampleHolder(9)}}
}

func exampleArchiveRow() format.ArchiveRow {
	p := exampleArchive()
	return format.ArchiveRow{Period: p.Period, Needed: p.Needed, Days: p.Days, Holders: p.Holders, Opened: 120,
		From: exampleTime, Until: exampleTime + 90*24*3600*1e6, Begin: 130, End: 177, Destroyed: 210}
}

func holderSet(list *[]format.ArchiveHolder) {
	asSet(list, func(a, b format.ArchiveHolder) int { return byNumber(a.Person, b.Person) })
}

func tidyArchive(p *format.ArchiveParams) {
	if p.Step = format.ArchiveOpen + p.Step%2; p.Step == format.ArchiveDestroyed {
		p.Needed, p.Days, p.Holders = 0, 0, nil
	}
	holderSet(&p.Holders)
}

// archiveCodecs are the encodings of key archives' periods.
func archiveCodecs() []codec {
	destroyed := format.ArchiveParams{Particulars: exampleParticulars().Digest(), Step: format.ArchiveDestroyed, Period: id(0x70)}
	return []codec{
		codecOf("act", "archive-open", exampleArchive(), format.ArchiveParams.Encode, format.DecodeArchiveParams, tidyArchive),
		codecOf("act", "archive-destroyed", destroyed, format.ArchiveParams.Encode, format.DecodeArchiveParams, tidyArchive),
		row("archive", exampleArchiveRow(), format.ArchiveRow.Encode, format.DecodeArchiveRow, func(a *format.ArchiveRow) { holderSet(&a.Holders) }),
	}
}

func archiveMutants() []mutant {
	open := func(change func(*format.ArchiveParams)) []byte {
		return changed(exampleArchive(), change, format.ArchiveParams.Encode)
	}
	return []mutant{
		{"act", "archive-open", "step", at(exampleArchive().Encode(), 32, 3)},
		{"act", "archive-open", "order", open(func(p *format.ArchiveParams) { p.Holders = reversed(p.Holders) })},
		{"act", "archive-open", "twice", open(func(p *format.ArchiveParams) { p.Holders = twice(p.Holders) })},
	}
}

func FuzzDecodeArchive(f *testing.F) {
	fuzzCodecs(f, named("archive", "archive-open", "archive-destroyed"))
}

// TestRecoveryPublicKeys: a compressed point of the curve, and nothing else.
func TestRecoveryPublicKeys(t *testing.T) {
	good := exampleHolder(5).PublicKey
	k, err := format.RecoveryPublicKey(good)
	if err != nil {
		t.Fatal(err)
	}
	want, err := key(5).PublicKey.ECDH()
	if err != nil || !k.Equal(want) {
		t.Errorf("another key than was encoded: %v", err)
	}
	for name, b := range map[string][]byte{"none": nil, "short": good[:32], "long": append(slices.Clone(good), 0), "uncompressed": want.Bytes(),
		"infinity": {0}, "zeros": make([]byte, 33), "off the curve": append([]byte{2}, bytes.Repeat([]byte{0xff}, 32)...)} {
		if _, err := format.RecoveryPublicKey(b); err == nil {
			t.Errorf("%s was taken for a key", name)
		}
	}
}
