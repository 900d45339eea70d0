package client

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/sha256"
	"encoding/hex"
	"slices"

	sagov1 "github.com/sago-worm/sago/proto/sago/v1"
	"github.com/sago-worm/sago/store/format"
)

// Certificate answers the erasure certificate (파기 증명서) of a request of special
// deletion, or of a bundle that ended by any way, verified by
// [VerifyCertificate]. Its checkpoint was held against the memory.
func (c *Client) Certificate(ctx context.Context, req *sagov1.SpecialDeleteServiceCertificateRequest) (*sagov1.Certificate, error) {
	resp, err := unary(ctx, c, repeatable, sagov1.NewSpecialDeleteServiceClient, sagov1.SpecialDeleteServiceClient.Certificate, req)
	if err != nil {
		return nil, err
	}
	cert := resp.GetCertificate()
	s, err := VerifyCertificate(cert, c.cluster, c.nodes)
	if err != nil {
		return nil, err
	}
	if t := req.GetTransaction(); t != "" && t != cert.GetTransaction() {
		return nil, integrity("asked for the certificate of %q, answered was that of %q", t, cert.GetTransaction())
	}
	had, err := c.remembered()
	if err != nil {
		return nil, err
	}
	return cert, c.hold(ctx, s, had, nil)
}

// VerifyCertificate verifies a certificate from its own bytes, the cluster's id
// and its pinned node keys alone: a majority of the nodes signed its checkpoint,
// every record that it shows is in that tree, all are about one bundle, and each
// node's attestation names that bundle and is signed by the node's pinned key.
// That nothing else exists ("final") is the appliance's word; the certificate
// must fit it. Errors wrap [ErrIntegrity].
func VerifyCertificate(cert *sagov1.Certificate, cluster [16]byte, nodes []NodeKey) (*SignedCheckpoint, error) {
	s, err := signed(cert.GetCheckpoint(), cluster, nodes)
	if err != nil {
		return nil, err
	}
	v := certificateCheck{cert: cert, cluster: cluster, nodes: nodes}
	if err := v.records(); err != nil {
		return nil, err
	}
	attested := map[uint32]bool{}
	for _, a := range cert.GetAttestations() {
		if err := v.attestation(a); err != nil {
			return nil, err
		}
		attested[a.GetNumber()] = true
	}
	for _, h := range cert.GetOutstanding() {
		if cert.GetFinal() && h.GetDestroyed() == 0 {
			return nil, integrity("a final certificate with an outstanding holder on node %d", h.GetNumber())
		}
	}
	for _, a := range cert.GetArchives() {
		if err := v.archive(a); err != nil {
			return nil, err
		}
	}
	switch {
	case cert.GetErased() != nil && len(attested) < len(nodes)/2+1 && len(nodes) > 0:
		return nil, integrity("%d nodes attest, an erasure needs %d", len(attested), len(nodes)/2+1)
	case cert.GetFinal() && cert.GetErased() == nil:
		return nil, integrity("a final certificate without an ERASE record")
	}
	return s, nil
}

type certificateCheck struct {
	cert    *sagov1.Certificate
	cluster [16]byte
	nodes   []NodeKey
	stored  format.Record
	decided uint64 // sequence of the record that decided its end
	leaf    format.Digest
}

// record verifies one record and its proof under the certificate's checkpoint.
func (v *certificateCheck) record(r *sagov1.CertifiedRecord) (format.Record, error) {
	path, err := hashesOf(r.GetProof().GetPath())
	if err != nil {
		return format.Record{}, err
	}
	p := format.Proof{Sequence: r.GetProof().GetSequence(), LeafHash: format.LeafHash(r.GetEncoded()), Record: r.GetEncoded(), Note: v.cert.GetCheckpoint()}
	for _, h := range path {
		p.Path = append(p.Path, format.Digest(h))
	}
	if len(p.Record) == 0 || !bytes.Equal(r.GetProof().GetLeafHash(), p.LeafHash[:]) {
		return format.Record{}, integrity("record %d does not hash to its leaf", p.Sequence)
	}
	if _, err := VerifyProof(p, v.cluster, v.nodes); err != nil {
		return format.Record{}, err
	}
	rec, err := format.DecodeRecord(p.Record)
	if err != nil {
		return rec, integrity("record %d: %v", p.Sequence, err)
	}
	if r.GetAction() != rec.Action.String() || r.GetTime().AsTime().UnixMicro() != rec.Clock && rec.Clock != 0 {
		return rec, integrity("record %d is shown as %s, it is %s", rec.Sequence, r.GetAction(), rec.Action)
	}
	return rec, nil
}

// records verifies what was stored, what was decided, and that it was erased.
func (v *certificateCheck) records() (err error) {
	if v.stored, err = v.record(v.cert.GetStored()); err != nil {
		return err
	}
	v.leaf = format.LeafHash(v.cert.GetStored().GetEncoded())
	if v.stored.Action != format.ActStore || v.stored.Transaction != v.cert.GetTransaction() || v.stored.Part != v.cert.GetPart() {
		return integrity("the stored bundle is not the one that the certificate names")
	}
	decided, err := v.record(v.cert.GetDecided())
	if err != nil {
		return err
	}
	if err := v.decision(decided); err != nil {
		return err
	}
	v.decided = decided.Sequence
	if v.cert.GetErased() == nil {
		return nil
	}
	erased, err := v.record(v.cert.GetErased())
	if err != nil {
		return err
	}
	e, err := format.DecodeBundleRef(erased.Effect)
	if err != nil || erased.Action != format.ActErase || e.Store != v.stored.Sequence {
		return integrity("record %d is not the ERASE of the bundle", erased.Sequence)
	}
	return nil
}

