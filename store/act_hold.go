package store

import "github.com/sago-worm/sago/store/format"

// Legal holds (보존 조치) and their release.

func (m *Machine) checkHoldRelease(_ *openAct) error {
	return refuse(format.ReasonNotReady, "not in this build")
}

func (m *Machine) foldHoldRelease(_ *format.Record, _ *openAct) error { return nil }
