package format_test

import (
	"slices"
	"strings"

	"github.com/sago-worm/sago/store/format"
)

// mutant is bytes that a decoder must refuse, whatever else it takes.
type mutant struct {
	page, codec, fault string
	bytes              []byte
}

// changed encodes the example of a codec after a change that an encoder does not
// look at.
func changed[T any](v T, change func(*T), encode func(T) []byte) []byte {
	change(&v)
	return encode(v)
}

func reversed[T any](list []T) []T {
	out := slices.Clone(list)
	slices.Reverse(out)
	return out
}

func twice[T any](list []T) []T { return []T{list[0], list[0]} }

// at replaces bytes at an offset.
func at(b []byte, offset int, v ...byte) []byte {
	b = slices.Clone(b)
	copy(b[offset:], v)
	return b
}

func mended(c codec, b []byte) []byte {
	c.mend(b)
	return b
}

func mutants() []mutant {
	return slices.Concat(generalMutants(), effectMutants(), rowMutants(), headerMutants(), textMutants(), proofMutants(), archiveMutants(), archiveFileMutants())
}

// generalMutants are, of every codec, an encoding cut short, one with a byte
// more, and nothing at all where nothing is no value.
func generalMutants() []mutant {
	var list []mutant
	for _, c := range codecs() {
		b := c.encode(c.example)
		list = append(list, mutant{c.page, c.name, "short", b[:len(b)-1]}, mutant{c.page, c.name, "trailing", append(slices.Clone(b), 0)})
		if !c.joins {
			list = append(list, mutant{c.page, c.name, "empty", nil})
		}
	}
	return list
}

