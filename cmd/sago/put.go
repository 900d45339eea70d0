package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	sagov1 "github.com/sago-worm/sago/proto/sago/v1"
	"github.com/sago-worm/sago/service/client"
)

type putCmd struct {
	number
	BundleID  string   `name:"bundle-id" help:"${help_bundle_id}" required:"" placeholder:"ID"`
	SubjectCI string   `name:"subject-ci" help:"${help_subject_ci}" required:"" placeholder:"CI"`
	Retain    string   `help:"${help_retain}" required:"" placeholder:"RULE"`
	Basis     string   `help:"${help_basis}" required:"" placeholder:"TEXT"`
	BasisKind string   `help:"${help_basis_kind}" enum:"statute,subject,definition" default:"statute"`
	MediaType string   `help:"${help_media_type}" placeholder:"T"`
	Preview   bool     `help:"${help_preview}"`
	Files     []string `arg:"" optional:"" help:"${help_files}" name:"FILE"`
}

func (c *putCmd) header() *sagov1.BundleHeader {
	return &sagov1.BundleHeader{
		Transaction: c.Transaction, Part: c.Part, BundleId: c.BundleID, SubjectCi: c.SubjectCI,
		Retain: c.Retain, Basis: c.Basis, BasisKind: c.BasisKind,
	}
}

// Run stores the files as one bundle.
func (c *putCmd) Run(s *session) error {
	if c.Preview {
		return c.preview(s)
	}
	if len(c.Files) == 0 {
		return &inputError{"USAGE", "FILE: a bundle has at least one"}
	}
	contents, closeAll, err := c.open()
	defer closeAll()
	if err != nil {
		return err
	}
	return s.watched(func(cl *client.Client) error {
		var size int64
		for _, d := range contents {
			size += d.Size
		}
		bar := s.progress(size)
		for i := range contents {
			contents[i].Data = bar.reader(contents[i].Data)
		}
		receipt, err := cl.Put(s.ctx, c.header(), contents...)
		bar.end()
		if err != nil {
			return err
		}
		if receipt.GetAlreadyStored() {
			s.say("새로 저장하지 않았습니다. 처음 저장할 때의 보유기간이 그대로 적용됩니다 (늘리려면 `sago bundle extend`)",
				"nothing new was stored: the retention of the first put stands (`sago bundle extend` makes it longer)")
		}
		return s.answer(toReceipt(receipt), func(p *page) {
			if receipt.GetAlreadyStored() {
				p.line("이미 저장되어 있습니다: "+receipt.GetTransaction(), "already stored: "+receipt.GetTransaction())
			} else {
				p.line("저장했습니다: "+receipt.GetTransaction(), "stored: "+receipt.GetTransaction())
			}
			receiptText(p, receipt)
		})
	})
}

// open opens every file before anything is sent.
func (c *putCmd) open() (contents []client.Content, closeAll func(), err error) {
	var files []*os.File
	closeAll = func() {
		for _, f := range files {
			f.Close() // opened for reading: nothing can be lost
		}
	}
	for _, name := range c.Files {
		f, err := os.Open(name)
		if err != nil {
			return nil, closeAll, &inputError{"FILE", err.Error()}
		}
		files = append(files, f)
		info, err := f.Stat()
		if err != nil || !info.Mode().IsRegular() {
			return nil, closeAll, &inputError{"FILE", fmt.Sprintf("%s is not a regular file", name)}
		}
		mediaType := c.MediaType
		if mediaType == "" {
			mediaType = mediaTypeOf(name)
		}
		contents = append(contents, client.Content{Name: filepath.Base(name), MediaType: mediaType, Size: info.Size(), Data: f})
	}
	return contents, closeAll, nil
}

// mediaTypeOf goes by the name alone, and not by the host's table of types: the
// same file gets the same type everywhere.
func mediaTypeOf(name string) string {
	switch strings.ToLower(filepath.Ext(name)) {
	case ".xml":
		return "application/xml"
	case ".pdf":
		return "application/pdf"
	case ".json":
		return "application/json"
	case ".txt":
		return "text/plain"
	case ".html":
		return "text/html"
	case ".png":
		return "image/png"
	case ".jpg", ".jpeg":
		return "image/jpeg"
	case ".zip":
		return "application/zip"
	case ".hwpx":
		return "application/hwp+zip"
	default:
		return "application/octet-stream"
	}
}
