package client_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"testing"
	"time"

	sagov1 "github.com/sago-worm/sago/proto/sago/v1"
	"github.com/sago-worm/sago/service/client"
	"github.com/sago-worm/sago/store/format"
)

// stage stands in for the test that an example has not.
type stage struct {
	testing.TB
	ends []func()
}

func (*stage) Helper()                  {}
func (*stage) Context() context.Context { return context.Background() }
func (*stage) Fatal(args ...any)        { panic(fmt.Sprint(args...)) }
func (s *stage) Cleanup(end func())     { s.ends = append(s.ends, end) }
func (s *stage) end() {
	for i := range s.ends {
		s.ends[len(s.ends)-1-i]()
	}
}

// A put's answer names what it left in the history; its proof shows that a
// majority of the nodes signed a history that holds it.
func ExampleClient_Receipt() {
	s := &stage{}
	defer s.end()
	history := newLog(s, 12)
	known := history.context() // or client.LoadContext("contexts/app.toml")
	leaf := format.LeafHash(history.records[7])
	answer := &sagov1.Receipt{HistorySequence: 7, LeafHash: leaf[:]} // or the answer of c.Put

	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	c, err := client.Open(ctx, known)
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	receipt, err := client.ReceiptOf(answer)
	if err != nil {
		log.Fatal(err)
	}
	proof, err := c.Receipt(ctx, receipt) // waits for a checkpoint
	if err != nil {
		log.Fatal(client.ReasonOf(err), err)
	}
	fmt.Println("record", proof.Sequence, "of", proof.Checkpoint.Checkpoint.Size, "signed by", proof.Checkpoint.Signers)

	// The file convinces everybody who knows the cluster's id and node keys.
	file := proof.Encode()
	again, err := format.DecodeProof(file)
	if err != nil {
		log.Fatal(err)
	}
	_, err = client.VerifyProof(again, known.ClusterID, known.Nodes)
	fmt.Println(err)
	// Output:
	// record 7 of 12 signed by [node1 node2]
	// <nil>
}

// A client that remembers finds out when the appliance's history went back.
func ExampleFileMemory() {
	s := &stage{}
	defer s.end()
	dir, err := os.MkdirTemp("", "memory")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	appliance := newLog(s, 12)
	look := func(known client.Context) error {
		known.Memory = client.NewFileMemory(dir, known.ClusterID)
		c, err := client.Open(context.Background(), known)
		if err != nil {
			return err
		}
		defer c.Close()
		_, err = c.Checkpoint(context.Background(), client.CheckpointQuery{})
		return err
	}
	fmt.Println(look(appliance.context()))

	restored := appliance.fork(9) // every node from an old copy
	restored.taken = []uint64{9}
	err = look(restored.context())
	var rollback *client.RollbackError
	if errors.As(err, &rollback) {
		fmt.Println("missing:", rollback.Has, "to", rollback.Had-1)
	}
	fmt.Println(client.ReasonOf(err))
	// Output:
	// <nil>
	// missing: 9 to 11
	// ROLLBACK
}
