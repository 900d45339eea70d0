package system_test

import (
	"os"
	"syscall"
	"testing"
	"time"
)

func (s *site) dumpOnFail(t *testing.T) {
	t.Cleanup(func() {
		if !t.Failed() {
			return
		}
		for i := range s.Size() {
			if p, ok := s.Pid(i); ok {
				syscall.Kill(p, syscall.SIGQUIT)
			}
		}
		time.Sleep(time.Second)
		for i := range s.Size() {
			l, _ := s.Log(i)
			os.WriteFile("/tmp/dump-"+s.Name(i), []byte(l), 0o600)
		}
	})
}
