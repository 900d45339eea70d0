package timesource

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sago-worm/sago/internal/testntp"
)

// relay stands between a client and a real server on UDP, sees every packet and
// may change it.
type relay struct {
	listen net.PacketConn
	server string

	mu       sync.Mutex
	queries  [][]byte
	replies  [][]byte
	request  func([]byte) []byte // nil: unchanged
	response func([]byte) []byte
}

func newRelay(t *testing.T, server string) *relay {
	t.Helper()
	listen, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := &relay{listen: listen, server: server}
	done := make(chan struct{})
	go func() {
		defer close(done)
		r.serve()
	}()
	t.Cleanup(func() {
		_ = listen.Close()
		<-done
	})
	return r
}

func (r *relay) serve() {
	buffer := make([]byte, 4096)
	for {
		n, from, err := r.listen.ReadFrom(buffer)
		if err != nil {
			return
		}
		if reply := r.pass(bytes.Clone(buffer[:n])); reply != nil {
			_, _ = r.listen.WriteTo(reply, from)
		}
	}
}

// pass takes one query to the server, at most 100 ms long, and returns its reply.
func (r *relay) pass(query []byte) []byte {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.queries = append(r.queries, query)
	if r.request != nil {
		query = r.request(bytes.Clone(query))
	}
	conn, err := net.Dial("udp", r.server)
	if err != nil {
		return nil
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(100 * time.Millisecond)); err != nil {
		return nil
	}
	if _, err := conn.Write(query); err != nil {
		return nil
	}
	buffer := make([]byte, 4096)
	n, err := conn.Read(buffer)
	if err != nil {
		return nil
	}
	reply := bytes.Clone(buffer[:n])
	r.replies = append(r.replies, reply)
	if r.response != nil {
		reply = r.response(bytes.Clone(reply))
	}
	return reply
}

func (r *relay) set(request, response func([]byte) []byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.request, r.response, r.queries, r.replies = request, response, nil, nil
}

func (r *relay) seen() (queries, replies [][]byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.queries, r.replies
}

// ntsClient is a client of a real NTS server whose NTP packets pass a relay.
func ntsClient(t *testing.T, o testntp.ChronyOptions) (*client, *relay) {
	t.Helper()
	o.NTS = true
	chrony := testntp.StartChrony(t, o)
	r := newRelay(t, chrony.Addr)
	c := testClient(t, Source{Name: "s", Operator: "o", Auth: AuthNTS, NTSName: chrony.Name},
		Endpoint{Name: "s", Address: chrony.KEAddr, CAFile: chrony.CAFile})
	direct := c.opts.Dial
	c.opts.Timeout = 2 * time.Second
	c.opts.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
		if network == "udp" {
			address = r.listen.LocalAddr().String()
		}
		return direct(ctx, network, address)
	}
	return c, r
}

// fields lists the extension fields of a packet, by type.
func fields(packet []byte) (kinds []string) {
	for rest := packet[headerSize:]; len(rest) >= 4; {
		size := int(binary.BigEndian.Uint16(rest[2:]))
		if size < 4 || size > len(rest) {
			return append(kinds, "broken")
		}
		kinds = append(kinds, fmt.Sprintf("%04x", binary.BigEndian.Uint16(rest)))
		rest = rest[size:]
	}
	return kinds
}

