package identity

import (
	"crypto/tls"
	"net"
	"sync"
)

// live are the connections of a store whose peers were verified, so that a Reload can judge them again.
type live struct {
	mu    sync.Mutex
	conns map[*watched]verdict
}

// verdict is what a connection's peer has shown, and what it had to be.
type verdict struct {
	shown tls.ConnectionState
	want  want
}

// watched is the TCP connection under TLS; it is forgotten when it is closed.
type watched struct {
	*net.TCPConn
	of *live
}

func (w *watched) Close() error {
	w.of.mu.Lock()
	delete(w.of.conns, w)
	w.of.mu.Unlock()
	return w.TCPConn.Close()
}

// watch keeps a connection whose handshake is done. What a Reload has brought since then is judged here: that one has not seen it.
func (s *Store) watch(w *watched, shown tls.ConnectionState, wanted want) error {
	s.live.mu.Lock()
	if s.live.conns == nil {
		s.live.conns = map[*watched]verdict{}
	}
	s.live.conns[w] = verdict{shown, wanted}
	s.live.mu.Unlock()
	_, err := s.verify(shown, wanted)
	if err != nil {
		w.Close()
	}
	return err
}

// endRefused closes the connections whose peers would not be let in now, and tells how many.
func (s *Store) endRefused() (ended int) {
	s.live.mu.Lock()
	var refused []*watched
	for w, v := range s.live.conns {
		if _, err := s.verify(v.shown, v.want); err != nil {
			refused = append(refused, w)
		}
	}
	s.live.mu.Unlock()
	for _, w := range refused {
		w.Close()
	}
	return len(refused)
}
