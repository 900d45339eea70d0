package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/alecthomas/kong"
)

// grammar is the whole command line; each group's commands are in its own file.
type grammar struct {
	Context  string         `help:"${help_context}" env:"SAGO_CONTEXT" placeholder:"FILE"`
	Output   string         `help:"${help_output}" enum:"text,json" default:"text"`
	Lang     string         `help:"${help_lang}" enum:"ko,en" default:"${lang}"`
	Timeout  *time.Duration `help:"${help_timeout}" placeholder:"D"`
	NoMemory bool           `help:"${help_no_memory}"`

	Bundle        bundleGroup      `cmd:"" help:"${help_bundle}"`
	Usage         usageGroup       `cmd:"" help:"${help_usage}"`
	History       historyGroup     `cmd:"" help:"${help_history}"`
	Clock         clockGroup       `cmd:"" help:"${help_clock}"`
	Cluster       clusterGroup     `cmd:"" help:"${help_cluster}"`
	Act           actGroup         `cmd:"" help:"${help_act}"`
	Institution   institutionGroup `cmd:"" help:"${help_institution_group}"`
	Hold          holdGroup        `cmd:"" help:"${help_hold}"`
	Circulation   circulationGroup `cmd:"" help:"${help_circulation}"`
	SpecialDelete specialGroup     `cmd:"" name:"special-delete" help:"${help_special}"`
	Certificate   certificateGroup `cmd:"" help:"${help_certificate}"`
	KeyArchive    keyArchiveGroup  `cmd:"" name:"key-archive" help:"${help_key_archive}"`
	Policy        policyGroup      `cmd:"" help:"${help_policy}"`
	Witness       witnessCmd       `cmd:"" help:"${help_witness}"`
	Version       versionCmd       `cmd:"" help:"${help_version}"`
}

// run does what the arguments say and returns the exit code.
func run(args []string, stdout, stderr io.Writer) int {
	lang := languageOf(args, os.Getenv)
	err := execute(args, lang, stdout, stderr)
	if err == nil {
		return 0
	}
	fmt.Fprintln(stderr, errorLine(err, lang))
	return exitCode(err)
}

func execute(args []string, lang language, stdout, stderr io.Writer) error {
	var g grammar
	vars := helpTexts(lang)
	vars["lang"] = string(lang)
	parser, err := kong.New(&g, kong.Name("sago"), kong.Description(vars["help_sago"]), vars,
		kong.Writers(stdout, stderr), kong.ConfigureHelp(kong.HelpOptions{Compact: true}))
	if err != nil {
		return err
	}
	parser.Model.HelpFlag.Help = vars["help_help"]
	parsed, err := parser.Parse(args)
	if err != nil {
		return &inputError{"USAGE", err.Error()}
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	limit := limitOf(parsed.Command(), g.History.Verify.Offline != "")
	if g.Timeout != nil {
		limit = *g.Timeout
	}
	if limit <= 0 {
		return &inputError{"USAGE", "--timeout must be positive"}
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	s := &session{ctx: ctx, context: g.Context, forget: g.NoMemory, json: g.Output == "json", lang: lang, ask: asked(stderr), stdout: stdout, stderr: stderr}
	return parsed.Run(s)
}

// limitOf is how long a command may take unless the caller says so: an export as
// long as the server lets it, and as long its verification; a witness as long as
// anybody asks it.
func limitOf(command string, offline bool) time.Duration {
	switch {
	case command == "history export" || strings.HasPrefix(command, "cluster backup") || offline:
		return 12 * time.Hour
	case command == "witness":
		return 100 * 365 * 24 * time.Hour
	}
	return 2 * time.Minute
}
