package sink

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sago-worm/sago/store/format"
)

// Syslog is a receiver of RFC 5424 messages over TLS (RFC 5425). The files are
// read at each connection, so that a renewed certificate needs no restart.
type Syslog struct {
	Address    string // host:port
	CA         string // PEM file: who may have issued the receiver's certificate
	ServerName string // in the receiver's certificate; "" is Address's host
	// Certificate and Key are this node's own for the receiver, PEM files; both may
	// be "".
	Certificate, Key string
	// Enterprise is the private enterprise number of the SD-ID; 0 is the one that
	// RFC 5612 reserves for examples.
	Enterprise uint32
}

const exampleEnterprise = 32473

func (o *Syslog) enterprise() uint32 {
	if o.Enterprise == 0 {
		return exampleEnterprise
	}
	return o.Enterprise
}

// overlap is how many records before the cursor are sent again on a new
// connection: what the receiver's TCP has acknowledged may still have been in its
// memory when it died. The messages are longer than 600 bytes, so that these are
// more than the 6 MiB that Linux holds for a reader.
const overlap = 16 << 10

const (
	connectWithin = 10 * time.Second
	// stalled is how long a receiver may take nothing at all.
	stalled = 30 * time.Second
	// goodbye is how long a farewell may take.
	goodbye = time.Second
)

// established is Linux's TCP_ESTABLISHED.
const established = 1

var errClosed = errors.New("the receiver closed the connection")

// syslogTarget is one connection.
type syslogTarget struct {
	opts *Syslog
	host string
	ctx  context.Context // of the connection: its end ends a blocked write
	raw  *net.TCPConn
	conn *tls.Conn
	w    *bufio.Writer
	gone chan struct{} // closed when the receiver's side has ended
	why  error         // of gone; to be read after it
	stop func() bool
}

// config judges the receiver's certificate by the quorum clock, as now says.
func (o *Syslog) config(now func() time.Time) (*tls.Config, error) {
	pem, err := os.ReadFile(o.CA)
	if err != nil {
		return nil, err
	}
	c := &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: x509.NewCertPool(), ServerName: o.ServerName, Time: now}
	if !c.RootCAs.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s holds no certificate", o.CA)
	}
	if c.ServerName == "" {
		if c.ServerName, _, err = net.SplitHostPort(o.Address); err != nil {
			return nil, err
		}
	}
	if o.Certificate != "" {
		own, err := tls.LoadX509KeyPair(o.Certificate, o.Key)
		if err != nil {
			return nil, err
		}
		c.Certificates = []tls.Certificate{own}
	}
	return c, nil
}

func openSyslog(ctx context.Context, o *Syslog, host string, now func() time.Time) (*syslogTarget, error) {
	config, err := o.config(now)
	if err != nil {
		return nil, err
	}
	dialling, cancel := context.WithTimeout(ctx, connectWithin)
	defer cancel()
	var d net.Dialer
	raw, err := d.DialContext(dialling, "tcp", o.Address)
	if err != nil {
		return nil, err
	}
	conn := tls.Client(raw, config)
	if err := conn.HandshakeContext(dialling); err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", o.Address, err), raw.Close())
	}
	t := &syslogTarget{opts: o, host: hostName(host), ctx: ctx, raw: raw.(*net.TCPConn), conn: conn, gone: make(chan struct{})}
	t.w = bufio.NewWriterSize(writerFunc(t.send), 32<<10)
	t.stop = context.AfterFunc(ctx, func() { _ = raw.SetWriteDeadline(time.Unix(1, 0)) })
	go func() { // ends with the connection, which close closes
		defer close(t.gone)
		_, err := io.Copy(io.Discard, conn) // nobody answers; what comes is alerts and the end
		t.why = errors.Join(errClosed, err)
	}()
	return t, nil
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(b []byte) (int, error) { return f(b) }

// send writes bytes while the receiver takes any.
func (t *syslogTarget) send(b []byte) (int, error) {
	if err := t.raw.SetWriteDeadline(time.Now().Add(stalled)); err != nil {
		return 0, err
	}
	if err := t.ctx.Err(); err != nil { // its deadline came before this one
		return 0, err
	}
	n, err := t.conn.Write(b)
	if err != nil {
		err = errors.Join(err, t.check())
	}
	return n, err
}

func (t *syslogTarget) write(text []byte, rec *format.Record, leaf format.Digest) error {
	_, err := t.w.Write(frame(t.opts.message(t.host, text, rec, leaf)))
	return err
}

func (t *syslogTarget) flush(context.Context) error { return t.w.Flush() }

// settle waits until the receiver's TCP has acknowledged every byte.
func (t *syslogTarget) settle(ctx context.Context) error {
	least, since := -1, time.Now()
	for {
		if err := t.check(); err != nil {
			return err
		}
		left, open, err := t.unacknowledged()
		switch {
		case err != nil:
			return err
		case !open:
			return errClosed
		case left == 0:
			return nil
		case least < 0 || left < least:
			least, since = left, time.Now()
		case time.Since(since) > stalled:
			return fmt.Errorf("the receiver has acknowledged nothing for %v, %d bytes wait", stalled, left)
		}
		if err := pause(ctx, 2*time.Millisecond); err != nil {
			return err
		}
	}
}

// unacknowledged asks the kernel how many bytes wait for the peer, and then
// whether the connection still stands: of a reset one the first means nothing.
func (t *syslogTarget) unacknowledged() (left int, open bool, err error) {
	sc, err := t.raw.SyscallConn()
	if err != nil {
		return 0, false, err
	}
	var info *unix.TCPInfo
	var asked error
	err = sc.Control(func(fd uintptr) {
		if left, asked = unix.IoctlGetInt(int(fd), unix.SIOCOUTQ); asked == nil {
			info, asked = unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO)
		}
	})
	if err = errors.Join(err, asked); err != nil {
		return 0, false, err
	}
	return left, info.State == established, nil
}

// check notices that the receiver has gone.
func (t *syslogTarget) check() error {
	select {
	case <-t.gone:
		return t.why
	default:
		return nil
	}
}

// close says goodbye, if the receiver listens, and ends the connection.
func (t *syslogTarget) close() error {
	t.stop()
	hang := time.AfterFunc(goodbye, func() { _ = t.raw.Close() })
	defer hang.Stop()
	err := t.conn.Close()
	<-t.gone // the reader has ended
	return err
}
