package store

import "github.com/sago-worm/sago/store/format"

// The life of an institution: registration, suspension (휴지), closing (폐지).

// CloseLatest is how long after the closing date the erasure of an institution's
// data may at the latest be done (폐지일부터 30일 이내), microseconds.
const CloseLatest = 30 * 24 * 3600 * 1e6

// tenant is an institution's life; one without a row is active.
func (m *Machine) tenant(n uint32) (format.TenantRow, error) {
	row, err := lookup(m, tTenant, key32(n), format.DecodeTenantRow)
	if err != nil || row == nil {
		return format.TenantRow{State: format.TenantActive}, err
	}
	return *row, nil
}

func (m *Machine) changeTenant(n uint32, change func(*format.TenantRow)) error {
	row, err := m.tenant(n)
	if err != nil {
		return err
	}
	change(&row)
	return m.set(tTenant, key32(n), row.Encode())
}

// serves refuses intake, reads and uses of an institution that is suspended, or
// closing or closed.
func (m *Machine) serves(n uint32) error {
	row, err := m.tenant(n)
	if err != nil {
		return err
	}
	switch row.State {
	case format.TenantSuspended:
		return refuse(format.ReasonSuspended, "the institution is suspended: only its use history can be read")
	case format.TenantClosing, format.TenantClosed:
		return refuse(format.ReasonClosed, "the institution is closing or closed")
	}
	return nil
}

// checkIntake refuses a bundle that the institution may not store now.
func (m *Machine) checkIntake(n uint32, sealed uint64) error {
	if err := m.serves(n); err != nil {
		return err
	}
	row, err := m.tenant(n)
	if err == nil && row.Quota > 0 && (row.Used > row.Quota || sealed > row.Quota-row.Used) {
		err = refuse(format.ReasonQuota, "it would exceed the institution's quota")
	}
	return err
}

// countUsed counts bytes of payload that were stored, or erased, where a quota
// bounds them.
func (m *Machine) countUsed(n uint32, stored, erased uint64) error {
	row, err := m.tenant(n)
	if err != nil || row.Quota == 0 {
		return err
	}
	return m.changeTenant(n, func(r *format.TenantRow) { r.Used += stored - min(erased, r.Used) })
}

// Tenant answers an institution's life.
func (m *Machine) Tenant(n uint32) (format.TenantRow, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return m.tenant(n)
}

// Operator is the institution whose persons act for the appliance (운영기관).
func (m *Machine) Operator() (uint32, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return m.operator()
}

// Overdue lists the institutions whose suspension has passed its end, or whose
// closing has not erased everything 30 days after its date.
func (m *Machine) Overdue() ([]uint32, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	var out []uint32
	err := m.idx.Ascend(tTenant, nil, nil, func(k, v []byte) (bool, error) {
		row, err := format.DecodeTenantRow(v)
		if err == nil && TenantOverdue(row, m.clock.Now) {
			r := format.NewReader(k)
			out = append(out, r.U32())
		}
		return true, err
	})
	return out, err
}

// TenantOverdue reports whether at a reading of the quorum clock a suspension has
// passed its end, or a closing its latest date.
func TenantOverdue(row format.TenantRow, now int64) bool {
	switch row.State {
	case format.TenantSuspended:
		return now >= row.Until
	case format.TenantClosing:
		return now >= row.Date+CloseLatest
	}
	return false
}
