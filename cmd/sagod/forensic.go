package main

import (
	"encoding/json"
	"errors"
	"fmt"

	"github.com/sago-worm/sago/audit/forensic"
)

type searchCmd struct {
	Transaction string   `required:"" placeholder:"NO" help:"Transaction number (거래일련번호) of the bundle."`
	Part        uint32   `default:"1" help:"Part of it."`
	Institution uint32   `placeholder:"N" help:"Number of its institution; any if left out."`
	Roots       []string `placeholder:"FILE" sep:"none" help:"A node's root key, or its key directory; may be given again."`
	RecoveryKey []string `placeholder:"FILE" sep:"none" help:"An officer's recovery key: with enough of them, key archives of their period are opened; may be given again."`
	Slide       int64    `default:"4096" placeholder:"MIB" help:"How much to hash in the search for ciphertext without a header, in MiB."`
	Out         string   `placeholder:"DIR" help:"Make this folder and write there what is recovered."`
	Output      string   `enum:"text,json" default:"text" help:"text or json."`
	Paths       []string `arg:"" name:"path" help:"Data directories, copies, backups, files, block devices. Nothing is written to them."`
}

// notNothing is a search's verdict that is not "nothing": an exit code for scripts.
type notNothing struct {
	verdict forensic.Verdict
	code    int
}

func (e *notNothing) Error() string { return "verdict: " + string(e.verdict) }

// Run searches and says what was found.
func (c *searchCmd) Run(s *shell) error {
	in := forensic.Input{Transaction: c.Transaction, Part: c.Part, Institution: c.Institution, Paths: c.Paths, Slide: c.Slide << 20, Out: c.Out}
	if c.Slide < 1 || c.Slide > 1<<30 {
		return inputf("--slide: %d is not between 1 and %d", c.Slide, 1<<30)
	}
	for _, path := range c.Roots {
		r, err := forensic.ReadRoot(path)
		if err != nil {
			return &inputError{err.Error()}
		}
		in.Roots = append(in.Roots, r)
	}
	for _, path := range c.RecoveryKey {
		k, err := forensic.ReadRecoveryKey(path)
		if err != nil {
			return &inputError{err.Error()}
		}
		in.Recovery = append(in.Recovery, k)
	}
	report, err := forensic.Search(s.ctx, in)
	if errors.Is(err, forensic.ErrInput) {
		return &inputError{err.Error()}
	}
	if err == nil {
		err = c.show(s, report)
	}
	if err != nil {
		return err
	}
	switch report.Verdict {
	case forensic.Recovered:
		return &notNothing{report.Verdict, exitFound}
	case forensic.Incomplete:
		return &notNothing{report.Verdict, exitFailed}
	}
	return nil
}

func (c *searchCmd) show(s *shell, r forensic.Report) error {
	if c.Output == "json" {
		text, err := json.MarshalIndent(r, "", "  ")
		if err != nil {
			return err
		}
		return s.say("%s", text)
	}
	if err := r.WriteText(s.stdout); err != nil {
		return fmt.Errorf("report: %w", err)
	}
	return nil
}
