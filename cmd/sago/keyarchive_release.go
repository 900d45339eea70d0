package main

import (
	"crypto/ecdsa"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"
	"os"

	"github.com/sago-worm/sago/audit"
	"github.com/sago-worm/sago/service/client"
	"github.com/sago-worm/sago/store/backup"
	"github.com/sago-worm/sago/store/format"
	"github.com/sago-worm/sago/store/keyarchive"
)

// keyArchiveReleaseCmd releases an officer's shares to a node that is restored. It
// asks nobody: there may be no appliance left.
type keyArchiveReleaseCmd struct {
	Backup  string `help:"${help_release_backup}" placeholder:"DIR" required:""`
	Key     string `help:"${help_release_key}" placeholder:"FILE" required:""`
	Request string `help:"${help_release_request}" placeholder:"FILE" required:""`
	Out     string `help:"${help_release_out}" placeholder:"FILE" required:""`
	Keys    string `help:"${help_keys}" placeholder:"FILE"`
}

// releaseJSON is the answer of a release.
type releaseJSON struct {
	File     string   `json:"file"`
	Node     string   `json:"node"`
	Period   string   `json:"period"`
	Person   uint64   `json:"person"`
	Needed   int      `json:"needed"`
	Archives []uint64 `json:"archives"`
	Keys     uint64   `json:"keys"`
}

// Run checks who asks, opens the officer's shares and seals them to the request.
func (c *keyArchiveReleaseCmd) Run(s *session) error {
	q, node, err := c.asks(s)
	if err != nil {
		return err
	}
	text, err := os.ReadFile(c.Key)
	if err != nil {
		return &inputError{"FILE", err.Error()}
	}
	defer clear(text)
	own, err := keyarchive.ParsePrivateKey(text)
	if err != nil {
		return &inputError{"FILE", c.Key + ": " + err.Error()}
	}
	result := releaseJSON{File: c.Out, Node: node}
	archives, err := c.archives(q, func(a *keyarchive.Archive) error {
		p, err := a.Point(own)
		clear(p.Y[:])
		return err
	})
	if err != nil {
		return err
	}
	for _, a := range archives {
		result.Needed, result.Archives, result.Keys = int(a.Needed), append(result.Archives, a.Sequence), result.Keys+a.End.Entries
	}
	released, err := keyarchive.Release(q, own, archives)
	if err != nil {
		return err
	}
	result.Period, result.Person = hexOf(released.Period[:]), released.Person
	if err := writeNew(c.Out, keyarchive.ReleaseText(released), 0o600); err != nil {
		return &inputError{"FILE", err.Error()}
	}
	return s.answer(result, func(p *page) {
		p.line("이 노드에만 열리도록 조각을 내주었습니다: "+result.File, "released shares, which only this node opens: "+result.File)
		p.pair("노드", "node", result.Node)
		p.pair("기간", "period", result.Period)
		p.pair("키 보관본 (백업 기록)", "key archives (backup records)", fmt.Sprint(result.Archives))
		p.pair("그 안의 키", "keys in them", result.Keys)
		p.pair("필요한 사람 수", "persons needed", result.Needed)
	})
}

// asks reads the request, which a pinned node must have signed, and answers the
// node's name.
func (c *keyArchiveReleaseCmd) asks(s *session) (q format.ReleaseRequest, node string, err error) {
	keys, err := trusted(s, c.Keys)
	if err != nil {
		return q, "", err
	}
	text, err := os.ReadFile(c.Request)
	if err != nil {
		return q, "", &inputError{"FILE", err.Error()}
	}
	if q, err = keyarchive.ParseRequest(text); err != nil {
		return q, "", &inputError{"FILE", c.Request + ": " + err.Error()}
	}
	if format.Origin(q.Cluster) != keys.Origin {
		return q, "", &inputError{"FILE", fmt.Sprintf("%s is a request for %s, the keys are those of %s", c.Request, format.Origin(q.Cluster), keys.Origin)}
	}
	sum := sha256.Sum256(q.Message())
	for _, k := range keys.Nodes {
		public, err := x509.ParsePKIXPublicKey(k.Key)
		if err != nil {
			continue
		}
		if key, ok := public.(*ecdsa.PublicKey); ok && ecdsa.VerifyASN1(key, sum[:], q.Signature) {
			return q, k.Name, nil
		}
	}
	return q, "", fmt.Errorf("%w: %s was signed by none of the pinned nodes: nothing is released to it", client.ErrIntegrity, c.Request)
}

// trusted are the keys of the cluster's nodes: from a file or the context, never
// from what is read.
func trusted(s *session, file string) (audit.Keys, error) {
	if file != "" {
		return audit.LoadKeys(file)
	}
	if s.context == "" {
		return audit.Keys{}, &inputError{"USAGE", "--keys FILE, or a context that pins the node keys"}
	}
	return s.pinned()
}

// archives are those of a backup that open reports to be of its key.
func (c *keyArchiveReleaseCmd) archives(q format.ReleaseRequest, open func(*keyarchive.Archive) error) (out []*keyarchive.Archive, err error) {
	d, err := backup.Open(c.Backup)
	if errors.Is(err, backup.ErrDirectory) {
		return nil, &inputError{"FILE", err.Error()}
	}
	if err != nil {
		return nil, err
	}
	if d.Cluster() != q.Cluster {
		return nil, &inputError{"FILE", c.Backup + " is a backup of another cluster"}
	}
	for _, sequence := range d.Archives() {
		a, err := d.Archive(sequence)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", client.ErrIntegrity, err)
		}
		switch err := open(a); {
		case errors.Is(err, keyarchive.ErrNotHolder):
		case err != nil:
			return nil, fmt.Errorf("%w: %w", client.ErrIntegrity, err)
		default:
			out = append(out, a)
		}
	}
	if len(out) == 0 {
		return nil, &inputError{"FILE", fmt.Sprintf("%d key archives are in %s, none has a share for %s", len(d.Archives()), c.Backup, c.Key)}
	}
	return out, nil
}
