package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"time"

	"github.com/sago-worm/sago/timesource"
)

type runCmd struct {
	Config string `required:"" placeholder:"FILE" help:"The node's configuration."`
}

// Run runs one node until a signal, or until it stops by itself: then the
// service manager starts it anew, and what it may not use again it puts aside.
func (c *runCmd) Run(s *shell) error {
	collectLess()
	raiseProcessors()
	if err := keepSecrets(); err != nil {
		return err
	}
	cfg, err := readConfig(c.Config)
	if err != nil {
		return err
	}
	signed, ceremony, err := cfg.check()
	if err != nil {
		return err
	}
	level, err := cfg.level()
	if err != nil {
		return err
	}
	u := &unit{cfg: cfg, signed: signed, ceremony: ceremony, time: &nodeTime{}, probe: probe, log: s.logger(level).With("node", cfg.Name)}
	if err := u.bind(s.ctx); err != nil {
		return err
	}
	if err := u.open(s.ctx); err != nil {
		return err
	}
	return u.runOnce(s.ctx)
}

// closeWithin is how long a node that has failed may take to close.
const closeWithin = 15 * time.Second

// runOnce gives the open node its clock, serves, and closes it.
func (u *unit) runOnce(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	done, err := u.startClock(ctx)
	if err != nil {
		return errors.Join(err, u.close())
	}
	u.log.Info("serving", "clients", u.cfg.ListenClient, "nodes", u.cfg.ListenNode, "production", u.ceremony.Production,
		"single", len(u.ceremony.Nodes) == 1, "version", version)
	err = u.serve(ctx)
	cancel()
	<-done
	if err != nil {
		// A disk that hangs holds the close as well: the service manager is to get
		// this process back all the same.
		hung := time.AfterFunc(closeWithin, func() {
			u.log.Error("closing hangs; the process ends", "error", err)
			os.Exit(exitFailed)
		})
		defer hung.Stop()
		if closed := u.close(); closed != nil {
			u.log.Warn("closing", "error", closed) // says the failure again, and what followed from it
		}
		return err
	}
	err = u.close()
	u.log.Info("stopped")
	return err
}

// startClock starts trusted time: the sources of the policy, or the development
// clock. The channel is closed when it has ended, after ctx.
func (u *unit) startClock(ctx context.Context) (<-chan struct{}, error) {
	done := make(chan struct{})
	if u.cfg.Time.Development {
		close(done)
		clock, err := timesource.OpenDevelopment(u.cfg.Time.ClockFile, time.Now, func() time.Time { return lastTick(u) })
		if err != nil {
			return nil, err
		}
		u.log.Warn(developmentNote)
		u.time.set(clock)
		return done, nil
	}
	policy := u.ceremony.Policy
	if s := u.current().Store().Summary(); s.Begun {
		policy = s.Policy
	}
	var endpoints []timesource.Endpoint
	for _, e := range u.cfg.Time.Sources {
		endpoints = append(endpoints, timesource.Endpoint{Name: e.Name, Address: e.Address, Key: e.Key, CAFile: e.CA})
	}
	clock, err := timesource.New(timePolicy(policy), endpoints, timesource.Options{Floor: u.floor})
	switch {
	case errors.Is(err, timesource.ErrPolicyMismatch):
		u.log.Error("the configuration's time sources are not the policy's: this node tells no time and does not vote", "error", err)
	case err != nil:
		return nil, fmt.Errorf("time: %w", err)
	}
	u.time.set(clock)
	go func() {
		defer close(done)
		if err := clock.Run(ctx); err != nil {
			u.log.Log(ctx, slog.LevelError, "time", "error", err)
		}
	}()
	return done, nil
}

// floor is the least that it can be: the quorum clock, before its first tick the
// ceremony's time.
func (u *unit) floor() time.Time {
	least := u.ceremony.Time
	if node := u.current(); node != nil {
		least = max(least, node.Store().Summary().Clock.Now)
	}
	return time.UnixMicro(least)
}

// lastTick is the newest reading of the quorum clock that these nodes know.
func lastTick(units ...*unit) time.Time {
	var last int64
	for _, u := range units {
		last = max(last, u.current().Store().Summary().Clock.Now)
	}
	return time.UnixMicro(last)
}
