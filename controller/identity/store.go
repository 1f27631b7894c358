package identity

import (
	"crypto/tls"
	"crypto/x509"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"
)

// soon is the time before a certificate's end from which it raises an alarm.
const soon = 60 * 24 * time.Hour

// Files are the paths of one process's identity. CA may hold several certificates, so that a CA can be replaced while both are trusted.
// The list of revoked serials, `revoked`, is in the folder of CA.
type Files struct{ CA, Cert, Key string }

// Store is one process's identity and its trusted CAs. It is safe for concurrent use; the TLS configurations that it makes follow a Reload.
type Store struct {
	files Files
	now   func() time.Time
	held  atomic.Pointer[material]
	live  live
}

// material is the content of the files at one reading, which never changes, and the results derived from it.
type material struct {
	good    sync.Map // certificates of dateless roles found to be signed by the CAs, by their bytes
	id      ID
	cert    tls.Certificate
	cas     []*x509.Certificate
	revoked map[string]bool // serials in hexadecimal
	expiry  time.Time       // the earlier of the two ends below

	ends, authorityEnds time.Time
	authority           string // common name of the CA that signed cert
}

// Load reads the files. Its errors are *FileError.
func Load(f Files) (*Store, error) { return load(f, time.Now) }

func load(f Files, now func() time.Time) (*Store, error) {
	s := &Store{files: f, now: now}
	if _, err := s.Reload(); err != nil {
		return nil, err
	}
	return s, nil
}

// Reload reads the files again (on HUP), and closes the connections of a Mux and of Dial whose peers are now revoked, or have a CA that is
// no longer trusted. On an error the Store is unchanged.
func (s *Store) Reload() (ended int, err error) {
	m, err := s.read()
	if err != nil {
		return 0, err
	}
	if old := s.held.Load(); old != nil && old.id != m.id {
		return 0, &FileError{Path: s.files.Cert, Problem: "it is for " + m.id.String() + ", this process is " + old.id.String(),
			Mend: "restart the process if it should change its identity; otherwise " + issueCommand(old.id.Role, old.id.Name)}
	}
	s.held.Store(m)
	return s.endRefused(), nil
}

// ID is the identity of this process.
func (s *Store) ID() ID { return s.held.Load().id }

// Expiry is when this process's certificate, or the CA's that signed it, ends, whichever is first.
func (s *Store) Expiry() time.Time { return s.held.Load().expiry }

func (s *Store) read() (*material, error) {
	cas, _, err := readCerts(s.files.CA, "copy the platform's ca.crt there")
	if err != nil {
		return nil, err
	}
	certs, certPEM, err := readCerts(s.files.Cert, "issue it again with "+issueCommand("", ""))
	if err != nil {
		return nil, err
	}
	leaf := certs[0]
	id, err := FromCertificate(leaf)
	if err != nil {
		return nil, &FileError{Path: s.files.Cert, Problem: "it is not a certificate of Mainstay", Err: err,
			Mend: "issue one with " + issueCommand("", "")}
	}
	again := "issue the certificate again with " + issueCommand(id.Role, id.Name)
	keyPEM, err := readKey(s.files.Key)
	if err != nil {
		return nil, err
	}
	pair, err := tls.X509KeyPair(certPEM, keyPEM)
	if err != nil {
		return nil, &FileError{Path: s.files.Key, Problem: "it is not the key of " + s.files.Cert, Mend: again, Err: err}
	}
	revoked, err := readRevoked(filepath.Join(filepath.Dir(s.files.CA), revokedFile))
	if err != nil {
		return nil, err
	}
	ca, err := signer(leaf, id, cas, s.now())
	if err != nil {
		if foreign(err) {
			again = "if that is not the CA of platform " + id.Platform + ", name its ca.crt; if it is, " + again
		}
		return nil, &FileError{Path: s.files.Cert, Problem: describe(err, leaf, s.files.CA, s.now()), Mend: again, Err: err}
	}
	return &material{id: id, cert: pair, cas: cas, revoked: revoked, expiry: earlier(leaf.NotAfter, ca.NotAfter),
		ends: leaf.NotAfter, authorityEnds: ca.NotAfter, authority: ca.Subject.CommonName}, nil
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}
