package main

import (
	"encoding/hex"
	"runtime"
	"strconv"
)

// version is what this program was built from; the Makefile sets it.
var version = "unversioned"

type versionCmd struct{}

// Run shows what this program was built from.
func (versionCmd) Run(s *session) error {
	result := struct {
		Version string `json:"version"`
		Go      string `json:"go"`
	}{version, runtime.Version()}
	return s.answer(result, func(p *page) {
		p.row("sago", result.Version)
		p.flush()
		p.pair("Go", "Go", result.Go)
	})
}

func hexOf(b []byte) string { return hex.EncodeToString(b) }

func decimal(n uint64) string { return strconv.FormatUint(n, 10) }
