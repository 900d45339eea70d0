package store

import "github.com/sago-worm/sago/store/format"

// Acts about the cluster: nodes, their media, the clock.

func (m *Machine) checkMember(_ *openAct) error {
	return refuse(format.ReasonNotReady, "not in this build")
}

func (m *Machine) foldMemberAct(_ *format.Record, _ *openAct) error { return nil }

func (m *Machine) checkResync(_ *openAct) error {
	return refuse(format.ReasonNotReady, "not in this build")
}

func (m *Machine) foldResync(_ *format.Record, _ *openAct) error { return nil }

func (m *Machine) checkMedium(_ *openAct) error {
	return refuse(format.ReasonNotReady, "not in this build")
}

func (m *Machine) foldMedium(_ *format.Record, _ *openAct) error { return nil }
