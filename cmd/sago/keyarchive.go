package main

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/sago-worm/sago/internal/durable"
	sagov1 "github.com/sago-worm/sago/proto/sago/v1"
	"github.com/sago-worm/sago/service/client"
)

type keyArchiveGroup struct {
	Key       keyArchiveKeyCmd       `cmd:"" help:"${help_key_archive_key}"`
	Open      keyArchiveOpenCmd      `cmd:"" help:"${help_key_archive_open}"`
	Destroyed keyArchiveDestroyedCmd `cmd:"" help:"${help_key_archive_destroyed}"`
	List      keyArchiveListCmd      `cmd:"" help:"${help_key_archive_list}"`
	Release   keyArchiveReleaseCmd   `cmd:"" help:"${help_key_archive_release}"`
}

// recoveryKeyFile is a holder's public half, as it travels to whoever opens the
// period: one line of JSON (docs/formats/act.md).
type recoveryKeyFile struct {
	Cluster   string `json:"cluster"`
	Person    uint64 `json:"person"`
	PublicKey string `json:"public_key"`
	Signature string `json:"signature"`
}

// fingerprint is a recovery key as people compare it.
func fingerprint(publicKey []byte) string {
	sum := sha256.Sum256(publicKey)
	return "sha256:" + hex.EncodeToString(sum[:])
}

type keyArchiveKeyCmd struct {
	Out string `required:"" help:"${help_key_archive_out}" placeholder:"FILE"`
}

// Run makes the caller's recovery key of a new period. The private half never
// leaves FILE; the public one is signed with the key of the context.
func (c *keyArchiveKeyCmd) Run(s *session) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	public, err := key.PublicKey.Bytes()
	if err != nil {
		return err
	}
	public = append([]byte{2 + public[64]&1}, public[1:33]...) // compressed
	return s.with(func(cl *client.Client) error {
		h, err := cl.SignRecoveryKey(s.ctx, public)
		if err != nil {
			return err
		}
		cluster, err := s.pinnedCluster()
		if err != nil {
			return err
		}
		line, err := json.Marshal(recoveryKeyFile{hex.EncodeToString(cluster[:]), h.GetPerson(), base64.StdEncoding.EncodeToString(public),
			base64.StdEncoding.EncodeToString(h.GetSignature())})
		if err != nil {
			return err
		}
		if err := writeRecoveryKey(c.Out, key, append(line, '\n')); err != nil {
			return err
		}
		out := map[string]any{"file": c.Out, "public_file": c.Out + ".pub", "person": h.GetPerson(), "fingerprint": fingerprint(public)}
		return s.answer(out, func(p *page) {
			p.pair("복구키 (비밀)", "recovery key (secret)", c.Out)
			p.pair("공개키", "public key", c.Out+".pub")
			p.pair("지문", "fingerprint", fingerprint(public))
		})
	})
}

// writeRecoveryKey writes FILE and FILE.pub, and overwrites neither.
func writeRecoveryKey(path string, key *ecdsa.PrivateKey, public []byte) error {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	for _, f := range []struct {
		name string
		text []byte
		mode os.FileMode
	}{{path, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), 0o600}, {path + ".pub", public, 0o644}} {
		if err := writeNew(f.name, f.text, f.mode); errors.Is(err, os.ErrExist) {
			return &inputError{"FILE", f.name + " is there already"}
		} else if err != nil {
			return err
		}
	}
	return nil
}

func writeNew(path string, text []byte, mode os.FileMode) (err error) {
	f, err := durable.CreateExclusive(path, os.O_WRONLY, mode)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if _, err = f.Write(text); err != nil {
		return err
	}
	return f.Sync()
}

// pinnedCluster is the cluster that the context is about.
func (s *session) pinnedCluster() (id [16]byte, err error) {
	keys, err := s.pinned()
	if err != nil {
		return id, err
	}
	return clusterOf(keys)
}

type keyArchiveOpenCmd struct {
	Needed uint32   `required:"" help:"${help_key_archive_needed}" placeholder:"K"`
	Days   uint32   `default:"90" help:"${help_key_archive_days}"`
	Files  []string `arg:"" name:"pubfile" help:"${help_key_archive_pubfile}"`
	why
}

// Run opens the act that begins a period.
func (c *keyArchiveOpenCmd) Run(s *session) error {
	cluster, err := s.pinnedCluster()
	if err != nil {
		return err
	}
	req := &sagov1.KeyArchiveServiceOpenRequest{Needed: c.Needed, Days: c.Days, Reason: c.Reason}
	for _, name := range c.Files {
		h, err := readRecoveryKey(name, cluster)
		if err != nil {
			return err
		}
		req.Holders = append(req.Holders, h)
	}
	return s.with(func(cl *client.Client) error {
		a, err := cl.OpenKeyArchive(s.ctx, req)
		if err != nil {
			return err
		}
		return s.opened(cl, a)
	})
}

