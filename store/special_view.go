package store

import (
	"errors"
	"slices"

	"github.com/sago-worm/sago/retention"
	"github.com/sago-worm/sago/store/format"
)

// What answers say of circulation stops, special deletions and erasures.

// Barred says why a bundle is not handed out now: its reason and a sentence. It is
// ReasonOK while nothing bars it.
func (m *Machine) Barred(key format.BundleKey) (format.Reason, string, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	b, err := m.bundle(key)
	if err != nil {
		return format.ReasonOK, "", err
	}
	if b == nil {
		return format.ReasonNotFound, "", nil
	}
	if err = m.barred(key, b); err == nil {
		var s retention.State
		if s, err = m.stateOf(key, b); err == nil && s == retention.StateExpired {
			return format.ReasonExpired, "", nil
		}
	}
	return refusedFor(err)
}

// Removable says why a bundle cannot be specially deleted now, whatever order
// stands on it: its reason and a sentence. It is ReasonOK where it can.
func (m *Machine) Removable(key format.BundleKey) (format.Reason, string, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	b, err := m.bundle(key)
	if err != nil {
		return format.ReasonOK, "", err
	}
	if b == nil {
		return format.ReasonNotFound, "", nil
	}
	return refusedFor(m.removable(key, b))
}

// refusedFor takes the reason out of a refusal; other errors stay errors.
func refusedFor(err error) (format.Reason, string, error) {
	var no *refusal
	if errors.As(err, &no) {
		return no.reason, no.why, nil
	}
	return format.ReasonOK, "", err
}

// Stop answers the circulation stop in force on a bundle, or nil.
func (m *Machine) Stop(key format.BundleKey) (*format.StopRow, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return m.stop(key)
}

// Exit answers the act by which a bundle left before its deadline, or nil.
func (m *Machine) Exit(key format.BundleKey) (*format.ExitRow, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return m.exit(key)
}

// StoppedBundle is a bundle on which an order stands.
type StoppedBundle struct {
	Key format.BundleKey
	Row format.StopRow
}

// Stops lists an institution's circulation stops from a cursor on (empty: the
// first), at most limit, and the cursor to go on from (empty at the end).
func (m *Machine) Stops(institution uint32, cursor []byte, limit int) (out []StoppedBundle, next []byte, err error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	prefix := key32(institution)
	from := prefix
	if len(cursor) >= len(prefix) && slices.Equal(cursor[:len(prefix)], prefix) {
		from = cursor
	}
	err = m.idx.Ascend(tStop, from, after(prefix), func(k, v []byte) (bool, error) {
		if len(out) == limit {
			next = slices.Clone(k)
			return false, nil
		}
		key, err := format.DecodeBundleKey(k)
		if err != nil {
			return false, err
		}
		row, err := format.DecodeStopRow(v)
		out = append(out, StoppedBundle{key, row})
		return true, err
	})
	return out, next, err
}

// Blocked says why an act that is not ended cannot go on now, such as a hold or an end
// of what it is about; ReasonOK while nothing is in its way, and for one that is ended.
func (m *Machine) Blocked(nonce format.ID) (reason format.Reason, why string, err error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	a, err := m.act(nonce)
	if err != nil || a == nil {
		return format.ReasonOK, "", err
	}
	j, err := m.judged(a)
	if err != nil {
		return format.ReasonOK, "", err
	}
	switch j.State(m.now()) {
	case retention.ActExecuted, retention.ActVetoed, retention.ActLapsed:
		return format.ReasonOK, "", nil
	}
	return refusedFor(m.checkAct(a))
}
