package main

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"strings"

	"google.golang.org/grpc/codes"

	"github.com/sago-worm/sago/service/client"
)

// asked is where a person's answer comes from: standard input where a person sits
// at a terminal, nil where a script runs.
func asked(stderr io.Writer) io.Reader {
	if isTerminal(os.Stdin) && isTerminal(stderr) {
		return os.Stdin
	}
	return nil
}

// confirm asks a person at a terminal whether what was shown shall be signed. A
// script has decided by calling.
func (s *session) confirm() error {
	if s.ask == nil || s.json {
		return nil
	}
	fmt.Fprint(s.stderr, s.lang.pick("위의 문서에 서명하시겠습니까? (yes를 입력하면 서명합니다) ", "Sign the above? (yes signs it) "))
	line, err := bufio.NewReader(s.ask).ReadString('\n')
	if err != nil && err != io.EOF {
		return err
	}
	if strings.TrimSpace(line) != "yes" {
		return &client.Error{Reason: "CANCELED", Code: codes.Canceled, Message: s.lang.pick("서명하지 않았습니다", "nothing was signed")}
	}
	return nil
}
