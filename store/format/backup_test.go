package format_test

import (
	"testing"

	"pgregory.net/rapid"

	"github.com/sago-worm/sago/store/format"
)

func exampleRestore() format.RestoreParams {
	return format.RestoreParams{Size: 42, Root: digest(0x80), Lost: 50, Ledger: digest(0x91),
		Keys: []format.NodeKey{{Number: 1, PublicKey: []byte("key of node 1")}, {Number: 3, PublicKey: []byte("key of node 3")}}}
}

func exampleFrontier(leaves uint64) format.Frontier {
	var f format.Frontier
	for n := range leaves {
		f.Add(digest(byte(n)))
	}
	return f
}

// backupCodecs are the encodings of docs/formats/backup.md.
func backupCodecs() []codec {
	frontier := codec{page: "backup", name: "frontier", example: exampleFrontier(11),
		draw:   func(t *rapid.T) any { return exampleFrontier(rapid.Uint64Range(0, 70).Draw(t, "leaves")) },
		encode: func(v any) []byte { return v.(format.Frontier).Encode() },
		decode: func(b []byte) (any, error) { return format.DecodeFrontier(b) }}
	return []codec{
		effect("backup", format.BackupEffect{First: 3, End: 42, Size: 70000, Digest: digest(0x92), Begun: 41}, format.DecodeBackupEffect, nil),
		effect("backup-keys", format.BackupEffect{First: 3, Period: id(0x70)}, format.DecodeBackupEffect, nil),
		row("backup", format.BackupRow{Clock: exampleTime, End: 42}, format.BackupRow.Encode, format.DecodeBackupRow, nil),
		codecOf("act", "restore", exampleRestore(), format.RestoreParams.Encode, format.DecodeRestoreParams, func(p *format.RestoreParams) {
			for i := range p.Keys {
				p.Keys[i].Number = uint32(i + 1)
			}
		}),
		codecOf("backup", "bundle-head", format.HeadOf(41, exampleStore()), format.BundleHead.Encode, format.DecodeBundleHead, nil),
		frontier,
	}
}

func FuzzDecodeBackup(f *testing.F) {
	fuzzCodecs(f, chosen(func(c codec) bool { return c.page == "backup" }))
}

// TestRestoredIncarnationsAreApart: whoever restores from another history, or under
// another act, is somebody else.
func TestRestoredIncarnationsAreApart(t *testing.T) {
	seen := map[format.ID]bool{}
	for _, node := range []uint32{1, 2} {
		for _, size := range []uint64{41, 42} {
			for _, root := range []format.Digest{digest(1), digest(2)} {
				for _, act := range []format.Digest{{}, digest(1)} {
					seen[format.RestoredIncarnation(exampleCluster, node, size, root, act)] = true
				}
			}
		}
	}
	if len(seen) != 16 {
		t.Errorf("%d different incarnations of 16", len(seen))
	}
}

// TestVerifyMajority: more than half of the listed keys, of this cluster, and none
// of them wrongly.
func TestVerifyMajority(t *testing.T) {
	c := exampleCheckpoint()
	var keys []format.NoteKey
	var rows []format.MemberRow
	for n := byte(1); n <= 3; n++ {
		row := format.MemberRow{Number: uint32(n), Name: string([]byte{'n', '0' + n}), PublicKey: public(n)}
		keys, rows = append(keys, format.NoteKey{Name: row.Name, Type: format.NoteECDSA, Key: row.PublicKey}), append(rows, row)
	}
	note := func(by ...byte) format.Note {
		e := format.CheckpointEffect{Checkpoint: c}
		for _, n := range by {
			e.Signatures = append(e.Signatures, format.NodeSignature{Node: uint32(n), Signature: sign(n, []byte(c.Text()))})
		}
		return e.Note(rows)
	}
	if got, err := format.VerifyMajority(note(1, 3).String(), exampleCluster, keys); err != nil || got != c {
		t.Error(got, err)
	}
	spoilt := note(1, 2, 3)
	spoilt.Lines[2].Signature = spoilt.Lines[0].Signature
	twice := note(1)
	twice.Lines = append(twice.Lines, twice.Lines[0])
	for name, n := range map[string]format.Note{"one": note(1), "one twice": twice, "one wrong": spoilt} {
		if _, err := format.VerifyMajority(n.String(), exampleCluster, keys); err == nil {
			t.Errorf("%s was taken", name)
		}
	}
	if _, err := format.VerifyMajority(note(1, 2).String(), id(0x77), keys); err == nil {
		t.Error("another cluster's was taken")
	}
}
