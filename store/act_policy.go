package store

import "github.com/sago-worm/sago/store/format"

// Changes of policy (I10): every value has an order, and what weakens needs more
// persons than what strengthens.

func (m *Machine) strengthens(_ format.Act) (bool, error) { return false, nil }

func (m *Machine) checkPolicy(_ *openAct) error {
	return refuse(format.ReasonNotReady, "not in this build")
}

func (m *Machine) foldPolicy(_ *format.Record, _ *openAct) error { return nil }
