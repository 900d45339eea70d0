package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/sago-worm/sago/service/client"
)

// session is what every command gets: whom to ask, and how to answer.
type session struct {
	ctx     context.Context
	context string // the context file
	forget  bool   // remember no checkpoint
	json    bool
	lang    language
	ask     io.Reader // a person at a terminal; nil: nobody is asked
	stdout  io.Writer
	stderr  io.Writer
}

// with opens the client of the context file, hands it to do and closes it.
func (s *session) with(do func(*client.Client) error) (err error) {
	if s.context == "" {
		return &inputError{"CONTEXT", s.lang.pick("--context FILE이나 SAGO_CONTEXT가 없습니다", "neither --context FILE nor SAGO_CONTEXT is given")}
	}
	known, err := client.LoadContext(s.context)
	if err != nil {
		return err
	}
	if !s.forget {
		known.Memory = client.NewFileMemory(memoryDir(s.context, os.Getenv), known.ClusterID)
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

// lookWithin bounds the look behind a command.
const lookWithin = 5 * time.Second

// watched is with, and then one look whether the appliance still has what was
// seen of it. Only a history that went back or was forked is an error then: it is
// told behind the command's own result.
func (s *session) watched(do func(*client.Client) error) error {
	return s.with(func(c *client.Client) error {
		err := do(c)
		if err != nil && exitCode(err) != exitNotFound {
			return err
		}
		if s.forget {
			return err
		}
		var rollback *client.RollbackError
		var fork *client.ForkError
		ctx, cancel := context.WithTimeout(s.ctx, lookWithin)
		defer cancel()
		_, seen := c.Checkpoint(ctx, client.CheckpointQuery{})
		switch {
		case errors.As(seen, &rollback), errors.As(seen, &fork):
			if err != nil {
				return fmt.Errorf("%w (the command itself: %s)", seen, client.ReasonOf(err))
			}
			return seen
		case errors.Is(seen, client.ErrMemory), errors.Is(seen, client.ErrIntegrity):
			s.say("경고: 체크포인트를 기억과 대조하지 못했습니다: "+oneLine(seen.Error()), "warning: no checkpoint was held against the remembered one: "+oneLine(seen.Error()))
		}
		return err
	})
}

// memoryDir is where checkpoints are remembered: SAGO_STATE, or sago under the
// user's folder for states; without a home, beside the context file.
func memoryDir(context string, getenv func(string) string) string {
	switch {
	case getenv("SAGO_STATE") != "":
		return getenv("SAGO_STATE")
	case filepath.IsAbs(getenv("XDG_STATE_HOME")):
		return filepath.Join(getenv("XDG_STATE_HOME"), "sago")
	case filepath.IsAbs(getenv("HOME")):
		return filepath.Join(getenv("HOME"), ".local", "state", "sago")
	}
	return filepath.Dir(context)
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
