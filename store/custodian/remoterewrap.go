package custodian

import (
	"context"

	"github.com/sago-worm/sago/store/format"
	"github.com/sago-worm/sago/store/keyring"
)

// RewrapBlock has every key of a block that is sealed under from sealed under to:
// for as long as that takes the custodian's process has both root keys.
func (r *Remote) RewrapBlock(name string, cluster format.ID, from, to keyring.RootKey) (keyring.Rewrapped, error) {
	defer clear(from[:])
	defer clear(to[:])
	var w format.Writer
	w.Str(name[:min(len(name), 256)])
	w.Raw(cluster[:])
	w.Raw(from[:])
	w.Raw(to[:])
	defer clear(w.Bytes())
	ctx, cancel := context.WithTimeout(context.Background(), askWithin)
	defer cancel()
	answer, _, err := r.ask(ctx, askRewrapBlock, w.Bytes(), nil, nil)
	if err != nil {
		return keyring.Rewrapped{}, err
	}
	a := format.NewReader(answer)
	out := keyring.Rewrapped{Live: int(a.U32()), Erased: int(a.U32())}
	for range a.Count(4) {
		out.Damaged = append(out.Damaged, a.U32())
	}
	return out, a.Done()
}

// rewrap does what a request of that kind asks for.
func (s *Server) rewrap(body []byte) ([]byte, error) {
	defer clear(body)
	r := format.NewReader(body)
	name := r.Str()
	var cluster format.ID
	var from, to keyring.RootKey
	defer clear(from[:])
	defer clear(to[:])
	r.Raw(cluster[:])
	r.Raw(from[:])
	r.Raw(to[:])
	if err := r.Done(); err != nil {
		return nil, err
	}
	out, err := s.current().RewrapBlock(name, cluster, from, to)
	if err != nil {
		return nil, err
	}
	var w format.Writer
	w.U32(uint32(out.Live))
	w.U32(uint32(out.Erased))
	w.U32(uint32(len(out.Damaged)))
	for _, i := range out.Damaged {
		w.U32(i)
	}
	return w.Bytes(), nil
}
