package format_test

import (
	"bytes"
	"fmt"
	"reflect"
	"slices"

	"pgregory.net/rapid"

	"github.com/sago-worm/sago/store/format"
)

// codec is one encoder with its decoder. The laws of canonical_test.go hold for
// every one; each has a fixed example, whose bytes are kept under testdata.
type codec struct {
	page, name string // docs/formats/<page>.md, testdata/vectors/<page>/v1/<name>.hex
	example    any
	draw       func(*rapid.T) any
	encode     func(any) []byte
	decode     func([]byte) (any, error)
	// joins says that encodings put one behind the other, or cut in the right
	// place, can be an encoding again.
	joins bool
	// mend makes a checksum right, so that what is behind it is met.
	mend func([]byte)
}

// codecOf draws values of T by reflection; tidy gives them what every value of
// their kind has: sets in order, fields within limits.
func codecOf[T any](page, name string, example T, encode func(T) []byte, decode func([]byte) (T, error), tidy func(*T)) codec {
	return codec{
		page: page, name: name, example: example,
		draw: func(t *rapid.T) any {
			v := rapid.Make[T]().Draw(t, name)
			nilEmpty(reflect.ValueOf(&v).Elem())
			if tidy != nil {
				tidy(&v)
			}
			return v
		},
		encode: func(v any) []byte { return encode(v.(T)) },
		decode: func(b []byte) (any, error) { return decode(b) },
	}
}

// effect is the codec of an effect of history records.
func effect[T format.Effect](name string, example T, decode func([]byte) (T, error), tidy func(*T)) codec {
	return codecOf("history-record", "effect-"+name, example, func(e T) []byte { return format.EncodeEffect(e) }, decode, tidy)
}

// row is the codec of a row of the state.
func row[T any](name string, example T, encode func(T) []byte, decode func([]byte) (T, error), tidy func(*T)) codec {
	return codecOf("state-rows", name, example, encode, decode, tidy)
}

// nilEmpty makes empty lists nil, as decoders answer them.
func nilEmpty(v reflect.Value) {
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			nilEmpty(v.Field(i))
		}
	case reflect.Slice:
		if v.Len() == 0 {
			v.SetZero()
		}
		for i := range v.Len() {
			nilEmpty(v.Index(i))
		}
	}
}

// asSet sorts by key and drops what comes twice.
func asSet[T any](list *[]T, compare func(a, b T) int) {
	slices.SortFunc(*list, compare)
	*list = slices.CompactFunc(*list, func(a, b T) bool { return compare(a, b) == 0 })
}

func byNumber[T uint32 | uint64](a, b T) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

func byID(a, b format.ID) int { return bytes.Compare(a[:], b[:]) }

func nodeSet(n *[]uint32) { asSet(n, byNumber) }

const maxInstant = 253402300799999999 // the last microsecond of year 9999

func tidyCheckpoint(c *format.Checkpoint) {
	if c.Clock &= 1<<63 - 1; c.Clock > maxInstant {
		c.Clock %= maxInstant + 1
	}
}

func tidyKey(e *format.KeyEffect) {
	verbs := []format.KeyVerb{format.KeyAnnounce, format.KeyRetire, format.KeyEpoch, format.KeyEpochEnd, format.KeyRewrap, format.KeyUseEnd, format.KeySpent}
	own := format.KeyEffect{Verb: verbs[int(e.Verb)%len(verbs)]}
	switch own.Verb {
	case format.KeyAnnounce:
		own.Block, own.Owner, own.Start, own.Slots = e.Block, e.Owner, e.Start, e.Slots
	case format.KeyRetire:
		own.Block, own.Owner = e.Block, e.Owner
	case format.KeyEpochEnd:
		own.Institution, own.Epoch, own.Use, own.Other = e.Institution, e.Epoch, e.Use, e.Other
	case format.KeyRewrap:
		own.Owner, own.Slots, own.Root = e.Owner, e.Slots, e.Root
	case format.KeyUseEnd:
		own.Institution, own.Epoch, own.Use = e.Institution, e.Epoch, e.Use
	case format.KeySpent:
		own.Block, own.Spent = e.Block, e.Spent
		asSet(&own.Spent, byNumber)
	case format.KeyEpoch:
		own.Institution, own.Epoch, own.Use, own.Other, own.Subject = e.Institution, e.Epoch, e.Use, e.Other, e.Subject
	}
	*e = own
}

