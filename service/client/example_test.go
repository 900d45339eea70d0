package client_test

import (
	"context"
	"fmt"
	"log"
	"time"

	sagov1 "github.com/sago-worm/sago/proto/sago/v1"
	"github.com/sago-worm/sago/service/client"
)

// A put and a read under a context file that `sagod dev` wrote.
func Example() {
	known, err := client.LoadContext("contexts/app.toml")
	if err != nil {
		log.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	c, err := client.Open(ctx, known)
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()

	receipt, err := c.Put(ctx, &sagov1.BundleHeader{
		Transaction: "20260301-0001", Part: 1, BundleId: "MDS0000001", SubjectCi: "CI-1",
		Retain: "P5Y", Basis: "전자정부법 제43조의2",
	}, client.BytesContent("certificate.xml", "application/xml", []byte("<문서/>")))
	if err != nil {
		log.Fatal(client.ReasonOf(err), err)
	}
	fmt.Println("kept until", receipt.GetRetainUntil().AsTime())

	_, documents, err := c.GetBytes(ctx, &sagov1.GetRequest{
		Transaction: "20260301-0001", Part: 1,
		Who: &sagov1.Who{Purpose: "대출 심사", UserName: "홍길동", UserDepartment: "여신", UserContact: "02-000-0000"},
	})
	if client.ReasonOf(err) == "EXPIRED" {
		fmt.Println("its time has come")
		return
	}
	fmt.Println(len(documents), err)
}

func ExampleFingerprint() {
	fmt.Println(client.Fingerprint([32]byte{0xab}))
	// Output: sha256:ab00000000000000000000000000000000000000000000000000000000000000
}
