package testcluster

import (
	"context"
	"errors"
	"fmt"
	"time"

	sagov1 "github.com/sago-worm/sago/proto/sago/v1"
	"github.com/sago-worm/sago/service/client"
)

// Sago runs the command line as this role, who asks the nodes in order.
func (c *Cluster) Sago(ctx context.Context, role string, args ...string) (Output, error) {
	return c.program(ctx, "sago", append([]string{"--context", c.Context(role), "--lang", "ko"}, args...)...)
}

// SagoAt is Sago with node i alone to ask.
func (c *Cluster) SagoAt(ctx context.Context, i int, role string, args ...string) (Output, error) {
	return c.program(ctx, "sago", append([]string{"--context", c.ContextAt(i, role), "--lang", "ko"}, args...)...)
}

// Client opens a client of this role, who asks the nodes in order; the caller
// closes it.
func (c *Cluster) Client(ctx context.Context, role string) (*client.Client, error) {
	return openClient(ctx, c.Context(role))
}

// ClientAt opens a client that asks node i alone.
func (c *Cluster) ClientAt(ctx context.Context, i int, role string) (*client.Client, error) {
	return openClient(ctx, c.ContextAt(i, role))
}

func openClient(ctx context.Context, path string) (*client.Client, error) {
	known, err := client.LoadContext(path)
	if err != nil {
		return nil, err
	}
	return client.Open(ctx, known)
}

// pollEvery is how often something awaited is looked at.
const pollEvery = 50 * time.Millisecond

// Await asks what until it answers true, until it fails, or until ctx ends. The
// error of an ended ctx carries the state as it was last seen.
func Await(ctx context.Context, what string, is func(context.Context) (done bool, state string, err error)) error {
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	last := ""
	for {
		done, state, err := is(ctx)
		if done && err == nil {
			return nil
		}
		if ctx.Err() != nil {
			return fmt.Errorf("%s: %w: %s", what, context.Cause(ctx), last) // the last look was cut off
		}
		last = state
		if err != nil {
			return fmt.Errorf("%s: %w", what, err)
		}
		select {
		case <-ctx.Done():
		case <-tick.C:
		}
	}
}

// Ready waits until every node that runs can record and the quorum clock ticks.
// A node whose process ends meanwhile is an error that shows its last words.
func (c *Cluster) Ready(ctx context.Context) error {
	for i := range c.nodes {
		if !c.Running(i) {
			if err := c.Failure(i); err != nil {
				return fmt.Errorf("%s ended: %w\n%s", c.nodes[i].name, err, c.LogTail(i, 5))
			}
			continue
		}
		if err := c.ReadyAt(ctx, i); err != nil {
			return err
		}
	}
	return nil
}

// ReadyAt waits for node i alone.
func (c *Cluster) ReadyAt(ctx context.Context, i int) (err error) {
	cl, err := c.ClientAt(ctx, i, "admin")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, cl.Close()) }()
	return Await(ctx, c.nodes[i].name+" ready", func(ctx context.Context) (bool, string, error) {
		if !c.Running(i) {
			return false, "", fmt.Errorf("its process ended: %w\n%s", c.Failure(i), c.LogTail(i, 5))
		}
		ctx, cancel := context.WithTimeout(ctx, time.Second)
		defer cancel()
		status, err := cl.ClusterStatus(ctx)
		if err != nil {
			return false, err.Error(), nil
		}
		clock, err := cl.ClockStatus(ctx)
		if err != nil {
			return false, err.Error(), nil
		}
		state := fmt.Sprintf("ready %v, leader %q, clock %s %s", status.GetReady(), status.GetLeader(), clock.GetStatus(), clock.GetDetail())
		return status.GetReady() && clock.GetClock() != nil, state, nil
	})
}

// Status is what the first node that answers says of the cluster.
func (c *Cluster) Status(ctx context.Context) (status *sagov1.ClusterServiceStatusResponse, err error) {
	cl, err := c.Client(ctx, "admin")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, cl.Close()) }()
	return cl.ClusterStatus(ctx)
}

// ErrNoLeader says that no node leads at present.
var ErrNoLeader = errors.New("no leader")

// Leader is the place of the node that leads.
func (c *Cluster) Leader(ctx context.Context) (int, error) {
	status, err := c.Status(ctx)
	if err != nil {
		return -1, err
	}
	if i := c.Place(status.GetLeader()); i >= 0 {
		return i, nil
	}
	return -1, ErrNoLeader
}