func tidyInstitution(e *format.InstitutionEffect) {
	asSet(&e.Officers, func(a, b format.Person) int { return byNumber(a.ID, b.ID) })
}

func tidyBlock(b *format.BlockRow) {
	b.Slots %= 4096
	b.Used = slices.Grow(b.Used, int(b.Slots+7)/8)[:(b.Slots+7)/8]
	if n := b.Slots % 8; n != 0 {
		b.Used[len(b.Used)-1] &= 1<<n - 1
	}
	if len(b.Used) == 0 {
		b.Used = nil
	}
	nodeSet(&b.Attested)
}

func tidyHolds(t *format.RetentionRow) {
	asSet(&t.Holds, func(a, b format.HoldRow) int { return byNumber(a.ID, b.ID) })
}

func record(r format.Record) []byte { return r.Encode() }

func fileHeader(b []byte) (format.FileHeader, error) {
	var kind format.FileKind
	if len(b) > format.FileHeaderSize {
		return format.FileHeader{}, fmt.Errorf("%w: a header is the front of a file", format.ErrMalformed)
	}
	if len(b) >= 8 {
		copy(kind[:], b[4:])
	}
	return format.DecodeFileHeader(kind, b)
}

func chunkHeader(b []byte) (format.ChunkHeader, error) {
	if len(b) > format.ChunkHeaderSize {
		return format.ChunkHeader{}, fmt.Errorf("%w: a header is the front of a chunk", format.ErrMalformed)
	}
	return format.DecodeChunkHeader(b)
}

func description(b []byte) (format.Description, error) {
	d, n, err := format.DecodeDescription(b)
	if err == nil && n != len(b) {
		err = fmt.Errorf("%w: a description is the end of a bundle", format.ErrMalformed)
	}
	return d, err
}

// reChecksum puts CRC-32C of what is before it into the last four bytes.
func reChecksum(size int) func([]byte) {
	return func(b []byte) {
		if len(b) >= size {
			var w format.Writer
			w.U32(format.Checksum(b[:size-4]))
			copy(b[size-4:size], w.Bytes())
		}
	}
}

// mendChunks makes magic, checksum and, where the ciphertext is whole, digest
// right in every chunk that can be told.
func mendChunks(b []byte) {
	for len(b) >= format.ChunkHeaderSize {
		copy(b, "SGCH")
		r := format.NewReader(b[28:33])
		n, stub := int(r.U32()), r.U8() == 1
		end := format.ChunkHeaderSize
		if !stub && n <= len(b)-end {
			c := format.NewChunk(format.Slot{}, 0, b[end:end+n])
			copy(b[36:68], c.Digest[:])
			end += n
		}
		reChecksum(format.ChunkHeaderSize)(b)
		b = b[end:]
	}
}

func drawChunks(t *rapid.T) any {
	var out []format.Chunk
	for range rapid.IntRange(0, 3).Draw(t, "chunks") {
		slot := rapid.Make[format.Slot]().Draw(t, "slot")
		c := format.NewChunk(slot, rapid.Uint32().Draw(t, "n"), rapid.SliceOfN(rapid.Byte(), 16, 90).Draw(t, "sealed"))
		if rapid.Bool().Draw(t, "stub") {
			c.Erased, c.Sealed = true, nil
		}
		out = append(out, c)
	}
	return out
}

// codecs lists every encoding of the package.
func codecs() []codec {
	list := slices.Concat(fileCodecs(), actCodecs(), effectCodecs(), rowCodecs(), backupCodecs(), archiveCodecs(), archiveFileCodecs())
	for i, c := range list {
		switch c.name {
		case "detail":
			list[i].joins = true
		case "segment", "history", "key-block":
			list[i].mend = reChecksum(format.FileHeaderSize)
		case "bundle-head":
			list[i].mend = reChecksum(format.BundleHeadSize)
		case "chunk-header":
			list[i].mend = reChecksum(format.ChunkHeaderSize)
		case "chunks":
			list[i].joins, list[i].mend, list[i].draw = true, mendChunks, drawChunks
		}
	}
	return list
}

