package main

import (
	"encoding/hex"
	"runtime/debug"
	"strconv"
)

type versionCmd struct{}

// Run shows what this program was built from.
func (versionCmd) Run(s *session) error {
	result := struct {
		Version  string `json:"version"`
		Revision string `json:"revision"`
		Modified bool   `json:"modified"`
		Go       string `json:"go"`
	}{Version: "(unknown)"}
	if info, ok := debug.ReadBuildInfo(); ok {
		result.Version, result.Go = info.Main.Version, info.GoVersion
		for _, setting := range info.Settings {
			switch setting.Key {
			case "vcs.revision":
				result.Revision = setting.Value
			case "vcs.modified":
				result.Modified = setting.Value == "true"
			}
		}
	}
	return s.answer(result, func(p *page) {
		p.row("sago", result.Version)
		p.flush()
		p.pair("개정", "revision", result.Revision)
		p.pair("Go", "Go", result.Go)
	})
}

func hexOf(b []byte) string { return hex.EncodeToString(b) }

func decimal(n uint64) string { return strconv.FormatUint(n, 10) }
