package client_test

import (
	"errors"
	"strconv"
	"testing"

	sagov1 "github.com/sago-worm/sago/proto/sago/v1"
	"github.com/sago-worm/sago/service/client"
)

// shelves is a node with so many bundles and records, at most 3 a page.
func shelves(n int) *node {
	return &node{
		list: func(r *sagov1.ListRequest) (*sagov1.ListResponse, error) {
			at := 0
			if r.GetPageToken() != "" {
				at, _ = strconv.Atoi(r.GetPageToken())
			}
			out := &sagov1.ListResponse{}
			for ; at < n && len(out.Bundles) < min(3, int(r.GetLimit())); at++ {
				out.Bundles = append(out.Bundles, &sagov1.Bundle{BundleId: strconv.Itoa(at)})
			}
			if at < n {
				out.NextPageToken = strconv.Itoa(at)
			}
			return out, nil
		},
		history: history{list: func(r *sagov1.HistoryServiceListRequest) (*sagov1.HistoryServiceListResponse, error) {
			out := &sagov1.HistoryServiceListResponse{}
			at := r.GetFrom()
			for ; at < uint64(n) && len(out.Records) < min(3, int(r.GetLimit())); at++ {
				out.Records = append(out.Records, &sagov1.HistoryRecord{Sequence: at})
			}
			if at < uint64(n) {
				out.Next = at
			}
			return out, nil
		}},
	}
}

func TestPages(t *testing.T) {
	for _, c := range []struct{ stored, limit, want int }{
		{0, 0, 0}, {2, 0, 2}, {3, 0, 3}, {10, 0, 10}, {10, 1, 1}, {10, 3, 3}, {10, 4, 4}, {10, 10, 10}, {10, 99, 10},
	} {
		cl := open(t, shelves(c.stored))
		n := 0
		for b, err := range cl.Bundles(t.Context(), &sagov1.ListRequest{Limit: uint32(c.limit)}) {
			if err != nil || b.GetBundleId() != strconv.Itoa(n) {
				t.Fatalf("%+v: bundle %d is %v, %v", c, n, b, err)
			}
			n++
		}
		if n != c.want {
			t.Errorf("%+v: %d bundles", c, n)
		}
		records, next, err := cl.Records(t.Context(), &sagov1.HistoryServiceListRequest{Limit: uint32(c.limit)})
		if err != nil || len(records) != c.want || (next == 0) != (c.want == c.stored) {
			t.Errorf("%+v: %d records, next %d, %v", c, len(records), next, err)
		}
	}
}

func TestPagesThatDoNotMoveOn(t *testing.T) {
	stuck := &node{
		list: func(*sagov1.ListRequest) (*sagov1.ListResponse, error) {
			return &sagov1.ListResponse{NextPageToken: "same"}, nil
		},
		history: history{list: func(r *sagov1.HistoryServiceListRequest) (*sagov1.HistoryServiceListResponse, error) {
			return &sagov1.HistoryServiceListResponse{Next: 7}, nil
		}},
	}
	cl := open(t, stuck)
	var last error
	for _, err := range cl.Bundles(t.Context(), &sagov1.ListRequest{}) {
		last = err
	}
	if !errors.Is(last, client.ErrIntegrity) {
		t.Error(last)
	}
	if _, _, err := cl.Records(t.Context(), &sagov1.HistoryServiceListRequest{}); !errors.Is(err, client.ErrIntegrity) {
		t.Error(err)
	}
}

func TestVerifyCluster(t *testing.T) {
	one := func(name string, root byte, damage ...string) *sagov1.NodeVerification {
		return &sagov1.NodeVerification{Node: name, Reachable: true, RootAtCompared: []byte{root}, Damage: damage}
	}
	for _, c := range []struct {
		name   string
		answer *sagov1.ClusterServiceVerifyResponse
		good   bool
	}{
		{"whole", &sagov1.ClusterServiceVerifyResponse{Intact: true, RootsEqual: true, Nodes: []*sagov1.NodeVerification{one("a", 1), one("b", 1)}}, true},
		{"one away", &sagov1.ClusterServiceVerifyResponse{Intact: true, RootsEqual: true, Nodes: []*sagov1.NodeVerification{one("a", 1), {Node: "b"}}}, true},
		{"damage", &sagov1.ClusterServiceVerifyResponse{Intact: true, RootsEqual: true, Nodes: []*sagov1.NodeVerification{one("a", 1, "seg/3 record 9")}}, false},
		{"roots that differ, called equal", &sagov1.ClusterServiceVerifyResponse{Intact: true, RootsEqual: true, Nodes: []*sagov1.NodeVerification{one("a", 1), one("b", 2)}}, false},
		{"roots called different", &sagov1.ClusterServiceVerifyResponse{Intact: true}, false},
		{"not intact", &sagov1.ClusterServiceVerifyResponse{RootsEqual: true}, false},
	} {
		cl := open(t, &node{cluster: cluster{verify: func() (*sagov1.ClusterServiceVerifyResponse, error) { return c.answer, nil }}})
		_, err := cl.VerifyCluster(t.Context())
		if c.good != (err == nil) || (!c.good && !errors.Is(err, client.ErrIntegrity)) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}
