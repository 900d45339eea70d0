package timesource

import (
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"
)

var (
	// ErrPolicy says that a policy may not be used; the text names the rule.
	ErrPolicy = errors.New("timesource: policy")
	// ErrPolicyMismatch says that the node file does not describe exactly the
	// sources of the policy; such a node tells no time and does not vote.
	ErrPolicyMismatch = errors.New("timesource: node file differs from policy")
)

// AuthKind says how a source proves that an answer is its own.
type AuthKind string

// The kinds of authentication. MD5 is refused: it proves nothing any more.
const (
	AuthNone   AuthKind = "none"
	AuthSHA1   AuthKind = "sha1"        // deprecated by RFC 8573; for old servers in closed networks
	AuthSHA256 AuthKind = "sha256"      // truncated to 160 bits in NTPv4
	AuthSHA512 AuthKind = "sha512"      // truncated to 160 bits in NTPv4
	AuthAES128 AuthKind = "aes128-cmac" // RFC 8573
	AuthAES256 AuthKind = "aes256-cmac"
	AuthNTS    AuthKind = "nts" // RFC 8915
)

// keySize is the least size of a symmetric key in bytes, zero for kinds without.
func (k AuthKind) keySize() int {
	switch k {
	case AuthSHA1, AuthSHA256, AuthSHA512, AuthAES128:
		return 16
	case AuthAES256:
		return 32
	}
	return 0
}

// Source is the replicated part of a time source: who it is and how it proves it.
type Source struct {
	Name     string // unique, 1 to 32 bytes
	Operator string // who runs it, 1 to 32 bytes; sources of one operator fail together
	Auth     AuthKind
	KeyID    uint16 // of the symmetric key; not zero exactly for symmetric kinds
	NTSName  string // the name in the server's certificate; exactly for AuthNTS
}

// Endpoint is a node file's part of a source: where it is reached, and the secret.
type Endpoint struct {
	Name    string // of the Source
	Address string // host:port of the NTP server; for NTS, of the key exchange
	Key     string // "HEX:..." for symmetric kinds, else empty
	CAFile  string // PEM file for NTS; empty means the system's roots
}

// Policy is the replicated part of a node's time: the sources and how they are
// judged. A zero number means its default.
type Policy struct {
	Sources         []Source
	MinSources      int           // sources needed; default 3, at most 16
	ClosedNetwork   bool          // lifts the rules on number and operators; shown in every report
	DriftPPM        int64         // bound on the oscillator's error; default 200, at most 1000
	MaxRootDistance time.Duration // half round trip + root delay/2 + dispersion of a usable sample; default 1.5 s
	MaxWidth        time.Duration // of an interval that still counts as synchronized or holdover; default 10 s
}

const (
	maxSources  = 16
	maxNameSize = 32
)

func (p Policy) withDefaults() Policy {
	p.Sources = append([]Source(nil), p.Sources...)
	if p.MinSources == 0 && !p.ClosedNetwork {
		p.MinSources = 3
	}
	if p.DriftPPM == 0 {
		p.DriftPPM = 200
	}
	if p.MaxRootDistance == 0 {
		p.MaxRootDistance = 1500 * time.Millisecond
	}
	if p.MaxWidth == 0 {
		p.MaxWidth = 10 * time.Second
	}
	return p
}

// Validate reports every fault of the policy, each wrapping ErrPolicy, or nil.
func (p Policy) Validate() error {
	p = p.withDefaults()
	var faults []error
	fault := func(format string, args ...any) {
		faults = append(faults, fmt.Errorf("%w: %s", ErrPolicy, fmt.Sprintf(format, args...)))
	}
	if p.MinSources < 0 || p.MinSources > maxSources || (!p.ClosedNetwork && p.MinSources < 3) {
		fault("min sources %d is not between 3 and %d", p.MinSources, maxSources)
	}
	if n := len(p.Sources); n == 0 || n > maxSources || n < p.MinSources {
		fault("%d sources, between %d and %d are needed", n, max(p.MinSources, 1), maxSources)
	}
	if p.DriftPPM < 1 || p.DriftPPM > 1000 {
		fault("drift of %d ppm is not between 1 and 1000", p.DriftPPM)
	}
	if p.MaxRootDistance < time.Millisecond || p.MaxRootDistance > 16*time.Second {
		fault("root distance limit %v is not between 1 ms and 16 s", p.MaxRootDistance)
	}
	if p.MaxWidth < time.Millisecond || p.MaxWidth > time.Hour {
		fault("width limit %v is not between 1 ms and 1 h", p.MaxWidth)
	}
	names, operators := map[string]bool{}, map[string]int{}
	for _, s := range p.Sources {
		if err := s.validate(); err != nil {
			fault("source %q: %v", s.Name, err)
		}
		if names[s.Name] {
			fault("source %q is listed twice", s.Name)
		}
		names[s.Name] = true
		operators[s.Operator]++
		if count := operators[s.Operator]; count == p.majority() && !p.ClosedNetwork {
			fault("sources of operator %q alone form a majority", s.Operator)
		}
	}
	return errors.Join(faults...)
}

