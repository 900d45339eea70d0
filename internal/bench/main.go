// Command bench measures a running cluster through the public Go client: puts
// and recorded reads of bundles of one size by a number of clients side by side.
// It prints one line of figures each; it judges nothing.
package main

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"flag"
	"fmt"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	sagov1 "github.com/sago-worm/sago/proto/sago/v1"
	"github.com/sago-worm/sago/service/client"
)

type options struct {
	app, officer string
	clients      int
	size         int
	duration     time.Duration
	count        int
}

func main() {
	var o options
	flag.StringVar(&o.app, "app", "", "context file that may put")
	flag.StringVar(&o.officer, "officer", "", "context file that may get")
	flag.IntVar(&o.clients, "clients", 64, "clients side by side")
	flag.IntVar(&o.size, "size", 4096, "bytes a bundle")
	flag.DurationVar(&o.duration, "duration", 10*time.Second, "how long each measurement runs")
	flag.IntVar(&o.count, "count", 0, "instead: put so many bundles, and read none")
	flag.Parse()
	if err := run(context.Background(), o); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, o options) error {
	prefix := make([]byte, 6)
	if _, err := rand.Read(prefix); err != nil {
		return err
	}
	name := func(n int64) string { return fmt.Sprintf("B%s-%09d", hex.EncodeToString(prefix), n) }
	var stored atomic.Int64
	put := func(ctx context.Context, c *client.Client) error {
		n := stored.Add(1)
		data := make([]byte, o.size)
		if _, err := rand.Read(data); err != nil {
			return err
		}
		_, err := c.Put(ctx, &sagov1.BundleHeader{Transaction: name(n), Part: 1, BundleId: "MDS0000001", SubjectCi: fmt.Sprintf("CI-%d", n),
			Retain: "P5Y", Basis: "bench"}, client.BytesContent("d", "application/octet-stream", data))
		return err
	}
	if err := measure(ctx, "put", o, o.app, put, func() bool { return o.count > 0 && stored.Load() >= int64(o.count) }); err != nil {
		return err
	}
	if o.count > 0 {
		return nil
	}
	var read atomic.Int64
	total := stored.Load() - int64(o.clients)
	get := func(ctx context.Context, c *client.Client) error {
		_, _, err := c.GetBytes(ctx, &sagov1.GetRequest{Transaction: name(1 + read.Add(1)%total), Part: 1,
			Who: &sagov1.Who{Purpose: "bench", UserName: "b", UserDepartment: "b", UserContact: "b"}})
		return err
	}
	return measure(ctx, "get", o, o.officer, get, func() bool { return false })
}

func measure(ctx context.Context, what string, o options, contextFile string, one func(context.Context, *client.Client) error, enough func() bool) error {
	settings, err := client.LoadContext(contextFile)
	if err != nil {
		return err
	}
	end := time.Now().Add(o.duration)
	if o.count > 0 {
		end = time.Now().Add(time.Hour)
	}
	var mu sync.Mutex
	var took []time.Duration
	var failed int
	var last error
	var wg sync.WaitGroup
	begin := time.Now()
	for i := range o.clients {
		wg.Add(1)
		go func() {
			defer wg.Done()
			s := settings
			at := i % len(s.Endpoints)
			s.Endpoints = append(slices.Clone(s.Endpoints[at:]), s.Endpoints[:at]...)
			c, err := client.Open(ctx, s)
			if err != nil {
				mu.Lock()
				defer mu.Unlock()
				last = err
				failed++
				return
			}
			defer c.Close()
			for time.Now().Before(end) && !enough() {
				t := time.Now()
				err := one(ctx, c)
				mu.Lock()
				if err != nil {
					last = err
					failed++
				} else {
					took = append(took, time.Since(t))
				}
				mu.Unlock()
			}
		}()
	}
	wg.Wait()
	seconds := time.Since(begin).Seconds()
	if len(took) == 0 {
		return fmt.Errorf("%s: nothing succeeded: %w", what, last)
	}
	slices.Sort(took)
	at := func(p float64) float64 { return float64(took[int(p*float64(len(took)-1))].Microseconds()) / 1000 }
	fmt.Printf("%s: %d clients, %d bytes: %.0f/s (%d in %.1f s, %d failed), p50 %.1f ms, p99 %.1f ms, max %.1f ms\n",
		what, o.clients, o.size, float64(len(took))/seconds, len(took), seconds, failed, at(0.5), at(0.99), at(1))
	if failed > 0 {
		fmt.Println("last failure:", last)
	}
	return nil
}
