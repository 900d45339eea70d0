package main

import (
	"crypto/tls"
	"encoding/json"
	"fmt"
	"log/slog"
	"net"
	"os"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/sago-worm/sago/audit"
	"github.com/sago-worm/sago/audit/witness"
)

type witnessCmd struct {
	Dir    string   `help:"${help_witness_dir}" required:"" placeholder:"DIR"`
	Keys   []string `help:"${help_witness_keys}" placeholder:"FILE"`
	Listen string   `help:"${help_witness_listen}" default:"127.0.0.1:7410" placeholder:"HOST:PORT"`
	Name   string   `help:"${help_witness_name}" placeholder:"NAME"`
	Cert   string   `help:"${help_witness_cert}" placeholder:"FILE" and:"tls"`
	TLSKey string   `name:"tls-key" help:"${help_witness_key}" placeholder:"FILE" and:"tls"`
	Show   bool     `help:"${help_witness_show}"`
}

// Run runs a witness until a signal; without a log to witness it makes the key
// and shows it, since a policy lists the key before there is a log. The wall clock is its own: cosignatures
// carry it, and nothing is judged by it.
func (c *witnessCmd) Run(s *session) error {
	if c.Show {
		return c.show(s)
	}
	key, err := c.key()
	if err != nil {
		return err
	}
	if len(c.Keys) == 0 {
		s.say("--keys로 로그의 키 파일을 주면 증인이 시작됩니다", "give the keys file of a log with --keys to run the witness")
		return c.show(s)
	}
	options, certificate, err := c.options(s, key)
	if err != nil {
		return err
	}
	w, err := witness.Open(options)
	if err != nil {
		return &inputError{"FILE", err.Error()}
	}
	var listen net.ListenConfig
	ln, err := listen.Listen(s.ctx, "tcp", c.Listen)
	if err != nil {
		return closing(w, &inputError{"USAGE", err.Error()})
	}
	if err := c.ready(s, key, ln, certificate != nil); err != nil {
		return closing(w, err)
	}
	return closing(w, w.Serve(s.ctx, ln, certificate))
}

func closing(w *witness.Witness, err error) error {
	if cerr := w.Close(); err == nil {
		err = cerr
	}
	return err
}

// options reads what the command line names.
func (c *witnessCmd) options(s *session, key witness.Key) (o witness.Options, certificate *tls.Certificate, err error) {
	o = witness.Options{Dir: c.Dir, Key: key, Now: time.Now, Log: slog.New(slog.NewJSONHandler(s.stderr, nil))}
	for _, path := range c.Keys {
		k, err := audit.LoadKeys(path)
		if err != nil {
			return o, nil, &inputError{"FILE", path + ": " + err.Error()}
		}
		o.Logs = append(o.Logs, witness.Log{Origin: k.Origin, Nodes: k.Nodes})
	}
	if c.Cert != "" {
		pair, err := tls.LoadX509KeyPair(c.Cert, c.TLSKey)
		if err != nil {
			return o, nil, &inputError{"FILE", err.Error()}
		}
		certificate = &pair
	}
	return o, certificate, nil
}

// key is the witness's own, made at the first call.
func (c *witnessCmd) key() (witness.Key, error) {
	name := c.Name
	if _, err := witness.ReadKey(c.Dir); name == "" && os.IsNotExist(err) {
		if name, err = os.Hostname(); err != nil {
			return witness.Key{}, &inputError{"USAGE", "--name: " + err.Error()}
		}
	}
	key, err := witness.OpenKey(c.Dir, name)
	if err != nil {
		return key, &inputError{"FILE", err.Error()}
	}
	return key, nil
}

// ready says who the witness is and where it is reached.
func (c *witnessCmd) ready(s *session, key witness.Key, ln net.Listener, secure bool) error {
	scheme := "http"
	if secure {
		scheme = "https"
	}
	at := scheme + "://" + ln.Addr().String()
	if !s.json {
		_, err := fmt.Fprintf(s.stdout, "%s\nready %s\n", key.Public().VKey(), at)
		return err
	}
	return json.NewEncoder(s.stdout).Encode(struct {
		VKey  string `json:"vkey"`
		Ready string `json:"ready"`
	}{key.Public().VKey(), at})
}

// witnessJSON is what a witness's folder holds.
type witnessJSON struct {
	VKey string           `json:"vkey"`
	Logs []witnessLogJSON `json:"logs"`
}

type witnessLogJSON struct {
	Origin     string   `json:"origin"`
	Size       uint64   `json:"size"`
	Root       string   `json:"root"`
	Clock      *string  `json:"clock"`
	Proofs     []string `json:"proofs"`
	Suspicions []string `json:"suspicions"`
	Note       string   `json:"note"`
}

func (c *witnessCmd) show(s *session) error {
	key, logs, err := witness.Show(c.Dir)
	if err != nil {
		return &inputError{"FILE", err.Error()}
	}
	result := witnessJSON{VKey: key.Public().VKey(), Logs: []witnessLogJSON{}}
	for _, r := range logs {
		result.Logs = append(result.Logs, witnessLogJSON{r.Origin, r.Checkpoint.Size, hexOf(r.Checkpoint.Root[:]), utc(clockOf(r.Checkpoint.Clock)),
			append([]string{}, r.Proofs...), append([]string{}, r.Suspicions...), r.Newest.String()})
	}
	return s.answer(result, func(p *page) {
		p.pair("공개키", "verifier key", result.VKey)
		for i, l := range result.Logs {
			p.line(l.Origin, l.Origin)
			p.pair("이력 건수", "records", l.Size)
			p.pair("루트", "root", l.Root)
			p.pair("신뢰 시각", "clock", local(clockOf(logs[i].Checkpoint.Clock)))
			for _, dir := range l.Proofs {
				p.pair("모순의 증거", "PROOF OF CONTRADICTION", dir)
			}
			for _, dir := range l.Suspicions {
				p.pair("의심", "suspicion", dir)
			}
		}
	})
}

// clockOf is a checkpoint's clock; nil before the first tick.
func clockOf(micros int64) *timestamppb.Timestamp {
	if micros == 0 {
		return nil
	}
	return timestamppb.New(time.UnixMicro(micros))
}
