package main

import (
	"fmt"
	"strings"
	"time"

	"golang.org/x/text/width"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// page is a text answer: lines, label-value pairs and tables. Columns are as
// wide as a terminal shows them, where a Korean letter takes two places.
type page struct {
	lang language
	b    strings.Builder
	rows [][]string
}

// String ends the page.
func (p *page) String() string {
	p.flush()
	return p.b.String()
}

// line writes one line of its own.
func (p *page) line(ko, en string) {
	p.flush()
	fmt.Fprintln(&p.b, oneLine(p.lang.pick(ko, en)))
}

// pair writes a label and its value; consecutive pairs are aligned. An empty
// value leaves the line out.
func (p *page) pair(ko, en string, value any) {
	if v := oneLine(fmt.Sprint(value)); v != "" {
		p.rows = append(p.rows, []string{"  " + p.lang.pick(ko, en), v})
	}
}

// row writes a row of a table; consecutive rows are aligned.
func (p *page) row(cells ...any) {
	r := make([]string, len(cells))
	for i, c := range cells {
		if r[i] = oneLine(fmt.Sprint(c)); r[i] == "" {
			r[i] = "-"
		}
	}
	p.rows = append(p.rows, r)
}

// head is a table's first row; labels come in pairs, Korean and English.
func (p *page) head(labels ...string) {
	p.flush()
	var r []string
	for i := 0; i+1 < len(labels); i += 2 {
		r = append(r, p.lang.pick(labels[i], labels[i+1]))
	}
	p.rows = append(p.rows, r)
}

func (p *page) flush() {
	var widths []int
	for _, r := range p.rows {
		for i, c := range r {
			if i == len(widths) {
				widths = append(widths, 0)
			}
			widths[i] = max(widths[i], places(c))
		}
	}
	for _, r := range p.rows {
		for i, c := range r {
			p.b.WriteString(c)
			if i < len(r)-1 {
				p.b.WriteString(strings.Repeat(" ", widths[i]-places(c)+2))
			}
		}
		p.b.WriteByte('\n')
	}
	p.rows = nil
}

func places(s string) int {
	n := 0
	for _, r := range s {
		n++
		if k := width.LookupRune(r).Kind(); k == width.EastAsianWide || k == width.EastAsianFullwidth {
			n++
		}
	}
	return n
}

// kst is what people in Korea read; JSON is in UTC.
var kst = time.FixedZone("KST", 9*60*60)

// local shows an instant as text, "" when there is none.
func local(t *timestamppb.Timestamp) string {
	if t == nil {
		return ""
	}
	return t.AsTime().In(kst).Format("2006-01-02T15:04:05.999999Z07:00")
}

// utc is an instant in JSON: RFC 3339, UTC, microseconds; null when there is none.
func utc(t *timestamppb.Timestamp) *string {
	if t == nil {
		return nil
	}
	s := t.AsTime().UTC().Format("2006-01-02T15:04:05.000000Z")
	return &s
}

// yes says yes or no.
func (p *page) yes(b bool) string {
	if b {
		return p.lang.pick("예", "yes")
	}
	return p.lang.pick("아니오", "no")
}
