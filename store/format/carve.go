package format

// CarveRecord reads a record that begins where b begins and may end before b does:
// for whoever looks for records among bytes of any kind. It answers how many bytes
// the record takes. What it answers is canonical, as with DecodeRecord.
func CarveRecord(b []byte) (Record, int, error) {
	r := NewReader(b[:min(len(b), MaxRecord)])
	rec := readRecord(r)
	return rec, min(len(b), MaxRecord) - len(r.b), r.Err()
}

// CarveBundleRow does the same for the row of a bundle.
func CarveBundleRow(b []byte) (BundleRow, int, error) {
	r := NewReader(b)
	row := readBundleRow(r)
	return row, len(b) - len(r.b), r.Err()
}
