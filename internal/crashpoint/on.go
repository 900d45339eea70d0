//go:build sago_crash

package crashpoint

import (
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// Reached ends this process, for good and without a word, where the file of Env
// names this step.
func Reached(step string, done bool) {
	path := os.Getenv(Env)
	if path == "" {
		return
	}
	when := "before "
	if done {
		when = "after "
	}
	at, err := os.ReadFile(path)
	if err != nil || strings.TrimSpace(string(at)) != when+step {
		return
	}
	_ = unix.Kill(os.Getpid(), unix.SIGKILL)
	select {} // until the signal is there
}
