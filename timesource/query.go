package timesource

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"time"

	"github.com/beevik/ntp"
	"github.com/beevik/nts"
)

// client queries one source. It is used by one poller only.
type client struct {
	life     context.Context // of the poller; key exchanges inside a session end with it
	opts     Options
	source   Source
	endpoint Endpoint
	trusted  func() time.Time // judges certificates
	claim    func(address string) error

	turn    int // which of a name's addresses is asked; moves on after a failure
	session *nts.Session
	misses  int // failed queries in a row of this session
}

// query asks once. A panic of the parsers, which read hostile bytes, is an answer
// that cannot be used.
func (c *client) query(ctx context.Context) (m sample, err error) {
	defer func() {
		if fault := recover(); fault != nil {
			c.session = nil
			err = fmt.Errorf("answer cannot be parsed: %v", fault)
		}
		if err != nil {
			c.turn++
		}
	}()
	w := &wire{clock: c.opts.clock, nts: c.source.Auth == AuthNTS}
	options := ntp.QueryOptions{
		Timeout:       c.opts.Timeout,
		Version:       4,
		GetSystemTime: w.systemTime,
		Dialer: func(_, remote string) (net.Conn, error) {
			conn, err := c.dial(ctx, "udp", remote)
			if err != nil {
				return nil, err
			}
			w.Conn = conn
			w.release = context.AfterFunc(ctx, func() { _ = conn.Close() })
			return w, nil
		},
	}
	if err := c.ask(options); err != nil {
		if w.skipped != nil {
			err = fmt.Errorf("%w (%w)", w.skipped, err)
		}
		return sample{}, err
	}
	return w.sample()
}

func (c *client) ask(options ntp.QueryOptions) error {
	if c.source.Auth == AuthNTS {
		return c.askNTS(options)
	}
	options.Auth = ntp.AuthOptions{Type: ntpAuth(c.source.Auth), Key: c.endpoint.Key, KeyID: uint32(c.source.KeyID)}
	_, err := ntp.QueryWithOptions(c.endpoint.Address, options)
	return err
}

func ntpAuth(kind AuthKind) ntp.AuthType {
	switch kind {
	case AuthSHA1:
		return ntp.AuthSHA1
	case AuthSHA256:
		return ntp.AuthSHA256
	case AuthSHA512:
		return ntp.AuthSHA512
	case AuthAES128:
		return ntp.AuthAES128
	case AuthAES256:
		return ntp.AuthAES256
	}
	return ntp.AuthNone
}

// dial resolves a host name to one address and connects to it. The address of an
// NTP server is claimed for this source.
func (c *client) dial(ctx context.Context, network, address string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, c.opts.Timeout)
	defer cancel()
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, fmt.Errorf("address: %w", err)
	}
	if net.ParseIP(host) == nil {
		found, err := c.opts.Resolver(ctx, host)
		if err != nil {
			return nil, fmt.Errorf("resolving %s: %w", host, err)
		}
		if len(found) == 0 {
			return nil, fmt.Errorf("resolving %s: no address", host)
		}
		slices.Sort(found)
		host = found[c.turn%len(found)]
	}
	address = net.JoinHostPort(host, port)
	if network == "udp" {
		if err := c.claim(address); err != nil {
			return nil, err
		}
	}
	return c.opts.Dial(ctx, network, address)
}

// wire is the connection of one query. It keeps the bytes as they came over the
// wire, stamps both ends of the query, and passes over packets that are no answer
// to it, so that whoever guesses our port cannot spoil a poll.
type wire struct {
	net.Conn
	release func() bool
	clock   func() (stamp, error)
	nts     bool

	stamps   []stamp
	clockErr error
	query    []byte
	answer   []byte
	skipped  error // why a packet was passed over
}

// systemTime stamps an instant on both clocks and gives the NTP library the boot
// clock's part, from a fixed epoch. The library asks before it sends and after it
// has received.
func (w *wire) systemTime() time.Time {
	s, err := w.clock()
	if err != nil {
		w.clockErr = err
	}
	w.stamps = append(w.stamps, s)
	return time.Unix(0, s.boot).UTC()
}

func (w *wire) Write(b []byte) (int, error) {
	w.query = bytes.Clone(b)
	return w.Conn.Write(b)
}

func (w *wire) Read(b []byte) (int, error) {
	for {
		n, err := w.Conn.Read(b)
		if err != nil {
			return n, err
		}
		if err := w.check(b[:n]); err != nil {
			w.skipped = err
			continue
		}
		w.answer = bytes.Clone(b[:n])
		return n, nil
	}
}

// check says whether a packet can be the answer to our query at all. For NTS that
// includes the fields that protect it: the NTS library verifies those that it
// finds, but does not miss them.
func (w *wire) check(packet []byte) error {
	if len(packet) < headerSize || len(w.query) < headerSize {
		return refusef("short answer")
	}
	if mode := packet[0] & 7; mode != 4 {
		return refusef("answer of mode %d", mode)
	}
	if !bytes.Equal(packet[24:32], w.query[40:48]) {
		return refusef("answer without our origin")
	}
	if w.nts {
		return checkNTSAnswer(packet)
	}
	return nil
}

func (w *wire) Close() error {
	w.release()
	return w.Conn.Close()
}

// sample is the query's outcome, once the library has authenticated the answer.
func (w *wire) sample() (sample, error) {
	if w.clockErr != nil {
		return sample{}, w.clockErr
	}
	if len(w.stamps) != 2 || len(w.answer) < headerSize {
		return sample{}, errors.New("query was not stamped")
	}
	m := sample{header: header(w.answer[:headerSize]), sent: w.stamps[0], got: w.stamps[1]}
	if m.header.stratum() == 0 {
		return sample{}, kissError(m.header.kiss())
	}
	return m, nil
}
