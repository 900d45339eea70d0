package main

import (
	"context"
	"os"
	"path/filepath"

	"github.com/sago-worm/sago/service/sink"
)

// sinkConfig says where this node's history is sent besides: to a file or to a
// syslog receiver, or, left out, nowhere.
type sinkConfig struct {
	File   string       `toml:"file,omitempty"`
	Syslog syslogConfig `toml:"syslog,omitempty"`
}

type syslogConfig struct {
	Address     string `toml:"address"`
	CA          string `toml:"ca"`
	ServerName  string `toml:"server_name,omitempty"`
	Certificate string `toml:"certificate,omitempty"`
	Key         string `toml:"key,omitempty"`
	Enterprise  uint32 `toml:"enterprise,omitzero"`
}

func (c *sinkConfig) beside(dir string) {
	for _, p := range []*string{&c.File, &c.Syslog.CA, &c.Syslog.Certificate, &c.Syslog.Key} {
		*p = beside(dir, *p)
	}
}

// checkSink looks at the sink's part of the configuration. A receiver that cannot
// be reached is no fault: it is tried again.
func (c *nodeConfig) checkSink(wrong *faults) {
	if c.Sink.File != "" && inside(c.Sink.File, c.DataDir) {
		wrong.add("config: sink.file: lies inside data_dir, which is not kept when the node rejoins")
	}
	s := c.Sink.Syslog
	if s == (syslogConfig{}) {
		return
	}
	if c.Sink.File != "" {
		wrong.add("config: sink.syslog: the history goes to one place, and sink.file is one")
	}
	if err := checkAddress(s.Address); err != nil {
		wrong.add("config: sink.syslog.address: %v", err)
	}
	if (s.Certificate == "") != (s.Key == "") {
		wrong.add("config: sink.syslog.key: certificate and key go together")
	}
	for _, m := range []struct{ key, path string }{{"ca", s.CA}, {"certificate", s.Certificate}, {"key", s.Key}} {
		if m.path == "" && m.key == "ca" {
			wrong.add("config: sink.syslog.ca: is missing")
		} else if _, err := os.Stat(m.path); m.path != "" && err != nil {
			wrong.add("config: sink.syslog.%s: %v", m.key, err)
		}
	}
}

// cursorFile is in the key directory, because it outlives the data directory.
const cursorFile = "sink"

// startSink sends the open node's history, if the configuration wants it sent.
func (u *unit) startSink() error {
	c := u.cfg.Sink
	if c == (sinkConfig{}) {
		return nil
	}
	o := sink.Options{History: u.current().Store(), File: c.File, Cursor: filepath.Join(u.cfg.KeyDir, cursorFile), Node: u.cfg.Name,
		Time: u.floor, Log: u.log}
	if c.File == "" {
		o.Syslog = &sink.Syslog{Address: c.Syslog.Address, CA: c.Syslog.CA, ServerName: c.Syslog.ServerName,
			Certificate: c.Syslog.Certificate, Key: c.Syslog.Key, Enterprise: c.Syslog.Enterprise}
	}
	s, err := sink.Start(o)
	if err != nil {
		return err
	}
	u.sink.Store(s)
	return nil
}

// closeSink ends the sink before the history that it reads is closed. One that
// hangs holds nobody up.
func (u *unit) closeSink() {
	if s := u.sink.Swap(nil); s != nil {
		if err := s.Close(); err != nil {
			u.log.Warn("closing", "error", err)
		}
	}
}

// note is what the node's status says besides: how far the sink is behind.
func (u *unit) note() string {
	if l := u.ledger.Load(); l != nil && l.Err() != nil {
		return "special-deletion ledger: " + l.Err().Error()
	}
	if s := u.sink.Load(); s != nil {
		return s.Status(context.Background()).String()
	}
	return ""
}

// sinkTo has every node append its history to a file of its own in dir.
func (k *cluster) sinkTo(dir string) error {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return err
	}
	for _, u := range k.units {
		u.cfg.Sink = sinkConfig{File: filepath.Join(dir, u.cfg.Name+".jsonl")}
	}
	return nil
}