func effectMutants() []mutant {
	attest := func(change func(*format.AttestEffect)) []byte {
		return changed(exampleAttest(), change, func(e format.AttestEffect) []byte { return format.EncodeEffect(e) })
	}
	checkpoint := func(change func(*format.CheckpointEffect)) []byte {
		return changed(exampleSignedCheckpoint(), change, func(e format.CheckpointEffect) []byte { return format.EncodeEffect(e) })
	}
	state := func(change func(*format.StateEffect)) []byte {
		return changed(exampleState(), change, func(e format.StateEffect) []byte { return format.EncodeEffect(e) })
	}
	clock := func(change func(*format.ClockEffect)) []byte {
		return changed(exampleClock(), change, func(e format.ClockEffect) []byte { return format.EncodeEffect(e) })
	}
	key := func(e format.KeyEffect, change func(*format.KeyEffect)) []byte {
		return changed(e, change, func(e format.KeyEffect) []byte { return format.EncodeEffect(e) })
	}
	announce := format.KeyEffect{Verb: format.KeyAnnounce, Block: id(0xa0), Owner: 2, Start: id(0xc0), Slots: 512}
	retire := format.KeyEffect{Verb: format.KeyRetire, Block: id(0xa0), Owner: 2}
	record := exampleRecord()
	record.Detail = make([]byte, format.MaxRecord)
	const p = "history-record"
	return []mutant{
		{p, "record", "version-2", at(exampleRecordBytes(), 0, 2)},
		{p, "record", "too-long", record.Encode()},
		{p, "effect-attest", "keys-out-of-order", attest(func(e *format.AttestEffect) { e.Keys = reversed(e.Keys) })},
		{p, "effect-attest", "key-twice", attest(func(e *format.AttestEffect) { e.Keys = twice(e.Keys) })},
		{p, "effect-attest", "empty-range", attest(func(e *format.AttestEffect) { e.To = e.From })},
		{p, "effect-attest", "range-backwards", attest(func(e *format.AttestEffect) { e.From, e.To = e.To, e.From })},
		{p, "effect-attest", "blocks-out-of-order", attest(func(e *format.AttestEffect) { e.Blocks = reversed(e.Blocks) })},
		{p, "effect-attest", "block-twice", attest(func(e *format.AttestEffect) { e.Blocks = twice(e.Blocks) })},
		{p, "effect-checkpoint", "signatures-out-of-order", checkpoint(func(e *format.CheckpointEffect) { e.Signatures = reversed(e.Signatures) })},
		{p, "effect-checkpoint", "node-twice", checkpoint(func(e *format.CheckpointEffect) { e.Signatures = twice(e.Signatures) })},
		{p, "effect-state", "signatures-out-of-order", state(func(e *format.StateEffect) { e.Signatures = reversed(e.Signatures) })},
		{p, "effect-state", "node-twice", state(func(e *format.StateEffect) { e.Signatures = twice(e.Signatures) })},
		{p, "effect-key-announce", "epoch-set", key(announce, func(e *format.KeyEffect) { e.Epoch = 1 })},
		{p, "effect-key-retire", "slots-set", key(retire, func(e *format.KeyEffect) { e.Slots = 1 })},
		{p, "effect-key-epoch", "block-set", key(exampleEpoch(), func(e *format.KeyEffect) { e.Block = id(1) })},
		{p, "effect-key-epoch-end", "subject-set", key(exampleEpochEnd(), func(e *format.KeyEffect) { e.Subject = slot(2) })},
		{p, "effect-key-rewrap", "block-set", key(exampleRewrap(), func(e *format.KeyEffect) { e.Block = id(1) })},
		{p, "effect-key-spent", "owner-set", key(exampleSpent(), func(e *format.KeyEffect) { e.Owner = 2 })},
		{p, "effect-key-spent", "slots-out-of-order", key(exampleSpent(), func(e *format.KeyEffect) { e.Spent = reversed(e.Spent) })},
		{p, "effect-key-spent", "slot-twice", key(exampleSpent(), func(e *format.KeyEffect) { e.Spent = twice(e.Spent) })},
		{p, "effect-carry", "keys-out-of-order", changed(exampleCarry(), func(e *format.CarryEffect) { e.Keys = reversed(e.Keys) },
			func(e format.CarryEffect) []byte { return format.EncodeEffect(e) })},
		{p, "effect-carry", "node-twice", changed(exampleCarry(), func(e *format.CarryEffect) { e.Signatures = twice(e.Signatures) },
			func(e format.CarryEffect) []byte { return format.EncodeEffect(e) })},
		{p, "effect-clock", "votes-out-of-order", clock(func(e *format.ClockEffect) { e.Votes = reversed(e.Votes) })},
		{p, "effect-clock", "voter-twice", clock(func(e *format.ClockEffect) { e.Votes = twice(e.Votes) })},
		{p, "effect-clock", "count-too-great", at(format.EncodeEffect(exampleClock()), 24, 0xff, 0xff, 0xff, 0xff)},
		{p, "detail", "fields-out-of-order", []byte("\x02\x00\x01b\x01\x00\x01a")},
		{p, "detail", "field-twice", []byte("\x01\x00\x01a\x01\x00\x01a")},
		{p, "detail", "empty-field", []byte("\x01\x00\x00")},
		{p, "detail", "unknown-field", []byte("\x0c\x00\x01a")},
		{p, "detail", "field-0", []byte("\x00\x00\x01a")},
	}
}

func exampleRecordBytes() []byte {
	r := exampleRecord()
	return r.Encode()
}

