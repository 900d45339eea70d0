package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"

	"github.com/sago-worm/sago/service/client"
)

// session is what every command gets: whom to ask, and how to answer.
type session struct {
	ctx     context.Context
	context string // the context file
	json    bool
	lang    language
	stdout  io.Writer
	stderr  io.Writer
}

// with opens the client of the context file, hands it to do and closes it.
func (s *session) with(do func(*client.Client) error) (err error) {
	if s.context == "" {
		return &inputError{"CONTEXT", "--context FILE or SAGO_CONTEXT"}
	}
	known, err := client.LoadContext(s.context)
	if err != nil {
		return err
	}
	c, err := client.Open(s.ctx, known)
	if err != nil {
		return err
	}
	defer func() {
		if cerr := c.Close(); err == nil {
			err = cerr
		}
	}()
	return do(c)
}

// answer prints a command's result: as JSON, or as the text says.
func (s *session) answer(result any, text func(*page)) error {
	return s.answerTo(s.stdout, result, text)
}

func (s *session) answerTo(w io.Writer, result any, text func(*page)) error {
	if s.json {
		e := json.NewEncoder(w)
		e.SetEscapeHTML(false)
		e.SetIndent("", "  ")
		return e.Encode(result)
	}
	p := &page{lang: s.lang}
	text(p)
	_, err := io.WriteString(w, p.String())
	return err
}

// say writes a message line to standard error.
func (s *session) say(ko, en string) { fmt.Fprintln(s.stderr, s.lang.pick(ko, en)) }
