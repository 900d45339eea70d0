package main

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"unicode/utf16"
)

// The seal's picture: what makes the document as large as a scanned one.
const (
	sealWidth  = 320
	sealHeight = 300
)

// certificatePDF is a one-page PDF of about 100 KB: the lines as Korean text in a
// font that every reader knows, and a seal as an uncompressed picture.
func certificatePDF(lines []string) []byte {
	var text bytes.Buffer
	text.WriteString("BT /F1 14 Tf 60 770 Td 24 TL\n")
	for _, line := range lines {
		fmt.Fprintf(&text, "<%X> Tj T*\n", utf16BE(line))
	}
	fmt.Fprintf(&text, "ET\nq %d 0 0 %d 137 200 cm /Seal Do Q\n", sealWidth, sealHeight)
	return assemble([][]byte{
		[]byte("<< /Type /Catalog /Pages 2 0 R >>"),
		[]byte("<< /Type /Pages /Kids [3 0 R] /Count 1 >>"),
		[]byte("<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents 4 0 R " +
			"/Resources << /Font << /F1 5 0 R >> /XObject << /Seal 7 0 R >> >> >>"),
		stream("", text.Bytes()),
		[]byte("<< /Type /Font /Subtype /Type0 /BaseFont /HYSMyeongJo-Medium /Encoding /UniKS-UTF16-H /DescendantFonts [6 0 R] >>"),
		[]byte("<< /Type /Font /Subtype /CIDFontType0 /BaseFont /HYSMyeongJo-Medium /DW 1000 " +
			"/CIDSystemInfo << /Registry (Adobe) /Ordering (Korea1) /Supplement 2 >> /FontDescriptor 8 0 R >>"),
		stream(fmt.Sprintf("/Type /XObject /Subtype /Image /Width %d /Height %d /ColorSpace /DeviceGray /BitsPerComponent 8 ", sealWidth, sealHeight), seal()),
		[]byte("<< /Type /FontDescriptor /FontName /HYSMyeongJo-Medium /Flags 6 /FontBBox [0 -148 1001 880] " +
			"/ItalicAngle 0 /Ascent 880 /Descent -148 /CapHeight 880 /StemV 93 >>"),
	})
}

func utf16BE(s string) []byte {
	var b []byte
	for _, u := range utf16.Encode([]rune(s)) {
		b = append(b, byte(u>>8), byte(u))
	}
	return b
}

func stream(dictionary string, data []byte) []byte {
	return fmt.Appendf(nil, "<< %s/Length %d >>\nstream\n%s\nendstream", dictionary, len(data), data)
}

// seal is a picture of rings with the grain of a scanner; always the same one.
func seal() []byte {
	grain := rand.New(rand.NewPCG(6, 51))
	pixels := make([]byte, 0, sealWidth*sealHeight)
	for y := range sealHeight {
		for x := range sealWidth {
			dx, dy := x-sealWidth/2, y-sealHeight/2
			shade := 200
			if ring := (dx*dx + dy*dy) / 900; ring%4 == 0 && ring < 24 {
				shade = 40
			}
			pixels = append(pixels, byte(shade+grain.IntN(40)))
		}
	}
	return pixels
}

// assemble numbers the objects from 1 and writes the table of where they are.
func assemble(objects [][]byte) []byte {
	var b bytes.Buffer
	b.WriteString("%PDF-1.7\n%\xe2\xe3\xcf\xd3\n")
	offsets := make([]int, len(objects))
	for i, o := range objects {
		offsets[i] = b.Len()
		fmt.Fprintf(&b, "%d 0 obj\n%s\nendobj\n", i+1, o)
	}
	table := b.Len()
	fmt.Fprintf(&b, "xref\n0 %d\n0000000000 65535 f \n", len(objects)+1)
	for _, at := range offsets {
		fmt.Fprintf(&b, "%010d 00000 n \n", at)
	}
	fmt.Fprintf(&b, "trailer\n<< /Size %d /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n", len(objects)+1, table)
	return b.Bytes()
}
