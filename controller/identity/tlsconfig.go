package identity

import (
	"crypto/tls"
	"errors"
	"net"
	"net/http"
)

// The protocols on a controller's port, by ALPN.
const (
	ProtoHTTP = "http/1.1"
	ProtoRaft = "mainstay-raft"
)

// speakers are the roles that may connect to a controller or an agent. Role postgres may not: the database's superuser can read its
// certificates.
var speakers = []string{RoleController, RoleAgent, RoleOperator, RoleViewer}

// ServerConfig is for a listener: it requires a certificate of a controller, agent, operator or viewer of this platform. Handlers decide
// with IDOf what each may do.
//
// It replaces the standard library's own verification (by tls.RequireAnyClientCert and VerifyConnection, which no handshake skips), because
// that would refuse controllers and agents past their dates. Session tickets are off, so that every connection is checked against the
// present CA and revocations.
func (s *Store) ServerConfig(nextProtos ...string) *tls.Config {
	return &tls.Config{
		MinVersion:             tls.VersionTLS13,
		NextProtos:             nextProtos,
		ClientAuth:             tls.RequireAnyClientCert,
		SessionTicketsDisabled: true,
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
			return &s.held.Load().cert, nil
		},
		VerifyConnection: func(cs tls.ConnectionState) error {
			_, err := s.verify(cs, speaker(cs))
			return err
		},
	}
}

// speaker is the requirement for a peer that connects to this process, by the protocol of the connection.
func speaker(cs tls.ConnectionState) want {
	if cs.NegotiatedProtocol == ProtoRaft {
		return want{roles: []string{RoleController}}
	}
	return want{roles: speakers}
}

// ClientConfig is for a connection to a process of that role, and of that name unless it is "". Host names are not compared: role and name
// identify the peer, on any address. VerifyConnection may be called again while the connection is open: it checks against the present
// material.
func (s *Store) ClientConfig(role, name string, nextProtos ...string) *tls.Config {
	wanted := want{roles: []string{role}, name: name}
	return &tls.Config{
		MinVersion:         tls.VersionTLS13,
		NextProtos:         nextProtos,
		InsecureSkipVerify: true, // VerifyConnection below verifies instead, and is never skipped
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			return &s.held.Load().cert, nil
		},
		VerifyConnection: func(cs tls.ConnectionState) error {
			_, err := s.verify(cs, wanted)
			return err
		},
	}
}

// IDOf returns the identity of a request's peer, or an error if that peer is now refused: its certificate may have been revoked, or have
// passed its date, since the handshake.
func (s *Store) IDOf(r *http.Request) (ID, error) {
	if r.TLS == nil {
		return ID{}, errors.New("the request did not come over TLS")
	}
	return s.verify(*r.TLS, speaker(*r.TLS))
}

// IDOf returns the identity of a request's peer. Its certificate was verified in the handshake.
func IDOf(r *http.Request) (ID, error) {
	if r.TLS == nil {
		return ID{}, errors.New("the request did not come over TLS")
	}
	return peerID(*r.TLS)
}

// IDOfConn returns the identity of the peer of a connection from Mux or Dial.
func IDOfConn(c net.Conn) (ID, error) {
	t, ok := c.(*tls.Conn)
	if !ok {
		return ID{}, errors.New("the connection is not TLS")
	}
	return peerID(t.ConnectionState())
}

func peerID(cs tls.ConnectionState) (ID, error) {
	if !cs.HandshakeComplete || len(cs.PeerCertificates) == 0 {
		return ID{}, errors.New("the peer has presented no certificate")
	}
	return FromCertificate(cs.PeerCertificates[0])
}