func fileCodecs() []codec {
	length := func(h *format.ChunkHeader) { h.Length = h.Length%format.MaxChunk + format.ChunkOverhead }
	return []codec{
		codecOf("history-record", "record", exampleRecord(), record, format.DecodeRecord, nil),
		codecOf("history-record", "detail", exampleDetail(), format.Detail.Encode, format.DecodeDetail, nil),
		codecOf("file-header", "segment", exampleHeader(format.KindSegment), format.FileHeader.Encode, fileHeader, nil),
		codecOf("file-header", "history", exampleHeader(format.KindHistory), format.FileHeader.Encode, fileHeader, nil),
		codecOf("file-header", "key-block", exampleHeader(format.KindKeyBlock), format.FileHeader.Encode, fileHeader, nil),
		codecOf("base", "head", exampleBaseHead(), format.BaseHead.Encode, format.DecodeBaseHead, func(h *format.BaseHead) { tidyCheckpoint(&h.Mark) }),
		codecOf("base", "row", format.BaseRow{Table: 2, Key: []byte("key"), Value: []byte("row")}, format.BaseRow.Encode, format.DecodeBaseRow, nil),
		codecOf("payload", "chunk-header", exampleChunks()[0].ChunkHeader, format.ChunkHeader.Encode, chunkHeader, length),
		codecOf("payload", "chunks", exampleChunks(), func(c []format.Chunk) []byte { return format.AppendChunks(nil, c...) }, format.DecodeChunks, nil),
		codecOf("payload", "description", exampleDescription(), format.Description.Encode, description, nil),
		codecOf("checkpoint", "text", exampleCheckpoint(), func(c format.Checkpoint) []byte { return []byte(c.Text()) },
			func(b []byte) (format.Checkpoint, error) { return format.ParseCheckpoint(string(b)) }, tidyCheckpoint),
		codecOf("proof", "proof", exampleProof(), format.Proof.Encode, format.DecodeProof, tidyProof),
	}
}

func actCodecs() []codec {
	signatures := func(s *format.SignedAct) {
		asSet(&s.Signatures, func(a, b format.ActSignature) int { return byNumber(a.Person, b.Person) })
	}
	return []codec{
		codecOf("act", "act", exampleAct(), format.Act.Encode, format.DecodeAct, nil),
		codecOf("act", "object", format.ActObject(exampleKey()), format.ActObject.Encode, format.DecodeActObject, nil),
		codecOf("act", "special", format.SpecialParams{Particulars: exampleParticulars().Digest(), Store: 41, Leaf: digest(0x63), Order: "2026-001", Document: digest(0x61)},
			format.SpecialParams.Encode, format.DecodeSpecialParams, nil),
		codecOf("act", "lift", format.LiftParams{Particulars: exampleParticulars().Digest(), Stop: 88, Order: "2026-001"}, format.LiftParams.Encode, format.DecodeLiftParams, nil),
		codecOf("act", "hold-release", format.HoldReleaseParams{Particulars: exampleParticulars().Digest(), Hold: 7, Placed: 88},
			format.HoldReleaseParams.Encode, format.DecodeHoldReleaseParams, nil),
		codecOf("act", "policy", format.PolicyParams{Particulars: exampleParticulars().Digest(), Replaces: digest(0x64), Policy: exampleCeremony().Policy},
			format.PolicyParams.Encode, format.DecodePolicyParams, func(p *format.PolicyParams) { tidyPolicy(&p.Policy) }),
		codecOf("act", "member", format.MemberParams{Particulars: exampleParticulars().Digest(), Node: exampleCeremony().Nodes[0]},
			format.MemberParams.Encode, format.DecodeMemberParams, nil),
		codecOf("act", "resync", format.ResyncParams{Particulars: exampleParticulars().Digest(), Votes: exampleClock().Votes}, format.ResyncParams.Encode, format.DecodeResyncParams,
			func(p *format.ResyncParams) {
				asSet(&p.Votes, func(a, b format.SignedVote) int { return byNumber(a.Voter, b.Voter) })
			}),
		codecOf("act", "close", format.CloseParams{Particulars: exampleParticulars().Digest(), Receipt: digest(0x65), First: 1, End: 90, Size: 120, Root: digest(0x66), Date: exampleTime},
			format.CloseParams.Encode, format.DecodeCloseParams, nil),
		codecOf("act", "medium", format.MediumParams{Particulars: exampleParticulars().Digest(), Node: 3, Incarnation: id(0x33)}, format.MediumParams.Encode, format.DecodeMediumParams, nil),
		codecOf("act", "signed-act", exampleSignedAct(), format.SignedAct.Encode, format.DecodeSignedAct, signatures),
		codecOf("act", "ceremony", exampleCeremony(), format.Ceremony.Encode, format.DecodeCeremony, func(c *format.Ceremony) { tidyPolicy(&c.Policy) }),
		codecOf("act", "ceremony-witnesses", witnessed(exampleCeremony()), format.Ceremony.Encode, format.DecodeCeremony, func(c *format.Ceremony) { tidyPolicy(&c.Policy) }),
	}
}

