package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/sago-worm/sago/replication"
	"github.com/sago-worm/sago/timesource"
)

const (
	developmentNote = "development clock, not for production"
	singleNote      = "one node: there is no second copy, and no second gate before a destruction"
)

type devCmd struct {
	Dir      string   `default:"sago-dev" placeholder:"DIR" help:"Directory of the cluster; made when it is not there (${default})."`
	Nodes    int      `placeholder:"N" help:"How many nodes: 1, 3 or 5; default 1, later what the directory has."`
	Listen   string   `default:"127.0.0.1:7400" placeholder:"HOST:PORT" help:"Client port of the first node (${default}); the others follow at distances of 3. Port 0: free ports."`
	LogLevel string   `default:"warn" enum:"debug,info,warn,error" help:"What is logged to standard error (${default})."`
	Witness  []string `placeholder:"VKEY=URL" help:"A witness that is asked to cosign checkpoints; may be repeated. Whom a directory lists is settled when it is made."`
	Needed   uint8    `name:"witnesses-needed" default:"1" placeholder:"K" help:"How many of the witnesses must cosign (${default})."`
	Remove   bool     `help:"Remove a development directory that is not in use."`
	Sink     string   `placeholder:"DIR" help:"Directory, not the cluster's, in which each node appends its history to a file, NODE.jsonl."`
}

// Run runs a development cluster, made first where there is none, or removes it.
func (c *devCmd) Run(s *shell) error {
	collectLess()
	raiseProcessors()
	if c.Remove {
		return removeDevelopment(s, c.Dir)
	}
	if err := keepSecrets(); err != nil {
		return err
	}
	var level slog.Level
	if err := level.UnmarshalText([]byte(c.LogLevel)); err != nil {
		return err
	}
	witnesses, err := parseDevWitnesses(c.Witness)
	if err != nil {
		return err
	}
	d, err := openDevDir(c.Dir, c.Nodes, witnessPolicy(devPolicy(), witnesses, c.Needed))
	if err != nil {
		return err
	}
	err = c.runCluster(s, d, witnesses, s.logger(level))
	return errors.Join(err, d.lock.Close())
}

// devTiming is quick to elect: all nodes are in one process.
func devTiming() replication.Timing {
	return replication.Timing{Heartbeat: 300 * time.Millisecond, Election: 300 * time.Millisecond, Lease: 150 * time.Millisecond, BlockSlots: 1024}
}

// cluster is the nodes of a development directory, running.
type cluster struct {
	units []*unit
	time  *nodeTime
	log   *slog.Logger
	// changing is held while a unit's node is taken away or put back.
	changing sync.Mutex
}

// cluster prepares the nodes of the directory; none of them runs yet.
func (d *devDir) cluster(listen string, witnesses []devWitness, log *slog.Logger) (*cluster, error) {
	signed, _, ceremony, err := readCeremony(d.path(actFile))
	if err != nil {
		return nil, err
	}
	places, err := d.witnessPlaces(ceremony.Policy, witnesses)
	if err != nil {
		return nil, err
	}
	k := &cluster{time: &nodeTime{}, log: log}
	for i := range d.nodes {
		cfg, err := d.nodeConfig(i, listen, digestOf(signed))
		if err != nil {
			return nil, err
		}
		cfg.Witnesses = places
		k.units = append(k.units, &unit{cfg: cfg, signed: signed, ceremony: ceremony, timing: devTiming(), time: k.time, probe: probe,
			witnessEvery: devWitnessEvery, log: log.With("node", cfg.Name)})
	}
	return k, nil
}

func (c *devCmd) runCluster(s *shell, d *devDir, witnesses []devWitness, log *slog.Logger) error {
	k, err := d.cluster(c.Listen, witnesses, log)
	if err != nil {
		return err
	}
	if c.Sink != "" {
		if err := k.sinkTo(c.Sink); err != nil {
			return err
		}
	}
	if err := k.start(s.ctx, d); err != nil {
		closed := k.close()
		if s.ctx.Err() != nil {
			return closed // asked to end before it had begun
		}
		return errors.Join(err, closed)
	}
	return k.live(s)
}

