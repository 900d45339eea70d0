package store

import "github.com/sago-worm/sago/store/format"

// Closing of an institution (폐지).

func (m *Machine) checkClose(_ *openAct) error {
	return refuse(format.ReasonNotReady, "not in this build")
}

func (m *Machine) foldClose(_ *format.Record, _ *openAct) error { return nil }