func effectCodecs() []codec {
	checkpoint := func(e *format.CheckpointEffect) {
		asSet(&e.Signatures, func(a, b format.NodeSignature) int { return byNumber(a.Node, b.Node) })
	}
	attest := func(e *format.AttestEffect) {
		if e.From, e.To = min(e.From, e.To), max(e.From, e.To); e.From == e.To {
			e.From, e.To = 0, 0
		}
		asSet(&e.Keys, byNumber)
		asSet(&e.Blocks, byID)
	}
	return []codec{
		effect("store", exampleStore(), format.DecodeStoreEffect, nil),
		effect("bundle", format.BundleRef{Store: 41}, format.DecodeBundleRef, nil),
		effect("read", format.ReadEffect{Store: 41, Request: id(0x52)}, format.DecodeReadEffect, nil),
		effect("export", format.ExportEffect{Scope: format.ExportInstitution, Since: 1, Until: 2, First: 3, End: 4, Minimum: 5}, format.DecodeExportEffect, nil),
		effect("list", format.ListEffect{Kind: format.ListHistory}, format.DecodeListEffect, nil),
		effect("use", format.UseEffect{Store: 41, Definition: "MDS0000001", Subject: digest(0x53)}, format.DecodeUseEffect, nil),
		effect("deny", format.DenyEffect{Verb: format.ActRead, Count: 12, Minute: 1767225660000000}, format.DecodeDenyEffect, nil),
		effect("act", format.ActEffect{Signed: exampleSignedAct().Encode()}, format.DecodeActEffect, nil),
		effect("enrol", format.EnrolEffect{Person: 7}, format.DecodeEnrolEffect, nil),
		effect("clock", exampleClock(), format.DecodeClockEffect, func(e *format.ClockEffect) {
			asSet(&e.Votes, func(a, b format.SignedVote) int { return byNumber(a.Voter, b.Voter) })
		}),
		effect("member", format.MemberEffect{Node: 3, Incarnation: id(0x33), State: format.MemberJoining, Signature: []byte("signature")}, format.DecodeMemberEffect, nil),
		effect("node-start", format.NodeStartEffect{Node: 2, Incarnation: id(0x32), BootID: id(0xb0), Version: "0.1.0"}, format.DecodeNodeStartEffect, nil),
		effect("key-announce", format.KeyEffect{Verb: format.KeyAnnounce, Block: id(0xa0), Owner: 2, Start: id(0xc0), Slots: 512}, format.DecodeKeyEffect, tidyKey),
		effect("key-retire", format.KeyEffect{Verb: format.KeyRetire, Block: id(0xa0), Owner: 2}, format.DecodeKeyEffect, tidyKey),
		effect("key-epoch", exampleEpoch(), format.DecodeKeyEffect, tidyKey),
		effect("key-epoch-end", exampleEpochEnd(), format.DecodeKeyEffect, tidyKey),
		effect("key-rewrap", exampleRewrap(), format.DecodeKeyEffect, tidyKey),
		effect("key-use-end", format.KeyEffect{Verb: format.KeyUseEnd, Institution: 1, Epoch: 8104, Use: slot(0)}, format.DecodeKeyEffect, tidyKey),
		effect("institution-register", exampleRegister(), format.DecodeInstitutionEffect, tidyInstitution),
		effect("institution-swept", format.InstitutionEffect{Verb: format.InstitutionSwept, Number: 2, Passed: exampleKey().Encode(), Kept: []format.BundleKey{exampleKey()}},
			format.DecodeInstitutionEffect, tidyInstitution),
		effect("institution-suspend", format.InstitutionEffect{Verb: format.InstitutionSuspend, Number: 2, Until: exampleTime}, format.DecodeInstitutionEffect, tidyInstitution),
		effect("key-spent", exampleSpent(), format.DecodeKeyEffect, tidyKey),
		effect("carry", exampleCarry(), format.DecodeCarryEffect, func(e *format.CarryEffect) {
			asSet(&e.Keys, func(a, b format.CarriedKey) int { return byNumber(a.Sequence, b.Sequence) })
			asSet(&e.Signatures, func(a, b format.NodeSignature) int { return byNumber(a.Node, b.Node) })
		}),
		effect("attest", exampleAttest(), format.DecodeAttestEffect, attest),
		effect("damage", format.DamageEffect{Node: 1, Kind: format.DamagePayload, Store: 41, Where: "segments/00000001.seg at 160"}, format.DecodeDamageEffect, nil),
		effect("checkpoint", exampleSignedCheckpoint(), format.DecodeCheckpointEffect, checkpoint),
		effect("propose", format.ProposeEffect{Document: exampleAct().Encode()}, format.DecodeProposeEffect, nil),
		effect("sign", format.SignEffect{Act: id(0x60), Person: 5, Signature: []byte("signature")}, format.DecodeSignEffect, nil),
		effect("veto", format.VetoEffect{Act: id(0x60), Person: 4, Signature: []byte("signature")}, format.DecodeVetoEffect, nil),
		effect("stop", format.StopEffect{Store: 41, Order: "2026-001", Document: digest(0x61), Act: id(0x60)}, format.DecodeStopEffect, nil),
		effect("close", format.CloseEffect{Store: 41, Act: 99}, format.DecodeCloseEffect, nil),
		effect("extend", format.ExtendEffect{Store: 41, Rule: "P10Y", BasisKind: 1}, format.DecodeExtendEffect, nil),
		effect("event", format.EventEffect{Store: 41, At: exampleTime}, format.DecodeEventEffect, nil),
		effect("hold", format.HoldEffect{Scope: format.HoldBundle, Store: 41, ID: 0x1122334455667788, Basis: 2, Review: exampleTime, From: 12}, format.DecodeHoldEffect, nil),
		effect("hold-subject", format.HoldEffect{Scope: format.HoldSubject, Subject: digest(0x62), Definition: "MDS0000001", ID: 7, Basis: 1}, format.DecodeHoldEffect, nil),
		effect("hold-end", format.HoldEndEffect{Store: 41, Hold: 7, Placed: 88, Release: 96}, format.DecodeHoldEndEffect, nil),
		effect("prune", examplePrune(), format.DecodePruneEffect, nil),
		effect("state", exampleState(), format.DecodeStateEffect, func(e *format.StateEffect) {
			asSet(&e.Signatures, func(a, b format.NodeSignature) int { return byNumber(a.Node, b.Node) })
		}),
	}
}

