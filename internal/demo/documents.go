package main

import (
	"bytes"
	"crypto/sha512"
	"encoding/base64"
	"encoding/xml"
	"fmt"
)

// person is somebody invented. No such resident number can exist: its month is 13
// or more, its day 90 or more.
type person struct{ name, number, address, ci string }

// people are the data subjects (정보주체) of the story.
func people() []person {
	return []person{
		{"홍길동", "901399-1000001", "전라도 장성현 아곡리 1번지", inventedCI(1)},
		{"성춘향", "851491-2000002", "전라도 남원부 광한루길 2번지", inventedCI(2)},
		{"심청이", "781593-2000003", "황해도 황주목 도화동 3번지", inventedCI(3)},
		{"임꺽정", "721694-1000004", "경기도 양주목 청석골 4번지", inventedCI(4)},
	}
}

// inventedCI has the form of a CI (연계정보): 64 bytes in base64.
func inventedCI(n int) string {
	sum := sha512.Sum512(fmt.Appendf(nil, "invented person %d", n))
	return base64.StdEncoding.EncodeToString(sum[:])
}

// acting is who reads, as every read names them (invented as well).
const (
	purpose        = "주택담보대출 심사 2026-가-0117"
	userName       = "변학도"
	userDepartment = "여신심사부"
	userContact    = "02-0000-0147"
)

// item is one line of a certificate.
type item struct {
	XMLName xml.Name
	Value   string `xml:",chardata"`
}

type document struct {
	XMLName xml.Name `xml:"Document"`
	Title   string   `xml:"title,attr"`
	Issuer  string   `xml:"issuer,attr"`
	Name    string   `xml:"Subject>Name"`
	Number  string   `xml:"Subject>ResidentNumber"`
	Address string   `xml:"Subject>Address"`
	CI      string   `xml:"Subject>CI"`
	Items   []item   `xml:"Items>_"`
}

func items(pairs ...string) (out []item) {
	for i := 0; i+1 < len(pairs); i += 2 {
		out = append(out, item{xml.Name{Local: pairs[i]}, pairs[i+1]})
	}
	return out
}

func (d document) of(p person) document {
	d.Name, d.Number, d.Address, d.CI = p.name, p.number, p.address, p.ci
	return d
}

// bytes is the document as the provision system would send it.
func (d document) bytes() ([]byte, error) {
	var b bytes.Buffer
	b.WriteString(xml.Header)
	e := xml.NewEncoder(&b)
	e.Indent("", "  ")
	err := e.Encode(d)
	b.WriteByte('\n')
	return b.Bytes(), err
}

// insurance is a 건강보험자격득실확인서, the record of health insurance.
func insurance(p person) document {
	return document{Title: "건강보험자격득실확인서", Issuer: "국민건강보험공단 (지어낸 문서)", Items: items(
		"Kind", "직장가입자", "Workplace", "주식회사 활빈당", "Acquired", "2015-03-02", "Lost", "2020-07-31",
		"Kind", "지역가입자", "Workplace", "", "Acquired", "2020-08-01", "Lost", "")}.of(p)
}

// residence is a 주민등록표 초본, an extract of the resident register.
func residence(p person) document {
	return document{Title: "주민등록표 초본", Issuer: "남원부사 (지어낸 문서)", Items: items(
		"Moved", "2011-05-05", "From", "전라도 남원부 월매리 7번지", "Moved", "2018-11-09", "From", "한양 옥중동 13번지")}.of(p)
}

// income is a 소득금액증명, a certificate of income.
func income(p person) document {
	return document{Title: "소득금액증명", Issuer: "국세청 (지어낸 문서)", Items: items(
		"Year", "2023", "Income", "31415926", "Tax", "2718281", "Year", "2024", "Income", "32384626", "Tax", "1828459")}.of(p)
}
