package main

import (
	"crypto/x509"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	sagov1 "github.com/sago-worm/sago/proto/sago/v1"
	"github.com/sago-worm/sago/service/witnesses"
	"github.com/sago-worm/sago/store/format"
)

// witnessFile says where a witness that the policy lists is reached.
type witnessFile struct {
	Name string `toml:"name"`
	URL  string `toml:"url"`
	CA   string `toml:"ca,omitempty"`
}

// checkWitnesses holds the file against the policy. A witness that the policy
// lists and the file does not is no fault: other nodes may reach it.
func (c *nodeConfig) checkWitnesses(policy format.Policy, wrong *faults) {
	seen := map[string]bool{}
	for i, w := range c.Witnesses {
		if w.Name == "" || seen[w.Name] {
			wrong.add("config: witness: number %d has no name, or that of another", i+1)
			continue
		}
		seen[w.Name] = true
		if !slices.ContainsFunc(policy.Witnesses, func(k format.NoteKey) bool { return k.Name == w.Name }) {
			wrong.add("config: witness.%s: the policy lists no such witness", w.Name)
		}
		if _, err := w.endpoint(); err != nil {
			wrong.add("config: witness.%s: %v", w.Name, err)
		}
	}
}

// endpoint is where the witness is reached.
func (w witnessFile) endpoint() (e witnesses.Endpoint, err error) {
	u, err := url.Parse(w.URL)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.RawQuery != "" || u.Fragment != "" {
		return e, fmt.Errorf("url: %q is not http://HOST:PORT or https://HOST", w.URL)
	}
	e = witnesses.Endpoint{Name: w.Name, URL: strings.TrimRight(w.URL, "/")}
	if w.CA == "" {
		return e, nil
	}
	pem, err := os.ReadFile(w.CA)
	if err != nil {
		return e, fmt.Errorf("ca: %w", err)
	}
	e.Roots = x509.NewCertPool()
	if !e.Roots.AppendCertsFromPEM(pem) {
		return e, fmt.Errorf("ca: %s holds no certificate", w.CA)
	}
	return e, nil
}

// witnessedFile is in the key directory, because it outlives the data directory:
// a copy of old data does not forget what was cosigned.
const witnessedFile = "witnessed"

// askWitnesses has the open node's checkpoints cosigned, until the answer is
// closed.
func (u *unit) askWitnesses() (*witnesses.Witnesses, error) {
	o := witnesses.Options{Log: u.current().Store(), Path: filepath.Join(u.cfg.KeyDir, witnessedFile), Logger: u.log, Every: u.witnessEvery}
	for _, w := range u.cfg.Witnesses {
		e, err := w.endpoint()
		if err != nil {
			return nil, fmt.Errorf("witness %s: %w", w.Name, err)
		}
		o.Endpoints = append(o.Endpoints, e)
	}
	return witnesses.Start(o), nil
}

// witnessStates is what status shows of them.
func witnessStates(w *witnesses.Witnesses) (all []*sagov1.WitnessState) {
	for _, s := range w.States() {
		out := &sagov1.WitnessState{Name: s.Name, Size: s.Size, Detail: s.Detail}
		if s.CosignedAt != 0 {
			out.CosignedAt = timestamppb.New(time.Unix(int64(s.CosignedAt), 0))
		}
		all = append(all, out)
	}
	return all
}

// devWitnessEvery is quick where production is careful.
const devWitnessEvery = time.Second

// devWitness is a --witness of `sagod dev`: VKEY=URL.
type devWitness struct {
	key format.NoteKey
	url string
}

func parseDevWitnesses(words []string) (all []devWitness, err error) {
	for _, word := range words {
		at := strings.Index(word, "=http")
		if at < 0 {
			return nil, inputf("--witness %s: not VKEY=URL", word)
		}
		w := devWitness{url: word[at+1:]}
		if w.key, err = format.ParseVKey(word[:at]); err != nil {
			return nil, inputf("--witness %s: %v", word, err)
		}
		if _, err := (witnessFile{Name: w.key.Name, URL: w.url}).endpoint(); err != nil {
			return nil, inputf("--witness %s: %v", word, err)
		}
		all = append(all, w)
	}
	return all, nil
}

// witnessPolicy puts the witnesses into a new directory's policy.
func witnessPolicy(p format.Policy, all []devWitness, needed uint8) format.Policy {
	if len(all) == 0 {
		return p
	}
	p.Version, p.WitnessesNeeded = 2, needed
	for _, w := range all {
		p.Witnesses = append(p.Witnesses, w.key)
	}
	return p
}

// witnessPlaces says where a directory's witnesses are reached: as given now, or
// as they were at the last start. The witnesses themselves are policy.
func (d *devDir) witnessPlaces(policy format.Policy, given []devWitness) (files []witnessFile, err error) {
	if len(given) == 0 {
		last, err := readConfig(d.path(nodeName(0), "node.toml"))
		if err == nil {
			return last.Witnesses, nil
		}
		return nil, nil // the first start
	}
	for _, w := range given {
		if !slices.ContainsFunc(policy.Witnesses, func(k format.NoteKey) bool { return k.VKey() == w.key.VKey() }) {
			return nil, inputf("--witness %s: the policy of %s does not list it; it was made by the first start", w.key.VKey(), d.root)
		}
		files = append(files, witnessFile{Name: w.key.Name, URL: w.url})
	}
	return files, nil
}
