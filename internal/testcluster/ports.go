package testcluster

import (
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"
)

// The range that ports are taken from lies below the one from which the kernel
// takes those of outgoing connections: a stopped node finds its port free again.
const (
	firstPort = 10_000
	lastPort  = 32_000
)

func loopback(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }

// freePorts finds n ports of the loopback device that nobody listens on.
func freePorts(n int) ([]int, error) {
	var held []net.Listener
	defer func() {
		for _, l := range held {
			_ = l.Close() // nothing was ever accepted on it
		}
	}()
	var ports []int
	for range 100 * n {
		port := firstPort + rand.IntN(lastPort-firstPort)
		l, err := net.Listen("tcp", loopback(port))
		if err != nil {
			continue
		}
		held = append(held, l)
		if ports = append(ports, port); len(ports) == n {
			return ports, nil
		}
	}
	return nil, fmt.Errorf("no %d free ports between %d and %d", n, firstPort, lastPort)
}
