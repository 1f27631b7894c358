package identity

import (
	"crypto/tls"
	"net"
	"sync"
)

// live are the connections of a store whose peers were verified, so that a Reload can check them again.
type live struct {
	mu    sync.Mutex
	conns map[*watched]verdict
}

// verdict is the certificate of a connection's peer, and the requirement that it met.
type verdict struct {
	shown tls.ConnectionState
	want  want
}

// watched is the TCP connection below TLS; it removes itself from live when it is closed.
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

// watch adds a connection after its handshake. It checks the peer again, because a Reload during the handshake did not know the connection.
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

// endRefused closes the connections whose peers are now refused, and returns their number.
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