func rowCodecs() []codec {
	return []codec{
		row("bundle", exampleBundle(), format.BundleRow.Encode, format.DecodeBundleRow,
			func(b *format.BundleRow) {
				tidyHolds(&b.Retention)
				b.BundleEnd = format.BundleEnd{} // not in this row
			}),
		row("bundle-end", format.BundleEnd{Expire: 100, Erase: 105, ErasedAt: exampleTime}, format.BundleEnd.Encode, format.DecodeBundleEnd, nil),
		row("bundle-key", exampleKey(), format.BundleKey.Encode, format.DecodeBundleKey, nil),
		row("held", exampleHeld(), format.HeldRow.Encode, format.DecodeHeldRow, nil),
		row("held-bundle", format.HeldRow{Scope: format.HoldBundle, Bundle: exampleKey(), Store: 41, ID: 8, Owner: 3, Basis: 2, Placed: 90},
			format.HeldRow.Encode, format.DecodeHeldRow, nil),
		row("attested", format.AttestedRow{From: 99, Incarnation: id(0x33), Record: 104}, format.AttestedRow.Encode, format.DecodeAttestedRow, nil),
		row("member", exampleMember(), format.MemberRow.Encode, format.DecodeMemberRow, nil),
		row("block", exampleBlock(), format.BlockRow.Encode, format.DecodeBlockRow, tidyBlock),
		row("institution", format.InstitutionRow{Number: 1, Code: "B551234", Records: 17, Subject: slot(2), Epoch: 8104},
			format.InstitutionRow.Encode, format.DecodeInstitutionRow, nil),
		row("epoch", format.EpochRow{Use: slot(0), Other: slot(1)}, format.EpochRow.Encode, format.DecodeEpochRow, nil),
		row("clock", exampleClockRow(), format.ClockRow.Encode, format.DecodeClockRow, func(c *format.ClockRow) {
			asSet(&c.Lines, func(a, b format.LineRow) int { return byNumber(a.Voter, b.Voter) })
		}),
		row("carried-key", format.CarriedKeyRow{Epoch: 8110, Sealed: []byte("sealed key")}, format.CarriedKeyRow.Encode, format.DecodeCarriedKeyRow, nil),
		row("epoch-end", format.EpochEndRow{Institution: 1, Epoch: 8104, Use: slot(0), Other: slot(1), Attested: []uint32{1, 3}}, format.EpochEndRow.Encode, format.DecodeEpochEndRow,
			func(e *format.EpochEndRow) { nodeSet(&e.Attested) }),
		row("spent", format.SpentRow{Block: id(0xa0), Slots: []uint32{3, 7}, Attested: []uint32{1, 3}}, format.SpentRow.Encode, format.DecodeSpentRow,
			func(s *format.SpentRow) { asSet(&s.Slots, byNumber); nodeSet(&s.Attested) }),
		row("pruned", format.PrunedRow{Bound: 45, Decision: 91, Loose: []uint64{0, 41}}, format.PrunedRow.Encode, format.DecodePrunedRow,
			func(p *format.PrunedRow) { asSet(&p.Loose, byNumber) }),
		row("carried", format.CarriedRow{Bundle: exampleKey(), Institution: 1, Class: format.DetailOther, Epoch: 8104}, format.CarriedRow.Encode, format.DecodeCarriedRow, nil),
		row("act", exampleActRow(), format.ActRow.Encode, format.DecodeActRow,
			func(a *format.ActRow) {
				asSet(&a.Signatures, func(x, y format.PlacedSignature) int { return byNumber(x.Person, y.Person) })
			}),
		row("open-act", format.OpenActRow{Aim: digest(0x62), From: 1, Due: exampleTime}, format.OpenActRow.Encode, format.DecodeOpenActRow, nil),
		row("stop", format.StopRow{Sequence: 88, Order: "2026-001", Document: digest(0x61), Act: id(0x60), At: exampleTime}, format.StopRow.Encode, format.DecodeStopRow, nil),
		row("tenant", exampleTenant(), format.TenantRow.Encode, format.DecodeTenantRow, nil),
		row("exit", format.ExitRow{Exit: 1, Act: id(0x60), Decision: 99}, format.ExitRow.Encode, format.DecodeExitRow, nil),
		row("person", exampleCeremony().Persons[0], format.EncodePerson, format.DecodePerson, nil),
		row("definition", exampleCeremony().Definitions[0], format.EncodeDefinition, format.DecodeDefinition, nil),
		row("policy", exampleCeremony().Policy, format.EncodePolicy, format.DecodePolicy, tidyPolicy),
		row("policy-backup", backedUp(exampleCeremony().Policy), format.EncodePolicy, format.DecodePolicy, tidyPolicy),
		row("policy-witnesses", witnessed(exampleCeremony()).Policy, format.EncodePolicy, format.DecodePolicy, tidyPolicy),
	}
}

// tidyPolicy keeps witnesses, and when a backup is overdue, to the forms of a policy
// that have them.
func tidyPolicy(p *format.Policy) {
	if p.Version < 3 {
		p.BackupHours = 0
	}
	if p.Version < 2 {
		p.Witnesses, p.WitnessesNeeded = nil, 0
	}
}

func backedUp(p format.Policy) format.Policy { p.SetBackupWithin(49); return p }

func witnessed(c format.Ceremony) format.Ceremony {
	c.Policy.Version, c.Policy.WitnessesNeeded = 2, 1
	c.Policy.Witnesses = []format.NoteKey{{Name: "w1.example", Type: format.NoteCosignature, Key: bytes.Repeat([]byte{7}, 32)}}
	return c
}
