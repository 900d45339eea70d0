package custodian

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"

	"golang.org/x/sys/unix"

	"github.com/sago-worm/sago/store/format"
	"github.com/sago-worm/sago/store/keyring"
)

// What a Remote and a Server say to one another, one request a connection
// (docs/custodian.md): frames of a length (4 bytes, big-endian, of what follows
// it), the version, a kind, and a body; at most one descriptor with a frame.

// wireVersion is the only version that is spoken.
const wireVersion = 1

// maxFrame bounds a frame, in bytes; a whole key block fits.
const maxFrame = 16 << 20

// The kinds of requests.
const (
	askProtection uint8 = 1 + iota
	askCreate
	askAppend
	askSeal
	askPlace
	askCreateBlock
	askRewriteSlot
	askRewriteHeader
	askReassert
	askDestroy
	askPutAside
	askDestroyAside
	askRewrapBlock
)

// The kinds of the other frames: what follows askPlace, and answers.
const (
	placeBytes uint8 = 0x40 + iota
	placeEnd
	answerDone   // the request's result
	answerFailed // a cause and words
)

// causes are the errors that callers decide on; the bit of each on the wire is its
// place here.
func causes() []error {
	return []error{ErrNotSealed, ErrSealed, ErrWriter, ErrName, ErrWarrant, ErrRange, ErrNotEmpty, keyring.ErrNotDamaged,
		fs.ErrExist, fs.ErrNotExist, unix.ENOSPC}
}

// remoteError is an error that the custodian's process answered.
type remoteError struct {
	words  string
	causes []error
}

func (e *remoteError) Error() string { return e.words }

// Unwrap is what callers decide on.
func (e *remoteError) Unwrap() []error { return e.causes }

func encodeFailure(err error) []byte {
	var w format.Writer
	bits := uint32(0)
	for i, cause := range causes() {
		if errors.Is(err, cause) {
			bits |= 1 << i
		}
	}
	words := err.Error()
	w.U32(bits)
	w.Str(words[:min(len(words), 4096)])
	return w.Bytes()
}

func decodeFailure(b []byte) error {
	r := format.NewReader(b)
	bits, words := r.U32(), r.Str()
	if err := r.Done(); err != nil {
		return err
	}
	e := &remoteError{words: words}
	for i, cause := range causes() {
		if bits>>i&1 == 1 {
			e.causes = append(e.causes, cause)
		}
	}
	return e
}

// link is one end of a connection.
type link struct {
	c  *net.UnixConn
	fd *os.File // the descriptor that came with the last frame; nil without one
}

// send writes one frame, and a descriptor with it where file is not nil.
func (l *link) send(kind uint8, body []byte, file *os.File) error {
	if len(body)+2 > maxFrame {
		return fmt.Errorf("%w: a frame of %d bytes", format.ErrMalformed, len(body))
	}
	b := binary.BigEndian.AppendUint32(make([]byte, 0, 6+len(body)), uint32(len(body)+2))
	b = append(append(b, wireVersion, kind), body...)
	var rights []byte
	if file != nil {
		rights = unix.UnixRights(int(file.Fd()))
	}
	for len(b) > 0 {
		n, _, err := l.c.WriteMsgUnix(b, rights, nil)
		if err != nil {
			return err
		}
		b, rights = b[n:], nil
	}
	return nil
}

// receive reads one frame. A descriptor that came with it is in l.fd.
func (l *link) receive() (kind uint8, body []byte, err error) {
	var head [6]byte
	if err := l.fill(head[:]); err != nil {
		return 0, nil, err
	}
	n := binary.BigEndian.Uint32(head[:])
	if n < 2 || n > maxFrame {
		return 0, nil, fmt.Errorf("%w: a frame of %d bytes", format.ErrMalformed, n)
	}
	if head[4] != wireVersion {
		return 0, nil, fmt.Errorf("%w: version %d of requests, this is %d", format.ErrMalformed, head[4], wireVersion)
	}
	body = make([]byte, n-2)
	return head[5], body, l.fill(body)
}

// fill reads all of b.
func (l *link) fill(b []byte) error {
	rights := make([]byte, unix.CmsgSpace(4))
	for len(b) > 0 {
		n, oob, flags, _, err := l.c.ReadMsgUnix(b, rights)
		if err != nil {
			return err
		}
		if flags&unix.MSG_CTRUNC != 0 {
			return fmt.Errorf("%w: more than one descriptor", format.ErrMalformed)
		}
		if oob > 0 {
			if err := l.keep(rights[:oob]); err != nil {
				return err
			}
		}
		if n == 0 {
			return io.ErrUnexpectedEOF
		}
		b = b[n:]
	}
	return nil
}

// end waits until the other end has closed the connection.
func (l *link) end() error {
	n, err := l.c.Read(make([]byte, 1))
	if n > 0 {
		return fmt.Errorf("%w: bytes after an answer", format.ErrMalformed)
	}
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}

