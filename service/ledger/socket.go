package ledger

import (
	"bytes"
	"fmt"
	"net"
	"path/filepath"
	"strings"
	"time"
)

// sendWithin is how long the system's log may take to take a message.
const sendWithin = time.Second

// send hands one line to a log socket: journald's native protocol where the path is
// journald's, else the form of a local syslog (facility authpriv, severity notice).
func send(path, node string, text []byte) (err error) {
	conn, err := net.DialTimeout("unixgram", path, sendWithin)
	if err != nil {
		return err
	}
	defer func() {
		if closed := conn.Close(); err == nil {
			err = closed
		}
	}()
	if err := conn.SetDeadline(time.Now().Add(sendWithin)); err != nil {
		return err
	}
	_, err = conn.Write(message(path, node, text))
	return err
}

func message(path, node string, text []byte) []byte {
	var b bytes.Buffer
	if strings.Contains(filepath.ToSlash(path), "/journal/") {
		fmt.Fprintf(&b, "PRIORITY=5\nSYSLOG_FACILITY=10\nSYSLOG_IDENTIFIER=sago\nSAGO_NODE=%s\nMESSAGE=special-delete %s\n", node, text)
	} else {
		fmt.Fprintf(&b, "<85>sago: %s special-delete %s", node, text)
	}
	return b.Bytes()
}