// readRecoveryKey reads a holder's FILE.pub of this cluster.
func readRecoveryKey(name string, cluster [16]byte) (*sagov1.KeyArchiveHolder, error) {
	text, err := os.ReadFile(name)
	if err != nil {
		return nil, &inputError{"FILE", err.Error()}
	}
	var f recoveryKeyFile
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(&f); err != nil {
		return nil, &inputError{"FILE", fmt.Sprintf("%s is no holder's public key: %v", name, err)}
	}
	if f.Cluster != hex.EncodeToString(cluster[:]) {
		return nil, &inputError{"FILE", fmt.Sprintf("%s is of cluster %s", name, f.Cluster)}
	}
	h := &sagov1.KeyArchiveHolder{Person: f.Person}
	public, perr := base64.StdEncoding.DecodeString(f.PublicKey)
	signature, serr := base64.StdEncoding.DecodeString(f.Signature)
	if err := errors.Join(perr, serr); err != nil {
		return nil, &inputError{"FILE", fmt.Sprintf("%s: %v", name, err)}
	}
	h.PublicKey, h.Signature = public, signature
	return h, nil
}

type keyArchiveDestroyedCmd struct {
	Period string `arg:"" help:"${help_key_archive_period}"`
	why
}

// Run opens the act that records that a period's recovery keys are destroyed.
func (c *keyArchiveDestroyedCmd) Run(s *session) error {
	return s.with(func(cl *client.Client) error {
		a, err := cl.KeyArchiveDestroyed(s.ctx, &sagov1.KeyArchiveServiceDestroyedRequest{Period: c.Period, Reason: c.Reason})
		if err != nil {
			return err
		}
		return s.opened(cl, a)
	})
}

type keyArchiveListCmd struct{}

// keyArchiveJSON is a period, with the field names that scripts rely on. First and
// last backup are BACKUP records under which keys left; 0 while none did.
type keyArchiveJSON struct {
	Period      string              `json:"period"`
	State       string              `json:"state"`
	Needed      uint32              `json:"needed"`
	Holders     []archiveHolderJSON `json:"holders"`
	Since       *string             `json:"since"`
	Until       *string             `json:"until"`
	FirstBackup uint64              `json:"first_backup"`
	LastBackup  uint64              `json:"last_backup"`
	Opened      uint64              `json:"opened"`
	Destroyed   uint64              `json:"destroyed"`
	Ending      bool                `json:"ending"`
}

type archiveHolderJSON struct {
	Person      uint64 `json:"person"`
	Name        string `json:"name"`
	Fingerprint string `json:"fingerprint"`
}

func toKeyArchive(p *sagov1.KeyArchivePeriod) keyArchiveJSON {
	out := keyArchiveJSON{Period: p.GetPeriod(), State: p.GetState(), Needed: p.GetNeeded(), Holders: []archiveHolderJSON{}, Since: utc(p.GetSince()),
		Until: utc(p.GetUntil()), FirstBackup: p.GetBegin(), LastBackup: p.GetEnd(), Opened: p.GetOpened(), Destroyed: p.GetDestroyed(), Ending: p.GetEnding()}
	for _, h := range p.GetHolders() {
		out.Holders = append(out.Holders, archiveHolderJSON{h.GetPerson(), h.GetName(), fingerprint(h.GetPublicKey())})
	}
	return out
}

// Run lists the periods of key archives.
func (c *keyArchiveListCmd) Run(s *session) error {
	return s.with(func(cl *client.Client) error {
		r, err := cl.KeyArchives(s.ctx)
		if err != nil {
			return err
		}
		rows := []keyArchiveJSON{}
		for _, p := range r.GetPeriods() {
			rows = append(rows, toKeyArchive(p))
		}
		return s.answer(map[string]any{"periods": rows}, func(p *page) {
			p.head("기간", "PERIOD", "상태", "STATE", "필요", "NEEDED", "보관자", "HOLDERS", "시작", "SINCE", "끝", "UNTIL", "백업", "BACKUPS")
			for i, row := range rows {
				var names []string
				for _, h := range row.Holders {
					names = append(names, h.Name)
				}
				backups := ""
				if row.FirstBackup != 0 {
					backups = fmt.Sprintf("%d-%d", row.FirstBackup, row.LastBackup)
				}
				one := r.GetPeriods()[i]
				p.row(row.Period, archiveStateText(one), fmt.Sprintf("%d/%d", row.Needed, len(names)), strings.Join(names, " "), local(one.GetSince()), local(one.GetUntil()), backups)
			}
			for _, row := range rows {
				if row.Ending {
					p.line("곧 끝나거나 끝난 기간입니다. 새 기간을 여십시오: sago key-archive open", "the newest period ends soon or has ended: open a new one (sago key-archive open)")
				}
			}
		})
	})
}

// archiveStateText is a period's state, as people read it.
func archiveStateText(p *sagov1.KeyArchivePeriod) string {
	if p.GetNeeded() == 0 && p.GetDestroyed() == 0 {
		return "unknown: a restore lost what was opened"
	}
	return p.GetState()
}
