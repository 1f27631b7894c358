package identity

import (
	"crypto/tls"
	"errors"
	"net"
	"net/http"
)

// The protocols spoken on a controller's one port, by ALPN.
const (
	ProtoHTTP = "http/1.1"
	ProtoRaft = "mainstay-raft"
)

// speakers are the roles that may connect to a controller or an agent. PostgreSQL's certificates may not: they are
// readable by the database's superuser.
var speakers = []string{RoleController, RoleAgent, RoleOperator, RoleViewer}

// ServerConfig is for a listener: it demands a certificate of a controller, agent, operator or viewer of this platform.
// What each may do is the handler's to decide, with IDOf.
//
// The standard library's own verification is replaced (tls.RequireAnyClientCert and VerifyConnection, which no handshake
// passes without): it would refuse controllers and agents past their dates. Session tickets are off, so that every
// connection is judged by the CA and the revocations of its moment.
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

// speaker is who may speak the protocol of a connection to us.
func speaker(cs tls.ConnectionState) want {
	if cs.NegotiatedProtocol == ProtoRaft {
		return want{roles: []string{RoleController}}
	}
	return want{roles: speakers}
}

// ClientConfig is for a connection to a process of that role, and of that name unless it is "". Host names are not
// compared: the role and the name are what we want to reach, on whatever address. VerifyConnection may be called again for as long
// as the connection lives: it judges by what is held at that moment.
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

// IDOf returns who made the request, if that peer would be let in now as well: it may have been revoked, or have passed its date,
// since the handshake.
func (s *Store) IDOf(r *http.Request) (ID, error) {
	if r.TLS == nil {
		return ID{}, errors.New("the request did not come over TLS")
	}
	return s.verify(*r.TLS, speaker(*r.TLS))
}

// IDOf returns who made the request. Its certificate was verified in the handshake.
func IDOf(r *http.Request) (ID, error) {
	if r.TLS == nil {
		return ID{}, errors.New("the request did not come over TLS")
	}
	return peerID(*r.TLS)
}

// IDOfConn returns who is at the other end of a connection from Mux or Dial.
func IDOfConn(c net.Conn) (ID, error) {
	t, ok := c.(*tls.Conn)
	if !ok {
		return ID{}, errors.New("the connection is not TLS")
	}
	return peerID(t.ConnectionState())
}

func peerID(cs tls.ConnectionState) (ID, error) {
	if !cs.HandshakeComplete || len(cs.PeerCertificates) == 0 {
		return ID{}, errors.New("the peer has shown no certificate")
	}
	return FromCertificate(cs.PeerCertificates[0])
}