func TestNTSProtectsTheQueryOnTheWire(t *testing.T) {
	c, r := ntsClient(t, testntp.ChronyOptions{})
	for range 3 {
		if _, err := c.query(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	queries, replies := r.seen()
	if len(queries) != 3 || len(replies) != 3 {
		t.Fatalf("%d queries, %d replies on the wire", len(queries), len(replies))
	}
	for i := range queries {
		for what, kinds := range map[string][]string{"query": fields(queries[i]), "reply": fields(replies[i])} {
			all := strings.Join(kinds, " ")
			if kinds[0] != "0104" || kinds[len(kinds)-1] != "0404" || (what == "query" && !strings.Contains(all, "0204")) {
				t.Errorf("%s %d has the fields %s", what, i, all)
			}
		}
		if i > 0 && bytes.Equal(queries[i][headerSize:headerSize+36], queries[i-1][headerSize:headerSize+36]) {
			t.Error("a unique identifier was used twice")
		}
	}
}

func flip(bit int) func([]byte) []byte {
	return func(b []byte) []byte {
		at := (bit%(8*len(b)) + 8*len(b)) % (8 * len(b)) // negative counts from the end
		b[at/8] ^= 1 << (at % 8)
		return b
	}
}

func TestNTSChangedPacketsAreRefused(t *testing.T) {
	c, r := ntsClient(t, testntp.ChronyOptions{})
	if _, err := c.query(t.Context()); err != nil {
		t.Fatal(err)
	}
	_, replies := r.seen()
	c.opts.Timeout = 150 * time.Millisecond
	plain := func(b []byte) []byte { return b[:headerSize] }
	for name, change := range map[string]struct{ request, response func([]byte) []byte }{
		"response transmit time":     {nil, flip(43 * 8)},
		"response stratum":           {nil, flip(1*8 + 1)},
		"response root dispersion":   {nil, flip(11 * 8)},
		"response unique identifier": {nil, flip((headerSize + 8) * 8)},
		"response ciphertext":        {nil, flip(-8)},
		"response stripped":          {nil, plain},
		"response kiss, unprotected": {nil, func(b []byte) []byte { b = plain(b); b[1] = 0; copy(b[12:16], "DENY"); return b }},
		"response replayed":          {nil, func([]byte) []byte { return replies[0] }},
		"request header":             {flip(5 * 8), nil},
		"request transmit time":      {flip(44 * 8), nil},
		"request unique identifier":  {flip((headerSize + 8) * 8), nil},
		"request authenticator":      {flip(-8), nil},
	} {
		r.set(change.request, change.response)
		if m, err := c.query(t.Context()); err == nil {
			t.Errorf("%s: accepted %x", name, m.header)
		} else {
			t.Logf("%s: %v", name, err)
		}
	}
	// A request that was changed on its way gives no protected time.
	r.set(flip(5*8), nil)
	_, _ = c.query(t.Context())
	if _, replies := r.seen(); len(replies) > 0 && string(replies[0][12:16]) != "NTSN" {
		t.Errorf("the server answered a changed request: %x", replies[0])
	}
	r.set(nil, nil)
	eventually(t, "the source recovers", func() bool {
		_, err := c.query(t.Context())
		return err == nil
	})
}

// Sizes that the cipher library panics on, as whoever sits on the way could send.
func TestNTSHostilePacketsAreRefused(t *testing.T) {
	c, r := ntsClient(t, testntp.ChronyOptions{})
	if _, err := c.query(t.Context()); err != nil {
		t.Fatal(err)
	}
	c.opts.Timeout = 100 * time.Millisecond
	field := func(kind uint16, body []byte) []byte {
		b := binary.BigEndian.AppendUint16(nil, kind)
		return append(binary.BigEndian.AppendUint16(b, uint16(4+len(body))), body...)
	}
	unique := func(b []byte) []byte { return b[:headerSize+36] }
	for name, tail := range map[string][]byte{
		"no nonce":        field(fieldAuthenticator, append([]byte{0, 0, 0, 16}, make([]byte, 16)...)),
		"no ciphertext":   field(fieldAuthenticator, append([]byte{0, 16, 0, 0}, make([]byte, 16)...)),
		"odd nonce":       field(fieldAuthenticator, append([]byte{0, 13, 0, 16}, make([]byte, 32)...)),
		"nonce of 12":     field(fieldAuthenticator, append([]byte{0, 12, 0, 16}, make([]byte, 28)...)),
		"nonce of 16":     field(fieldAuthenticator, append([]byte{0, 16, 0, 16}, make([]byte, 32)...)),
		"empty":           field(fieldAuthenticator, nil),
		"only a unique":   nil,
		"field too long":  {0x04, 0x04, 0xff, 0xfc},
		"field too short": {0x04, 0x04, 0, 0},
		"not last": append(field(fieldAuthenticator, append([]byte{0, 16, 0, 16}, make([]byte, 32)...)),
			field(0x0204, make([]byte, 16))...),
	} {
		r.set(nil, func(b []byte) []byte { return append(unique(b), tail...) })
		if _, err := c.query(t.Context()); err == nil {
			t.Errorf("%s was accepted", name)
		}
	}
	for _, sizes := range [][2]byte{{0, 16}, {11, 16}, {17, 16}, {16, 0}, {16, 15}, {16, 200}} {
		h := answerAt(newYear)
		packet := append(h[:], field(fieldUniqueID, make([]byte, 32))...)
		packet = append(packet, field(fieldAuthenticator, append([]byte{0, sizes[0], 0, sizes[1]}, make([]byte, 32)...))...)
		if err := checkNTSAnswer(packet); err == nil {
			t.Errorf("nonce of %d, ciphertext of %d passed", sizes[0], sizes[1])
		}
	}
	r.set(nil, func(b []byte) []byte { return b[:20] })
	if _, err := c.query(t.Context()); err == nil {
		t.Error("half a header was accepted")
	}
}

func TestP10_CertificatesAreJudgedByTheFloor(t *testing.T) {
	date := func(year int) time.Time { return time.Date(year, 6, 1, 0, 0, 0, 0, time.UTC) }
	// Long past by the host's date: only the floor counts.
	c, _ := ntsClient(t, testntp.ChronyOptions{CertStart: date(2012), CertEnd: date(2016)})
	for year, ok := range map[int]bool{2000: false, 2014: true, 2026: false, 2099: false} {
		c.session = nil
		c.trusted = func() time.Time { return date(year) }
		if _, err := c.query(t.Context()); (err == nil) != ok {
			t.Errorf("floor %d: %v", year, err)
		} else if !ok && !strings.Contains(err.Error(), "expired or is not yet valid") {
			t.Errorf("floor %d: refused for another reason: %v", year, err)
		}
	}
}

func TestNTSRefusesOtherServers(t *testing.T) {
	c, _ := ntsClient(t, testntp.ChronyOptions{})
	name := c.source.NTSName
	c.source.NTSName = "other.example.test"
	if _, err := c.query(t.Context()); err == nil {
		t.Error("a certificate of another name was taken")
	}
	c.source.NTSName = name
	ca := c.endpoint.CAFile
	c.endpoint.CAFile = ""
	if _, err := c.query(t.Context()); err == nil {
		t.Error("a certificate of an unknown issuer was taken")
	}
	c.endpoint.CAFile = ca + ".none"
	if _, err := c.query(t.Context()); err == nil {
		t.Error("a missing CA file was passed over")
	}
	c.endpoint.CAFile = ca
	if _, err := c.query(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestNTSSilentKeyExchangeEnds(t *testing.T) {
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	c := testClient(t, Source{Name: "s", Operator: "o", Auth: AuthNTS, NTSName: "x.example"},
		Endpoint{Name: "s", Address: silent.Addr().String()})
	done := make(chan error, 1)
	go func() {
		_, err := c.query(context.Background())
		done <- err
	}()
	select {
	case err := <-done:
		if err == nil {
			t.Error("a silent server gave time")
		}
	case <-time.After(5 * time.Second):
		t.Fatal("the key exchange hangs")
	}
}
