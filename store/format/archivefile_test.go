package format_test

import (
	"testing"

	"github.com/sago-worm/sago/store/format"
)

func fixed[T ~[33]byte | ~[48]byte | ~[16]byte](first byte) (out T) {
	for i := range len(out) {
		out[i] = first + byte(i)
	}
	return out
}

func exampleArchiveHead() format.ArchiveHead {
	share := func(person uint64, b byte) format.ArchiveShare {
		return format.ArchiveShare{Person: person, Holder: fixed[[33]byte](b), Ephemeral: fixed[[33]byte](b + 1), Sealed: fixed[[48]byte](b + 2)}
	}
	return format.ArchiveHead{Cluster: exampleCluster, Period: id(0x70), From: 30, Sequence: 41, Needed: 2,
		Shares: []format.ArchiveShare{share(4, 0x10), share(5, 0x20), share(9, 0x30)}}
}

func exampleRequest() format.ReleaseRequest {
	return format.ReleaseRequest{Cluster: exampleCluster, Node: 2, Key: fixed[[33]byte](0x40), Signature: []byte{0x30, 1}}
}

func exampleRelease() format.Release {
	share := func(sequence uint64) format.ReleasedShare {
		return format.ReleasedShare{Sequence: sequence, X: 2, Ephemeral: fixed[[33]byte](byte(sequence)), Sealed: fixed[[48]byte](byte(sequence + 1))}
	}
	return format.Release{Cluster: exampleCluster, Period: id(0x70), Person: 5, Request: fixed[[33]byte](0x40), Shares: []format.ReleasedShare{share(41), share(50)}}
}

func tidyArchiveHead(h *format.ArchiveHead) {
	asSet(&h.Shares, func(a, b format.ArchiveShare) int { return byNumber(a.Person, b.Person) })
	if len(h.Shares) == 0 {
		h.Shares = exampleArchiveHead().Shares
	}
	h.Shares = h.Shares[:min(len(h.Shares), 255)]
	h.Needed = h.Needed%uint8(len(h.Shares)) + 1
	h.From = min(h.From, h.Sequence)
}

// archiveFileCodecs are the encodings of docs/formats/key-archive.md.
func archiveFileCodecs() []codec {
	list := []codec{
		codecOf("key-archive", "head", exampleArchiveHead(), format.ArchiveHead.Encode, format.DecodeArchiveHead, tidyArchiveHead),
		codecOf("key-archive", "entry", format.ArchiveEntry{Slot: format.Slot{Block: id(0xa0), Index: 7}, Sealed: fixed[[48]byte](0x50)},
			format.ArchiveEntry.Encode, format.DecodeArchiveEntry, nil),
		codecOf("key-archive", "end", format.ArchiveEnd{Entries: 1, Digest: digest(0x81), Tag: fixed[[16]byte](0x60)}, format.ArchiveEnd.Encode, format.DecodeArchiveEnd, nil),
		codecOf("key-archive", "request", exampleRequest(), format.ReleaseRequest.Encode, format.DecodeReleaseRequest, nil),
		codecOf("key-archive", "release", exampleRelease(), format.Release.Encode, format.DecodeRelease,
			func(a *format.Release) {
				asSet(&a.Shares, func(a, b format.ReleasedShare) int { return byNumber(a.Sequence, b.Sequence) })
			}),
	}
	list[0].mend = func(b []byte) {
		reChecksum(format.FileHeaderSize)(b)
		if len(b) > format.FileHeaderSize+4 {
			reChecksum(len(b) - format.FileHeaderSize)(b[format.FileHeaderSize:])
		}
	}
	list[1].mend, list[2].mend = reChecksum(format.ArchiveEntrySize), reChecksum(format.ArchiveEndSize)
	return list
}

// archiveFileMutants are archives of which no reader may make anything.
func archiveFileMutants() []mutant {
	head := func(change func(*format.ArchiveHead)) []byte {
		return changed(exampleArchiveHead(), change, format.ArchiveHead.Encode)
	}
	m := func(codec, fault string, b []byte) mutant { return mutant{"key-archive", codec, fault, b} }
	return []mutant{
		m("head", "order", head(func(h *format.ArchiveHead) { h.Shares = reversed(h.Shares) })),
		m("head", "twice", head(func(h *format.ArchiveHead) { h.Shares = twice(h.Shares) })),
		m("head", "nobody", head(func(h *format.ArchiveHead) { h.Shares = nil })),
		m("head", "needs-none", head(func(h *format.ArchiveHead) { h.Needed = 0 })),
		m("head", "needs-more", head(func(h *format.ArchiveHead) { h.Needed = 4 })),
		m("head", "range", head(func(h *format.ArchiveHead) { h.From = h.Sequence + 1 })),
		m("head", "kind", at(exampleArchiveHead().Encode(), 4, 'B', 'K', 'P', '1')),
		m("head", "checksum", at(exampleArchiveHead().Encode(), format.FileHeaderSize+20, 0)),
		m("entry", "tag", at(format.ArchiveEntry{}.Encode(), 0, 2)),
		m("end", "checksum", at(format.ArchiveEnd{}.Encode(), 3, 1)),
		m("release", "order", changed(exampleRelease(), func(a *format.Release) { a.Shares = reversed(a.Shares) }, format.Release.Encode)),
	}
}

func FuzzDecodeArchiveFile(f *testing.F) {
	fuzzCodecs(f, chosen(func(c codec) bool { return c.page == "key-archive" }))
}