// keep takes over the one descriptor that a frame may bring.
func (l *link) keep(oob []byte) error {
	messages, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return err
	}
	for i := range messages {
		fds, err := unix.ParseUnixRights(&messages[i])
		if err != nil {
			continue // not a descriptor
		}
		for _, fd := range fds {
			unix.CloseOnExec(fd)
			if l.fd != nil {
				return errors.Join(fmt.Errorf("%w: more than one descriptor", format.ErrMalformed), unix.Close(fd))
			}
			l.fd = os.NewFile(uintptr(fd), "passed")
		}
	}
	return nil
}

// close ends the connection, and lets a descriptor go that nobody took.
func (l *link) close() error {
	err := l.c.Close()
	if l.fd != nil {
		err = errors.Join(err, l.fd.Close())
	}
	return err
}

func nameBody(name string) []byte {
	var w format.Writer
	w.Str(name[:min(len(name), 256)])
	return w.Bytes()
}

func decodeName(b []byte) (string, error) {
	r := format.NewReader(b)
	name := r.Str()
	return name, r.Done()
}

func blockBody(name string, offset int64, content []byte) []byte {
	var w format.Writer
	w.Str(name[:min(len(name), 256)])
	w.I64(offset)
	w.Blob(content)
	return w.Bytes()
}

func encodeProtection(p Protection) []byte {
	var w format.Writer
	w.Bool(p.AppendOnly)
	w.Bool(p.Immutable)
	w.U32(uint32(len(p.Notes)))
	for _, n := range p.Notes {
		w.Str(n)
	}
	return w.Bytes()
}

func decodeProtection(b []byte) (Protection, error) {
	r := format.NewReader(b)
	p := Protection{AppendOnly: r.Bool(), Immutable: r.Bool(), Split: true}
	for range r.Count(2) {
		p.note(r.Str())
	}
	return p, r.Done()
}

// encodeOrders writes orders; a checkpoint that is the one before's is not written
// again. A permit is not: the gate comes to its own.
func encodeOrders(orders []Order) []byte {
	var w format.Writer
	w.U32(uint32(len(orders)))
	for i, o := range orders {
		same := i > 0 && string(o.Warrant.Checkpoint) == string(orders[i-1].Warrant.Checkpoint)
		w.Bool(same)
		if !same {
			w.Blob(o.Warrant.Checkpoint)
		}
		w.Blob(o.Warrant.Decision)
		w.U64(o.Work.Bundle)
		w.Bool(o.Work.Unused)
		w.Bool(o.Work.History)
		w.U32(uint32(len(o.Work.Slots)))
		for _, s := range o.Work.Slots {
			w.Slot(s)
		}
		w.U32(uint32(len(o.Work.Ranges)))
		for _, r := range o.Work.Ranges {
			w.Str(r.File)
			w.I64(r.Offset)
			w.I64(r.Length)
		}
		w.U32(uint32(len(o.Work.Remove)))
		for _, name := range o.Work.Remove {
			w.Str(name)
		}
	}
	return w.Bytes()
}

// minOrder is the least length of an encoded order, in bytes.
const minOrder = 1 + 4 + 8 + 2 + 3*4

func decodeOrders(b []byte) ([]Order, error) {
	r := format.NewReader(b)
	var orders []Order
	var checkpoint []byte
	for range r.Count(minOrder) {
		var o Order
		if !r.Bool() {
			checkpoint = r.Blob()
		}
		o.Warrant.Checkpoint, o.Warrant.Decision = checkpoint, r.Blob()
		o.Work.Bundle, o.Work.Unused, o.Work.History = r.U64(), r.Bool(), r.Bool()
		for range r.Count(20) {
			o.Work.Slots = append(o.Work.Slots, r.Slot())
		}
		for range r.Count(18) {
			o.Work.Ranges = append(o.Work.Ranges, Range{r.Str(), r.I64(), r.I64()})
		}
		for range r.Count(2) {
			o.Work.Remove = append(o.Work.Remove, r.Str())
		}
		if r.Err() != nil {
			break
		}
		orders = append(orders, o)
	}
	return orders, r.Done()
}

func encodeDone(d Done) []byte {
	var w format.Writer
	w.U64(uint64(d.Slots))
	w.U64(uint64(d.Ranges))
	w.I64(d.Bytes)
	w.Bool(d.NotPunched)
	w.U32(uint32(len(d.Absent)))
	for _, name := range d.Absent {
		w.Str(name)
	}
	return w.Bytes()
}

func decodeDone(b []byte) (Done, error) {
	r := format.NewReader(b)
	d := Done{Slots: int(r.U64()), Ranges: int(r.U64()), Bytes: r.I64(), NotPunched: r.Bool()}
	for range r.Count(2) {
		d.Absent = append(d.Absent, r.Str())
	}
	return d, r.Done()
}
