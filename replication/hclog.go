package replication

import (
	"context"
	"io"
	"log/slog"
	"strings"

	"github.com/hashicorp/go-hclog"
)

// raftLogger carries raft's messages into this node's log, level by level.
func raftLogger(l *slog.Logger) hclog.Logger {
	out := hclog.NewInterceptLogger(&hclog.LoggerOptions{Name: "raft", Level: hclog.Info, Output: io.Discard})
	out.RegisterSink(slogSink{l})
	return out
}

type slogSink struct{ log *slog.Logger }

// Accept takes one message.
func (s slogSink) Accept(name string, level hclog.Level, msg string, args ...any) {
	to := slog.LevelDebug // raft's chatter
	switch {
	case routine(msg):
	case level >= hclog.Error:
		to = slog.LevelError
	case level == hclog.Warn:
		to = slog.LevelWarn
	}
	for i := range args {
		if f, ok := args[i].(hclog.Format); ok && len(f) > 0 {
			args[i] = strings.TrimSpace(f[0].(string))
		}
	}
	s.log.Log(context.Background(), to, "raft: "+msg, args...)
}

// routine messages come with every stop of a node or a peer, and say nothing that
// `cluster status` does not.
func routine(msg string) bool {
	for _, m := range []string{"failed to accept connection", "failed to decode incoming command", "failed to heartbeat to", "failed to appendEntries to", "failed to contact", "failed to pipeline appendEntries to"} {
		if strings.HasPrefix(msg, m) {
			return true
		}
	}
	return false
}