// majority is the number of sources that must agree.
func (p Policy) majority() int { return max(len(p.Sources), p.MinSources)/2 + 1 }

func (s Source) validate() error {
	if s.Name == "" || len(s.Name) > maxNameSize || s.Operator == "" || len(s.Operator) > maxNameSize {
		return fmt.Errorf("name and operator need 1 to %d bytes", maxNameSize)
	}
	switch {
	case s.Auth == AuthNone || s.Auth.keySize() > 0 || s.Auth == AuthNTS:
	case s.Auth == "md5":
		return errors.New("MD5 proves nothing and is refused")
	default:
		return fmt.Errorf("unknown authentication %q", s.Auth)
	}
	if symmetric := s.Auth.keySize() > 0; symmetric != (s.KeyID != 0) {
		return errors.New("a key id belongs to symmetric authentication, and only there")
	}
	if (s.Auth == AuthNTS) != (s.NTSName != "") {
		return errors.New("an NTS name belongs to NTS, and only there")
	}
	return nil
}

// matchEndpoints finds each source's endpoint, in the order of the policy.
func matchEndpoints(p Policy, endpoints []Endpoint) ([]Endpoint, error) {
	byName, addresses := map[string]Endpoint{}, map[string]string{}
	for _, e := range endpoints {
		if _, twice := byName[e.Name]; twice {
			return nil, fmt.Errorf("%w: endpoint %q is listed twice", ErrPolicyMismatch, e.Name)
		}
		if other, taken := addresses[e.Address]; taken {
			return nil, fmt.Errorf("%w: endpoints %q and %q have one address", ErrPolicyMismatch, other, e.Name)
		}
		byName[e.Name], addresses[e.Address] = e, e.Name
	}
	matched := make([]Endpoint, len(p.Sources))
	for i, s := range p.Sources {
		e, found := byName[s.Name]
		if !found {
			return nil, fmt.Errorf("%w: no endpoint for source %q", ErrPolicyMismatch, s.Name)
		}
		if err := e.validate(s.Auth); err != nil {
			return nil, fmt.Errorf("%w: endpoint %q: %w", ErrPolicyMismatch, s.Name, err)
		}
		matched[i] = e
		delete(byName, s.Name)
	}
	for name := range byName {
		return nil, fmt.Errorf("%w: endpoint %q is no source of the policy", ErrPolicyMismatch, name)
	}
	return matched, nil
}

// validate never shows the key in its error.
func (e Endpoint) validate(auth AuthKind) error {
	host, port, err := net.SplitHostPort(e.Address)
	if err != nil || host == "" || port == "" {
		return fmt.Errorf("address %q is not host:port", e.Address)
	}
	if e.CAFile != "" && auth != AuthNTS {
		return errors.New("a CA file belongs to NTS only")
	}
	size := auth.keySize()
	if size == 0 {
		if e.Key != "" {
			return fmt.Errorf("a key does not belong to %s", auth)
		}
		return nil
	}
	text, prefixed := strings.CutPrefix(e.Key, "HEX:")
	key, err := hex.DecodeString(text)
	if !prefixed || err != nil {
		return errors.New("the key is not HEX: and hexadecimal digits")
	}
	exact := auth == AuthAES128 || auth == AuthAES256
	if len(key) < size || len(key) > 32 || (exact && len(key) != size) {
		return fmt.Errorf("the key has %d bytes, which %s does not take", len(key), auth)
	}
	return nil
}
