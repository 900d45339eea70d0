package timesource

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"os"

	"github.com/beevik/ntp"
	"github.com/beevik/nts"
)

// maxSessionMisses is how many queries of one NTS session may fail in a row before
// keys and cookies are exchanged anew.
const maxSessionMisses = 3

// askNTS queries under the protection of RFC 8915, with keys from an earlier
// exchange as long as they serve.
func (c *client) askNTS(options ntp.QueryOptions) error {
	if c.session == nil {
		session, err := c.exchangeKeys()
		if err != nil {
			return err
		}
		c.session, c.misses = session, 0
	}
	_, err := c.session.QueryWithOptions(&options)
	if err == nil {
		c.misses = 0
		return nil
	}
	if c.misses++; c.misses >= maxSessionMisses || errors.Is(err, nts.ErrAuthFailedOnServer) {
		c.session = nil
	}
	return err
}

// exchangeKeys runs NTS-KE over TLS 1.3. The certificate is judged at the trusted
// time, by name and by the file's roots (or the system's); there is no way to skip
// its dates.
func (c *client) exchangeKeys() (*nts.Session, error) {
	roots, err := c.roots()
	if err != nil {
		return nil, err
	}
	session, err := nts.NewSessionWithOptions(c.endpoint.Address, &nts.SessionOptions{
		Timeout: c.opts.Timeout,
		TLSConfig: &tls.Config{
			MinVersion: tls.VersionTLS13,
			RootCAs:    roots,
			ServerName: c.source.NTSName,
			Time:       c.trusted,
		},
		Dialer: c.dialTLS,
	})
	if err != nil {
		return nil, fmt.Errorf("NTS: %w", err)
	}
	return session, nil
}

func (c *client) roots() (*x509.CertPool, error) {
	if c.endpoint.CAFile == "" {
		return nil, nil // the system's
	}
	pem, err := os.ReadFile(c.endpoint.CAFile)
	if err != nil {
		return nil, fmt.Errorf("NTS roots: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("NTS roots: %s holds no certificate", c.endpoint.CAFile)
	}
	return pool, nil
}

// dialTLS connects to the key exchange. The whole exchange has one deadline, which
// the NTS library does not set.
func (c *client) dialTLS(_, address string, config *tls.Config) (*tls.Conn, error) {
	ctx, cancel := context.WithTimeout(c.life, c.opts.Timeout)
	defer cancel()
	raw, err := c.dial(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	conn := tls.Client(raw, config)
	if err := startTLS(ctx, raw, conn); err != nil {
		return nil, errors.Join(err, raw.Close())
	}
	return conn, nil
}

func startTLS(ctx context.Context, raw net.Conn, conn *tls.Conn) error {
	if deadline, ok := ctx.Deadline(); ok {
		if err := raw.SetDeadline(deadline); err != nil {
			return err
		}
	}
	return conn.HandshakeContext(ctx)
}

// NTS extension fields (RFC 8915, section 5).
const (
	fieldUniqueID      = 0x0104
	fieldAuthenticator = 0x0404
)

// checkNTSAnswer demands the shape that makes an answer protected: our unique
// identifier (its value is the library's to compare) ahead of an authenticator
// that is the last field and covers all before it. Without an authenticator only
// the crypto-NAK passes, which yields no time.
func checkNTSAnswer(packet []byte) error {
	if packet[1] == 0 && string(packet[12:16]) == "NTSN" {
		return nil
	}
	unique := false
	for rest := packet[headerSize:]; len(rest) >= 4; {
		kind, size := binary.BigEndian.Uint16(rest), int(binary.BigEndian.Uint16(rest[2:]))
		if size < 4 || size > len(rest) || size%4 != 0 {
			return refusef("broken extension field")
		}
		switch kind {
		case fieldUniqueID:
			unique = true
		case fieldAuthenticator:
			if !unique || size != len(rest) {
				return refusef("NTS authenticator does not cover the answer")
			}
			return checkAuthenticator(rest[4:size])
		}
		rest = rest[size:]
	}
	return refusef("answer without NTS protection")
}

// checkAuthenticator demands a nonce and a ciphertext of sizes that the ciphers
// take; the cipher library panics on others.
func checkAuthenticator(body []byte) error {
	if len(body) < 4 {
		return refusef("broken NTS authenticator")
	}
	nonce, sealed := int(binary.BigEndian.Uint16(body)), int(binary.BigEndian.Uint16(body[2:]))
	if nonce < 12 || nonce > 16 || sealed < 16 || len(body) < 4+(nonce+3)/4*4+(sealed+3)/4*4 {
		return refusef("broken NTS authenticator")
	}
	return nil
}
