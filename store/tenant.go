package store

import "github.com/sago-worm/sago/store/format"

// The life of an institution: registration, suspension (휴지), closing (폐지).

// tenant is an institution's life; one without a row is active.
func (m *Machine) tenant(n uint32) (format.TenantRow, error) {
	row, err := lookup(m, tTenant, key32(n), format.DecodeTenantRow)
	if err != nil || row == nil {
		return format.TenantRow{State: format.TenantActive}, err
	}
	return *row, nil
}