// decision verifies that a record decided the end of just this bundle, by the way
// that the certificate says.
func (v *certificateCheck) decision(rec format.Record) error {
	wrong := integrity("record %d is not the decision on this bundle by %s", rec.Sequence, v.cert.GetWay())
	switch rec.Action {
	case format.ActExpire:
		e, err := format.DecodeBundleRef(rec.Effect)
		if err != nil || v.cert.GetWay() != "expiry" || e.Store != v.stored.Sequence {
			return wrong
		}
	case format.ActClose:
		e, err := format.DecodeCloseEffect(rec.Effect)
		if err != nil || v.cert.GetWay() != "close" || e.Store != v.stored.Sequence {
			return wrong
		}
	case format.ActSpecialExecute:
		return v.special(rec)
	default:
		return wrong
	}
	return nil
}

// special verifies the signed act in the record of a special deletion.
func (v *certificateCheck) special(rec format.Record) error {
	wrong := integrity("record %d is not the special deletion of this bundle", rec.Sequence)
	doc, act, err := actOf(rec)
	if err != nil || doc.Kind != format.ActKindSpecialDelete || doc.Cluster != format.ID(v.cluster) {
		return wrong
	}
	p, err := format.DecodeSpecialParams(doc.Params)
	if err != nil || v.cert.GetWay() != doc.Kind.String() || p.Store != v.stored.Sequence || p.Leaf != v.leaf || p.Order != v.cert.GetOrder() {
		return wrong
	}
	var shown, signed []uint64
	for _, s := range v.cert.GetSigners() {
		shown = append(shown, s.GetPerson())
	}
	for _, s := range act.Signatures {
		signed = append(signed, s.Person)
	}
	if !slices.Equal(shown, signed) {
		return integrity("record %d was signed by %v, the certificate says %v", rec.Sequence, signed, shown)
	}
	return nil
}

// archive verifies the act by which the recovery keys of a period are said to be
// destroyed; without it no certificate is final.
func (v *certificateCheck) archive(a *sagov1.CertificateArchive) error {
	if a.GetDestroyed() == 0 {
		if v.cert.GetFinal() || a.GetRecord() != nil {
			return integrity("a final certificate with an outstanding key archive of period %s", a.GetPeriod())
		}
		return nil
	}
	rec, err := v.record(a.GetRecord())
	if err != nil {
		return err
	}
	wrong := integrity("record %d does not say that the recovery keys of period %s were destroyed", rec.Sequence, a.GetPeriod())
	doc, _, err := actOf(rec)
	if err != nil || rec.Sequence != a.GetDestroyed() || doc.Kind != format.ActKindKeyArchive || doc.Cluster != format.ID(v.cluster) {
		return wrong
	}
	p, err := format.DecodeArchiveParams(doc.Params)
	if err != nil || p.Step != format.ArchiveDestroyed || hex.EncodeToString(p.Period[:]) != a.GetPeriod() {
		return wrong
	}
	return nil
}

// actOf reads the signed act that a record executed.
func actOf(rec format.Record) (doc format.Act, signed format.SignedAct, err error) {
	e, err := format.DecodeActEffect(rec.Effect)
	if err != nil {
		return doc, signed, err
	}
	if signed, err = format.DecodeSignedAct(e.Signed); err != nil {
		return doc, signed, err
	}
	doc, err = format.DecodeAct(signed.Document)
	return doc, signed, err
}

// attestation verifies one node's signed word about the bundle.
func (v *certificateCheck) attestation(a *sagov1.CertifiedAttestation) error {
	rec, err := v.record(a.GetRecord())
	if err != nil {
		return err
	}
	e, err := format.DecodeAttestEffect(rec.Effect)
	if err != nil || rec.Action != format.ActAttest {
		return integrity("record %d is no attestation", rec.Sequence)
	}
	if e.Node != a.GetNumber() || !bytes.Equal(e.Incarnation[:], a.GetIncarnation()) || !e.Ends(v.decided) {
		return integrity("record %d attests something else than is shown", rec.Sequence)
	}
	for _, n := range v.nodes {
		if n.Name == a.GetNode() {
			return verifyAttestation(n, e, v.cluster)
		}
	}
	return integrity("no key of node %s is pinned", a.GetNode())
}

func verifyAttestation(n NodeKey, e format.AttestEffect, cluster [16]byte) error {
	sum := sha256.Sum256(e.Message(cluster))
	for _, der := range append([][]byte{n.PublicKey}, n.Former...) {
		key, err := parseNodeKey(der)
		if err != nil {
			return integrity("the key of node %s: %v", n.Name, err)
		}
		if ecdsa.VerifyASN1(key, sum[:], e.Signature) {
			return nil
		}
	}
	return integrity("the attestation of node %s does not verify", n.Name)
}