func rowMutants() []mutant {
	bundle := func(change func(*format.BundleRow)) []byte {
		return changed(exampleBundle(), change, format.BundleRow.Encode)
	}
	block := func(change func(*format.BlockRow)) []byte {
		return changed(exampleBlock(), change, format.BlockRow.Encode)
	}
	lines := func(change func(*format.ClockRow)) []byte {
		return changed(exampleClockRow(), change, format.ClockRow.Encode)
	}
	signed := func(change func(*format.SignedAct)) []byte {
		return changed(exampleSignedAct(), change, format.SignedAct.Encode)
	}
	const p = "state-rows"
	return []mutant{
		{p, "bundle", "holds-out-of-order", bundle(func(b *format.BundleRow) { b.Retention.Holds = reversed(b.Retention.Holds) })},
		{p, "bundle", "hold-twice", bundle(func(b *format.BundleRow) { b.Retention.Holds = twice(b.Retention.Holds) })},
		{p, "block", "attested-twice", block(func(b *format.BlockRow) { b.Attested = twice(b.Attested) })},
		{p, "block", "bits-too-few", block(func(b *format.BlockRow) { b.Used = b.Used[:1] })},
		{p, "block", "bits-too-many", block(func(b *format.BlockRow) { b.Used = []byte{0, 0, 0} })},
		{p, "block", "bit-past-the-last-slot", block(func(b *format.BlockRow) { b.Used = []byte{0, 0x10} })},
		{p, "clock", "lines-out-of-order", lines(func(c *format.ClockRow) { c.Lines = reversed(c.Lines) })},
		{p, "clock", "voter-twice", lines(func(c *format.ClockRow) { c.Lines = twice(c.Lines) })},
		{p, "pruned", "loose-out-of-order", format.PrunedRow{Loose: []uint64{4, 2}}.Encode()},
		{p, "carried", "boolean-2", at(format.CarriedRow{}.Encode(), 0, 2)},
		{p, "policy", "boolean-2", at(format.EncodePolicy(exampleCeremony().Policy), 4+8+8+4+8+1+8+8+4, 2)},
		{"act", "act", "other-prefix", at(exampleAct().Encode(), 10, '2')},
		{"act", "signed-act", "signatures-out-of-order", signed(func(s *format.SignedAct) { s.Signatures = reversed(s.Signatures) })},
		{"act", "signed-act", "person-twice", signed(func(s *format.SignedAct) { s.Signatures = twice(s.Signatures) })},
		{"act", "restore", "nodes-out-of-order", changed(exampleRestore(), func(p *format.RestoreParams) { p.Keys = reversed(p.Keys) }, format.RestoreParams.Encode)},
		{"act", "ceremony", "boolean-2", at(exampleCeremony().Encode(), 0, 2)},
	}
}

func headerMutants() []mutant {
	header := codec{mend: reChecksum(format.FileHeaderSize)}
	chunk := codec{mend: reChecksum(format.ChunkHeaderSize)}
	h, c := exampleHeader(format.KindSegment).Encode(), exampleChunks()[0].ChunkHeader.Encode()
	const f, p = "file-header", "payload"
	return []mutant{
		{f, "segment", "checksum", at(h, format.FileHeaderSize-1, h[format.FileHeaderSize-1]^1)},
		{f, "segment", "magic", mended(header, at(h, 0, 's'))},
		{f, "segment", "version-2", mended(header, at(h, 8, 0, 2))},
		{f, "segment", "suite-2", mended(header, at(h, 10, 0, 2))},
		{f, "segment", "padding", mended(header, at(h, 155, 1))},
		{p, "chunk-header", "checksum", at(c, 71, c[71]^1)},
		{p, "chunk-header", "magic", mended(chunk, at(c, 0, 's'))},
		{p, "chunk-header", "stub-2", mended(chunk, at(c, 32, 2))},
		{p, "chunk-header", "padding", mended(chunk, at(c, 35, 1))},
		{p, "chunk-header", "shorter-than-a-tag", mended(chunk, at(c, 28, 0, 0, 0, 15))},
		{p, "chunk-header", "too-long", mended(chunk, at(c, 28, 0, 0x10, 0, 0x11))},
		{p, "chunks", "ciphertext-altered", at(format.AppendChunks(nil, exampleChunks()...), format.ChunkHeaderSize, 'C')},
		{p, "description", "length-too-great", at(exampleDescription().Encode(), len(exampleDescription().Encode())-4, 0, 4, 0, 1)},
	}
}

func textMutants() []mutant {
	text := exampleCheckpoint().Text()
	replaced := func(fault, old, with string) mutant {
		if !strings.Contains(text, old) {
			panic("the checkpoint does not contain " + old)
		}
		return mutant{"checkpoint", "text", fault, []byte(strings.Replace(text, old, with, 1))}
	}
	return []mutant{
		replaced("size-with-zero", "\n42\n", "\n042\n"),
		replaced("size-with-sign", "\n42\n", "\n+42\n"),
		replaced("origin-in-capitals", "1a1b", "1A1B"),
		replaced("other-origin", "sago.log/", "sago.lag/"),
		replaced("clock-without-micros", ".000001Z", "Z"),
		replaced("clock-of-another-zone", "01Z\n", "01+00:00\n"),
		replaced("no-entry", "entry ", ""),
		replaced("root-without-padding", "=\nentry", "\nentry"),
		replaced("carriage-return", "\n42\n", "\r\n42\r\n"),
	}
}
