package witness

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"golang.org/x/net/netutil"

	"github.com/sago-worm/sago/store/format"
)

// Limits of the HTTP side. They bound what a stranger can take.
const (
	maxBody      = 80 << 10 // a note and a proof at their greatest
	maxHeaders   = 8 << 10
	readWithin   = 10 * time.Second
	writeWithin  = 20 * time.Second // the write to disk as well
	idleWithin   = 30 * time.Second
	drainWithin  = 5 * time.Second
	maxAtOnce    = 64  // requests; more are answered 503
	maxConnected = 256 // connections; more wait for one to end
	sizeMimeType = "text/x.tlog.size"
)

// Handler answers POST /add-checkpoint and GET /<origin hash>/checkpoint.
func (w *Witness) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /add-checkpoint", w.addCheckpoint)
	mux.HandleFunc("GET /{origin}/checkpoint", func(rw http.ResponseWriter, r *http.Request) {
		n, ok := w.Newest(r.PathValue("origin"))
		if !ok {
			http.NotFound(rw, r)
			return
		}
		answer(rw, http.StatusOK, "text/plain; charset=utf-8", n.String())
	})
	slots := make(chan struct{}, maxAtOnce)
	return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		select {
		case slots <- struct{}{}:
			defer func() { <-slots }()
			mux.ServeHTTP(rw, r)
		default:
			http.Error(rw, "too many requests at once", http.StatusServiceUnavailable)
		}
	})
}

func (w *Witness) addCheckpoint(rw http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(rw, r.Body, maxBody))
	if err != nil {
		http.Error(rw, "the request cannot be read", http.StatusBadRequest)
		return
	}
	a, err := format.ParseAddCheckpoint(string(body))
	if err != nil {
		http.Error(rw, err.Error(), http.StatusBadRequest)
		return
	}
	line, err := w.Add(a)
	var conflict *Conflict
	switch {
	case err == nil:
		answer(rw, http.StatusOK, "text/plain; charset=utf-8", line.String())
	case errors.As(err, &conflict):
		answer(rw, http.StatusConflict, sizeMimeType, fmt.Sprintf("%d\n", conflict.Size))
	default:
		http.Error(rw, err.Error(), statusOf(err))
	}
}

func statusOf(err error) int {
	switch {
	case errors.Is(err, format.ErrMalformed), errors.Is(err, ErrBadSize):
		return http.StatusBadRequest
	case errors.Is(err, ErrUnknownLog):
		return http.StatusNotFound
	case errors.Is(err, ErrUnsigned):
		return http.StatusForbidden
	case errors.Is(err, ErrProof):
		return http.StatusUnprocessableEntity
	}
	return http.StatusInternalServerError
}

// answer writes a body; who has gone away meanwhile is not told.
func answer(rw http.ResponseWriter, status int, mime, body string) {
	rw.Header().Set("Content-Type", mime)
	rw.WriteHeader(status)
	_, _ = io.Copy(rw, strings.NewReader(body))
}

// Serve answers on ln, over TLS when certificate is not nil, until ctx ends; then
// requests in flight have a moment to end. It closes ln. A nil error is an end
// that ctx asked for.
func (w *Witness) Serve(ctx context.Context, ln net.Listener, certificate *tls.Certificate) error {
	ln = netutil.LimitListener(ln, maxConnected)
	if certificate != nil {
		ln = tls.NewListener(ln, &tls.Config{MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{*certificate}})
	}
	server := &http.Server{Handler: w.Handler(), ReadTimeout: readWithin, ReadHeaderTimeout: readWithin, WriteTimeout: writeWithin,
		IdleTimeout: idleWithin, MaxHeaderBytes: maxHeaders}
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(ln) }() // ends with Shutdown or Close
	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
	}
	drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), drainWithin)
	defer cancel()
	err := server.Shutdown(drain)
	if errors.Is(err, context.DeadlineExceeded) {
		err = server.Close()
	}
	if served := <-failed; !errors.Is(served, http.ErrServerClosed) {
		err = errors.Join(err, served)
	}
	return err
}
