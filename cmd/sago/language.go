package main

import "strings"

// language is one of the two that messages, labels and help come in.
type language string

const (
	korean  language = "ko"
	english language = "en"
)

func (l language) pick(ko, en string) string {
	if l == korean {
		return ko
	}
	return en
}

// languageOf finds the language before anything is parsed, because a parse error
// is already told in it: --lang, else the locale as POSIX orders its variables,
// else English. A value that is not a language is the parser's to refuse.
func languageOf(args []string, env func(string) string) language {
	locale := env("LC_ALL")
	if locale == "" {
		locale = env("LC_MESSAGES")
	}
	if locale == "" {
		locale = env("LANG")
	}
	chosen := english
	if strings.HasPrefix(locale, "ko") {
		chosen = korean
	}
	for i, a := range args {
		value, found := strings.CutPrefix(a, "--lang=")
		if a == "--lang" && i+1 < len(args) {
			value, found = args[i+1], true
		}
		if found && (value == string(korean) || value == string(english)) {
			chosen = language(value)
		}
	}
	return chosen
}
