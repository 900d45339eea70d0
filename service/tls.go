package service

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"sync"
)

// tlsConfig demands a client certificate of one of the cluster's authorities.
// They are state: each handshake asks for them anew, and no session is resumed
// past a change.
func (s *Server) tlsConfig() *tls.Config {
	base := &tls.Config{
		MinVersion:             tls.VersionTLS13,
		Certificates:           []tls.Certificate{s.cfg.Certificate},
		ClientAuth:             tls.RequireAndVerifyClientCert,
		ClientCAs:              x509.NewCertPool(), // nobody, unless a handshake gets its own
		NextProtos:             []string{"h2"},
		Time:                   s.cfg.Time,
		SessionTicketsDisabled: true,
	}
	outer := base.Clone()
	outer.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) {
		pool, err := s.authorities()
		if err != nil {
			return nil, err
		}
		c := base.Clone()
		c.ClientCAs = pool
		return c, nil
	}
	return outer
}

func (s *Server) authorities() (*x509.CertPool, error) {
	list, err := s.cfg.Authorities()
	if err != nil {
		return nil, fmt.Errorf("authorities: %w", err)
	}
	pool := x509.NewCertPool()
	for i, der := range list {
		c, err := x509.ParseCertificate(der)
		if err != nil {
			return nil, fmt.Errorf("authority %d: %w", i, err)
		}
		pool.AddCert(c)
	}
	return pool, nil
}

// limitListener closes at once what comes beyond its number of connections.
type limitListener struct {
	net.Listener
	free chan struct{}
}

func newLimitListener(ln net.Listener, n int) *limitListener {
	return &limitListener{Listener: ln, free: make(chan struct{}, n)}
}

// Accept implements net.Listener.
func (l *limitListener) Accept() (net.Conn, error) {
	for {
		conn, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		select {
		case l.free <- struct{}{}:
			return &limitedConn{Conn: conn, release: func() { <-l.free }}, nil
		default:
			// The caller sees a closed connection; there is nobody to tell why.
			_ = conn.Close()
		}
	}
}

type limitedConn struct {
	net.Conn
	once    sync.Once
	release func()
}

// Close implements net.Conn and gives the place back once.
func (c *limitedConn) Close() error {
	err := c.Conn.Close()
	c.once.Do(c.release)
	return err
}
