package main

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"

	sagov1 "github.com/sago-worm/sago/proto/sago/v1"
	"github.com/sago-worm/sago/service/client"
)

// why is what every act about the cluster says.
type why struct {
	Reason string `help:"${help_act_why}" placeholder:"TEXT"`
}

type clusterAddCmd struct {
	Request string `required:"" help:"${help_cluster_request}" placeholder:"FILE"`
	why
}

// Run opens the act that admits a node by its own request.
func (c *clusterAddCmd) Run(s *session) error {
	raw, err := os.ReadFile(c.Request)
	if err != nil {
		return &inputError{"FILE", err.Error()}
	}
	var node struct {
		Name        string `json:"name"`
		Number      uint32 `json:"number"`
		PublicKey   string `json:"public_key"`
		Incarnation string `json:"incarnation"`
	}
	if err := json.Unmarshal(raw, &node); err != nil {
		return &inputError{"FILE", fmt.Sprintf("%s is not the request of a node: %v", c.Request, err)}
	}
	key, err := base64.StdEncoding.DecodeString(node.PublicKey)
	if err != nil {
		return &inputError{"FILE", fmt.Sprintf("%s: public_key: %v", c.Request, err)}
	}
	incarnation, err := hex.DecodeString(node.Incarnation)
	if err != nil {
		return &inputError{"FILE", fmt.Sprintf("%s: incarnation: %v", c.Request, err)}
	}
	return s.with(func(cl *client.Client) error {
		a, err := cl.AddMember(s.ctx, &sagov1.MemberServiceAddRequest{Number: node.Number, Name: node.Name, Incarnation: incarnation, PublicKey: key, Reason: c.Reason})
		if err != nil {
			return err
		}
		return s.opened(cl, a)
	})
}

type clusterRemoveCmd struct {
	Node string `required:"" help:"${help_cluster_node}" placeholder:"NAME"`
	why
}

// Run opens the act that lets a node go for good.
func (c *clusterRemoveCmd) Run(s *session) error {
	return s.with(func(cl *client.Client) error {
		a, err := cl.RemoveMember(s.ctx, &sagov1.MemberServiceRemoveRequest{Name: c.Node, Reason: c.Reason})
		if err != nil {
			return err
		}
		return s.opened(cl, a)
	})
}

type clusterMediumCmd struct {
	Node        string `required:"" help:"${help_cluster_node}" placeholder:"NAME"`
	Incarnation string `required:"" help:"${help_cluster_incarnation}" placeholder:"HEX"`
	Basis       string `required:"" help:"${help_act_basis}" placeholder:"TEXT"`
	why
}

// Run opens the act that records a medium's destruction (매체 파기).
func (c *clusterMediumCmd) Run(s *session) error {
	incarnation, err := hex.DecodeString(c.Incarnation)
	if err != nil || len(incarnation) != 16 {
		return &inputError{"INVALID", "--incarnation has 32 hexadecimal digits (special-delete certificate names it)"}
	}
	return s.with(func(cl *client.Client) error {
		a, err := cl.RecordMedium(s.ctx, &sagov1.MemberServiceMediumRequest{Name: c.Node, Incarnation: incarnation, Basis: c.Basis, Reason: c.Reason})
		if err != nil {
			return err
		}
		return s.opened(cl, a)
	})
}

type confirmRestoreCmd struct{ why }

// Run opens the act that confirms a restore with a declared loss.
func (c *confirmRestoreCmd) Run(s *session) error {
	return s.with(func(cl *client.Client) error {
		a, err := cl.ConfirmRestore(s.ctx, &sagov1.MemberServiceConfirmRestoreRequest{Reason: c.Reason})
		if err != nil {
			return err
		}
		return s.opened(cl, a)
	})
}

type clockResyncCmd struct{ why }

// Run opens the act that sets the clock forward by more than the slack.
func (c *clockResyncCmd) Run(s *session) error {
	return s.with(func(cl *client.Client) error {
		r, err := cl.Resync(s.ctx, &sagov1.MemberServiceResyncRequest{Reason: c.Reason})
		if err != nil {
			return err
		}
		s.say("신뢰 시각이 이렇게 됩니다: "+local(r.GetTo()), "the clock would read "+local(r.GetTo()))
		return s.opened(cl, r.GetAct())
	})
}