// start binds all ports, writes down where they are, and opens the nodes.
func (k *cluster) start(ctx context.Context, d *devDir) error {
	for _, u := range k.units {
		if err := u.bind(ctx); err != nil {
			return err
		}
	}
	if err := d.writePlaces(k.units); err != nil {
		return err
	}
	if err := k.each(func(u *unit) error { return u.open(ctx) }); err != nil {
		return err
	}
	clock, err := timesource.OpenDevelopment(d.path(clockFile), time.Now, func() time.Time { return lastTick(k.units...) })
	if err != nil {
		return err
	}
	k.time.set(clock)
	return nil
}

// each runs f for all units at once.
func (k *cluster) each(f func(*unit) error) error {
	errs := make([]error, len(k.units))
	var wg sync.WaitGroup
	for i, u := range k.units {
		wg.Go(func() { errs[i] = f(u) })
	}
	wg.Wait()
	return errors.Join(errs...)
}

// close stops all nodes that run; their fronts have drained.
func (k *cluster) close() error { return k.each((*unit).close) }

// live serves until a signal, or until a node has failed twice. All fronts drain
// before the first node goes, so that calls in flight still find a majority.
func (k *cluster) live(s *shell) error {
	ctx, cancel := context.WithCancel(s.ctx)
	defer cancel()
	var told sync.WaitGroup
	told.Go(func() {
		if k.awaitReady(ctx) {
			k.announce(s)
		}
	})
	err := k.each(func(u *unit) error {
		err := k.keep(ctx, u)
		if err != nil {
			cancel()
		}
		return err
	})
	cancel()
	told.Wait()
	closed := k.close()
	if err != nil {
		return err // what closing a failed node adds is its failure again
	}
	return closed
}

// keep serves on one node. Once a node that stopped by itself is closed and
// opened again: it rejoins with what it may still use.
func (k *cluster) keep(ctx context.Context, u *unit) error {
	err := u.serve(ctx)
	if err == nil || ctx.Err() != nil {
		return nil
	}
	u.log.Error("node stopped; opening it again", "error", err)
	if err = k.reopen(ctx, u); err == nil {
		err = u.serve(ctx)
	}
	if ctx.Err() != nil {
		return nil // asked to end
	}
	return err
}

func (k *cluster) reopen(ctx context.Context, u *unit) error {
	k.changing.Lock()
	defer k.changing.Unlock()
	if err := u.close(); err != nil {
		u.log.Warn("closing", "error", err)
	}
	if err := u.bind(ctx); err != nil {
		return err
	}
	return u.open(ctx)
}

// awaitReady waits until every node can record and the clock has ticked; false
// when ctx ends first.
func (k *cluster) awaitReady(ctx context.Context) bool {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !k.ready() {
		select {
		case <-ctx.Done():
			return false
		case <-tick.C:
		}
	}
	return true
}

func (k *cluster) ready() bool {
	k.changing.Lock()
	defer k.changing.Unlock()
	for _, u := range k.units {
		node := u.current()
		if node == nil || !node.Ready() || node.Store().Summary().Clock.Now == 0 {
			return false
		}
	}
	return true
}

func (k *cluster) announce(s *shell) {
	var at []string
	for _, u := range k.units {
		at = append(at, endpoint(u.cfg.ListenClient))
	}
	lines := []string{"ready " + strings.Join(at, " "), "note: " + developmentNote}
	if len(k.units) == 1 {
		lines = append(lines, "note: "+singleNote)
	}
	if err := s.say("%s", strings.Join(lines, "\n")); err != nil {
		k.log.Warn("standard output", "error", err)
	}
}

// checkNodes says how many nodes a cluster may have.
func checkNodes(n int) error {
	if n != 1 && n != 3 && n != 5 {
		return fmt.Errorf("%d nodes: a cluster has 1, 3 or 5", n)
	}
	return nil
}
